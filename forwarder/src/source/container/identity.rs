//! What is known about a container, and how it looks in a record.

use std::path::PathBuf;

use crate::record::{Origin, OriginKind, Stream};

/// Who runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    Containerd,
    CriO,
    Docker,
    Podman,
    /// runc, crun or another OCI runtime that was called by hand.
    Runc,
    Unknown,
}

impl Runtime {
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Runc => "runc",
            Self::Unknown => "unknown",
        }
    }
}

/// How a container's log file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// `<time> <stream> <P|F> <text>`, kubelet's format.
    Cri,
    /// One JSON object a line, Docker's default driver.
    DockerJson,
    /// Podman's `k8s-file`: the same lines as [`LogFormat::Cri`].
    K8sFile,
}

/// A file that holds the same output as the container's pipes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Openable by this process, so it may lead through `/proc/PID/root`.
    pub path: PathBuf,
    pub format: LogFormat,
}

/// A container with its names. For a pod's sandbox (pause) container, `name` is the pod's and `container` is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerIdentity {
    pub id: String,
    /// What people call it: the Kubernetes container name, Docker's or Podman's name, else the id.
    pub name: String,
    pub runtime: Runtime,
    /// Kubernetes namespace; namespaces of containerd are not reported here.
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub pod_uid: Option<String>,
    /// The container's name in its pod.
    pub container: Option<String>,
    pub image: Option<String>,
    pub log: Option<LogFile>,
    /// The first process of the container. Differs from the pid of an event for `exec` sessions.
    pub init_pid: Option<u32>,
    /// True for a pod's pause container.
    pub sandbox: bool,
    /// False where the runtime's files had vanished and only the id (and perhaps the pod) is known.
    pub resolved: bool,
}

impl ContainerIdentity {
    /// Only the id is known.
    pub fn unresolved(id: impl Into<String>, runtime: Runtime) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            id,
            runtime,
            namespace: None,
            pod: None,
            pod_uid: None,
            container: None,
            image: None,
            log: None,
            init_pid: None,
            sandbox: false,
            resolved: false,
        }
    }

    /// The fields that every record of the container carries, sorted by key.
    pub fn attributes(&self) -> Vec<(String, String)> {
        let mut attributes = vec![("container".to_owned(), self.id.clone())];
        for (key, value) in [("namespace", &self.namespace), ("pod", &self.pod)] {
            if let Some(value) = value {
                attributes.push((key.to_owned(), value.clone()));
            }
        }
        attributes
    }

    /// The origin of one of the container's streams. `source` is left empty: pipes can't be read again.
    pub fn origin(&self, stream: Stream) -> Origin {
        let mut origin = Origin::new(OriginKind::Container, self.name.clone());
        origin.stream = stream;
        origin.attributes = self.attributes();
        origin
    }
}
