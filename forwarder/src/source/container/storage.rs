//! containers/storage, where Podman and CRI-O keep containers: names that outlive conmon.
//!
//! ```text
//! <place>/containers.json, <place>/volatile-containers.json   [{"id": …, "names": [name, …], …}, …]
//! <place>/<id>/userdata/config.json                           the bundle
//! <place>/<id>/userdata/ctr.log                               Podman's k8s-file log, unless put elsewhere
//! ```

use std::path::Path;

use serde::Deserialize;

use super::bundle::{Bundle, read_json};
use super::identity::{ContainerIdentity, LogFile, LogFormat, Runtime};
use super::kubernetes;
use super::proc::Proc;

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
}

/// Fills in what is known of the container in `directory` (`<place>/<id>`). False where it is not there, or nameless.
pub fn describe(proc: &Proc, directory: &Path, identity: &mut ContainerIdentity) -> bool {
    let bundle = Bundle::read(&proc.resolve(1, &directory.join("userdata")));
    let name = directory.parent().and_then(|place| name_in(proc, place, &identity.id));
    if bundle.is_none() && name.is_none() {
        return false;
    }
    if identity.runtime == Runtime::Unknown {
        identity.runtime = Runtime::Podman;
    }
    if let Some(name) = &name
        && !kubernetes::take_kubelet_name(name, identity)
    {
        identity.name.clone_from(name);
    }
    let described = bundle.is_some_and(|bundle| bundle.describe(proc, 1, identity));
    let log = proc.resolve(1, &directory.join("userdata/ctr.log"));
    if identity.log.is_none() && log.exists() {
        identity.log = Some(LogFile { path: log, format: LogFormat::K8sFile });
    }
    described || name.is_some()
}

fn name_in(proc: &Proc, place: &Path, id: &str) -> Option<String> {
    ["containers.json", "volatile-containers.json"].iter().find_map(|file| {
        let entries: Vec<Entry> = read_json(&proc.resolve(1, &place.join(file)))?;
        entries.into_iter().find(|entry| entry.id == id)?.names?.into_iter().next()
    })
}
