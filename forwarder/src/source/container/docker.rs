//! Docker's own file about a container: `<data root>/containers/<id>/config.v2.json`.

use std::path::Path;

use serde::Deserialize;

use super::bundle::read_json;
use super::identity::{ContainerIdentity, LogFile, LogFormat, Runtime};
use super::proc::Proc;

/// The keys that are read; the file has some hundred.
#[derive(Debug, Deserialize)]
struct ConfigV2 {
    #[serde(rename = "ID", default)]
    id: String,
    /// With a leading `/`.
    #[serde(rename = "Name", default)]
    name: String,
    /// Empty for every log driver but `json-file`.
    #[serde(rename = "LogPath", default)]
    log_path: String,
    #[serde(rename = "Config", default)]
    config: Option<ContainerConfig>,
}

#[derive(Debug, Deserialize)]
struct ContainerConfig {
    #[serde(rename = "Image", default)]
    image: String,
}

/// Fills in Docker's names from `dir`, as the process `pid` (a shim) sees it. False where the file is gone.
///
/// Under cri-dockerd a name is `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`: taken apart here.
pub fn describe(proc: &Proc, pid: u32, dir: &Path, identity: &mut ContainerIdentity) -> bool {
    let Some(config) = read_json::<ConfigV2>(&proc.resolve(pid, &dir.join("config.v2.json"))) else { return false };
    if config.id != identity.id {
        return false;
    }
    identity.runtime = Runtime::Docker;
    let name = config.name.trim_start_matches('/');
    if !name.is_empty() {
        name.clone_into(&mut identity.name);
    }
    identity.image = config.config.map(|config| config.image).filter(|image| !image.is_empty());
    if !config.log_path.is_empty() {
        let path = proc.resolve(pid, Path::new(&config.log_path));
        identity.log = Some(LogFile { path, format: LogFormat::DockerJson });
    }
    super::kubernetes::take_kubelet_name(name, identity);
    true
}
