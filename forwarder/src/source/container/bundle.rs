//! An OCI bundle: `config.json` with the annotations in which runtimes write who a container is.
//!
//! Annotation keys are those of containerd's CRI plugin (`pkg/cri/annotations`), CRI-O (`pkg/annotations`) and
//! nerdctl (`pkg/labels`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::identity::{ContainerIdentity, LogFile, LogFormat, Runtime};
use super::proc::Proc;

/// Larger files are refused; real ones have 5 to 50 KiB.
const MAX_JSON_BYTES: u64 = 8 << 20;

/// What is read of a bundle's `config.json`.
#[derive(Debug, Default, Deserialize)]
pub struct Bundle {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    mounts: Option<Vec<Mount>>,
}

#[derive(Debug, Deserialize)]
struct Mount {
    #[serde(default)]
    source: Option<String>,
}

impl Bundle {
    /// Reads `<dir>/config.json`; `None` where it is gone or no JSON.
    pub fn read(dir: &Path) -> Option<Self> {
        read_json(&dir.join("config.json"))
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn first_annotation(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.annotation(key)).map(str::to_owned)
    }

    /// Docker's directory of this container, found by the files that it mounts into every container.
    ///
    /// Any `…/containers/<id>/{hostname,hosts,resolv.conf}` is it, wherever the data root is.
    pub fn docker_directory(&self, id: &str) -> Option<PathBuf> {
        self.mounts.as_ref()?.iter().find_map(|mount| {
            let source = Path::new(mount.source.as_deref()?);
            let dir = source.parent()?;
            (dir.file_name()?.to_str()? == id && dir.parent()?.file_name()? == "containers").then(|| dir.to_owned())
        })
    }

    /// The sandbox that a container of containerd's CRI plugin belongs to.
    pub fn sandbox_id(&self) -> Option<&str> {
        self.annotation("io.kubernetes.cri.sandbox-id")
    }

    /// Where the kubelet wants the logs of a pod (on the sandbox's bundle only).
    pub fn sandbox_log_directory(&self) -> Option<&str> {
        self.annotation("io.kubernetes.cri.sandbox-log-directory")
    }

    /// Fills in what the annotations say. True where they named the container.
    pub fn describe(&self, proc: &Proc, pid: u32, identity: &mut ContainerIdentity) -> bool {
        identity.namespace = self
            .first_annotation(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"])
            .or(identity.namespace.take());
        identity.pod = self
            .first_annotation(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"])
            .or(identity.pod.take());
        identity.pod_uid = self
            .first_annotation(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"])
            .or(identity.pod_uid.take());
        identity.image = self
            .first_annotation(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"])
            .or(identity.image.take());
        let kind = self.first_annotation(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
        identity.sandbox = kind.as_deref() == Some("sandbox");
        if let Some(log) = self.annotation("io.kubernetes.cri-o.LogPath")
            && !identity.sandbox
        {
            identity.log = Some(LogFile { path: proc.resolve(pid, Path::new(log)), format: LogFormat::Cri });
        }
        if self.annotation("io.kubernetes.cri-o.ContainerID").is_some() {
            identity.runtime = Runtime::CriO;
        }
        if let Some(name) = self.annotation("nerdctl/name") {
            name.clone_into(&mut identity.name);
            if let Some(dir) = self.annotation("nerdctl/state-dir") {
                let path = Path::new(dir).join(format!("{}-json.log", identity.id));
                identity.log = Some(LogFile { path: proc.resolve(pid, &path), format: LogFormat::DockerJson });
            }
            return true;
        }
        if identity.sandbox {
            if let Some(pod) = &identity.pod {
                identity.name.clone_from(pod);
            }
            return identity.pod.is_some();
        }
        let container = self.first_annotation(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
        if let Some(container) = container {
            identity.name.clone_from(&container);
            identity.container = Some(container);
            return true;
        }
        false
    }
}

/// Reads a JSON file of bounded size; `None` on any error, because what is asked for may vanish at any time.
pub fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_JSON_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
