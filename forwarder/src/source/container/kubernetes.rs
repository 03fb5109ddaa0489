//! Kubernetes' conventions: where the kubelet puts logs, and names that say more than a name.
//!
//! ```text
//! /var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log
//! /var/log/containers/<pod>_<namespace>_<container>-<id>.log → the file above
//! k8s_<container>_<pod>_<namespace>_<uid>_<attempt>            a container's name for conmon and cri-dockerd
//! ```
//!
//! Kubernetes names hold no `_`, which is why these can be taken apart.

use std::fs;
use std::path::{Path, PathBuf};

use super::identity::{ContainerIdentity, LogFile, LogFormat};
use super::proc::Proc;

const POD_LOGS: &str = "/var/log/pods";
const CONTAINER_LOGS: &str = "/var/log/containers";

/// Takes `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>` apart; false for any other name.
pub fn take_kubelet_name(name: &str, identity: &mut ContainerIdentity) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let ["k8s", container, pod, namespace, uid, attempt] = parts[..] else { return false };
    if container.is_empty() || pod.is_empty() || namespace.is_empty() || attempt.parse::<u32>().is_err() {
        return false;
    }
    identity.pod = Some(pod.to_owned());
    identity.namespace = Some(namespace.to_owned());
    identity.pod_uid = Some(uid.to_owned());
    // The name of the pause container since Docker's days.
    if container == "POD" {
        identity.sandbox = true;
        identity.container = None;
        pod.clone_into(&mut identity.name);
    } else {
        identity.container = Some(container.to_owned());
        container.clone_into(&mut identity.name);
    }
    true
}

/// The newest log of a container of a pod: in `pod_logs` where the runtime says so, else in the kubelet's place.
pub fn log_file(proc: &Proc, pid: u32, identity: &ContainerIdentity, pod_logs: Option<&str>) -> Option<LogFile> {
    let container = identity.container.as_deref()?;
    let directory = match pod_logs {
        Some(directory) => PathBuf::from(directory),
        None => {
            let (namespace, pod) = (identity.namespace.as_deref()?, identity.pod.as_deref()?);
            let uid = identity.pod_uid.as_deref()?;
            Path::new(POD_LOGS).join(format!("{namespace}_{pod}_{uid}"))
        }
    };
    let directory = directory.join(container);
    let newest = newest_log(&proc.resolve(pid, &directory))?;
    let path = proc.resolve(pid, &directory.join(format!("{newest}.log")));
    Some(LogFile { path, format: LogFormat::Cri })
}

/// Restarts are counted in the file's name; the running instance has the highest.
fn newest_log(directory: &Path) -> Option<u32> {
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).max()
}

/// The name of a pod's only container, by its log directories; `None` where the pod has several.
pub fn only_container(proc: &Proc, pid: u32, pod_logs: &str) -> Option<String> {
    let mut names = fs::read_dir(proc.resolve(pid, Path::new(pod_logs))).ok()?.flatten().map(|entry| entry.file_name());
    match (names.next(), names.next()) {
        (Some(only), None) => only.into_string().ok(),
        _ => None,
    }
}

/// Names a container of which only the id is left, by the link that the kubelet keeps for it.
pub fn name_by_log_link(proc: &Proc, pid: u32, identity: &mut ContainerIdentity) -> bool {
    let Ok(entries) = fs::read_dir(proc.resolve(pid, Path::new(CONTAINER_LOGS))) else { return false };
    let suffix = format!("-{}.log", identity.id);
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(parts) = file_name.to_str().and_then(|name| name.strip_suffix(suffix.as_str())) else { continue };
        let parts: Vec<&str> = parts.split('_').collect();
        let [pod, namespace, container] = parts[..] else { continue };
        identity.pod = Some(pod.to_owned());
        identity.namespace = Some(namespace.to_owned());
        identity.container = Some(container.to_owned());
        container.clone_into(&mut identity.name);
        if let Ok(target) = fs::read_link(entry.path()) {
            identity.log = Some(LogFile { path: proc.resolve(pid, &target), format: LogFormat::Cri });
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::container::Runtime;

    #[test]
    fn kubelet_names() {
        let mut identity = ContainerIdentity::unresolved("x", Runtime::CriO);
        assert!(take_kubelet_name("k8s_app_web-0_shop_6b1c_2", &mut identity));
        assert_eq!((identity.name.as_str(), identity.pod.as_deref()), ("app", Some("web-0")));
        assert_eq!(identity.namespace.as_deref(), Some("shop"));
        assert!(take_kubelet_name("k8s_POD_web-0_shop_6b1c_0", &mut identity));
        assert_eq!((identity.name.as_str(), identity.container.as_deref()), ("web-0", None));
        assert!(identity.sandbox);
        for other in ["", "web_1", "k8s_a_b_c_d", "k8s_a_b_c_d_x", "k8s_a_b_c_d_1_2", "k8s__b_c_d_1"] {
            assert!(!take_kubelet_name(other, &mut ContainerIdentity::unresolved("x", Runtime::Docker)), "{other}");
        }
    }
}
