//! What a path says about who wrote the file.
//!
//! ```text
//! …/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log          kubelet; rotated: <restarts>.log.<time>
//! …/containers/<pod>_<namespace>_<container>-<id>.log                kubelet's links to the files above
//! …/containers/<id>/<id>-json.log                                    Docker; rotated: <id>-json.log.<n>
//! ```
//!
//! The folders above are not looked at: where the host's files are mounted at another place they mean the same.
//! Kubernetes names hold no `_`, which is why these can be taken apart.

use std::path::Path;

/// A container, as far as its log's path names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerLog {
    /// The container's name; of Docker, its id.
    pub(super) name: String,
    /// Sorted by key; the ones that captured containers have, and `restarts`.
    pub(super) attributes: Vec<(String, String)>,
}

/// The container whose log lies at `path`; `None` where it looks like no container's.
pub(super) fn container(path: &Path) -> Option<ContainerLog> {
    let parts: Vec<&str> = path.iter().rev().take(4).map(|part| part.to_str()).collect::<Option<_>>()?;
    match parts[..] {
        [file, container, pod, "pods"] => of_pod(file, container, pod),
        [file, "containers", ..] => of_link(file),
        [file, id, "containers", ..] => of_docker(file, id),
        _ => None,
    }
}

/// Whether the compressed file `packed` may be what `plain` was, by its name: it lies beside it, and both begin with the
/// same word, as `app.log` and `app.log.1.gz` or `app-20260101.log.gz`.
pub(super) fn is_beside(packed: &Path, plain: &Path) -> bool {
    let word = |path: &Path| -> Option<String> {
        let name = path.file_name()?.to_string_lossy();
        let word = name.trim_start_matches(['.', '-']).split(['.', '-']).next().unwrap_or_default();
        Some(word.to_owned())
    };
    packed.parent() == plain.parent() && word(packed) == word(plain)
}

fn of_pod(file: &str, container: &str, pod: &str) -> Option<ContainerLog> {
    let [namespace, pod, _uid] = split(pod)?;
    let (restarts, _rotated) = file.split_once(".log")?;
    restarts.parse::<u32>().ok()?;
    let attributes = [("namespace", namespace), ("pod", pod), ("restarts", restarts)];
    Some(named(container, &attributes))
}

fn of_link(file: &str) -> Option<ContainerLog> {
    let [pod, namespace, container] = split(file.strip_suffix(".log")?)?;
    let (container, id) = container.rsplit_once('-')?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && !container.is_empty())
        .then(|| named(container, &[("container", id), ("namespace", namespace), ("pod", pod)]))
}

fn of_docker(file: &str, id: &str) -> Option<ContainerLog> {
    file.strip_prefix(id)?.strip_prefix("-json.log")?;
    Some(named(id, &[("container", id)]))
}

/// Three names between two `_`.
fn split(text: &str) -> Option<[&str; 3]> {
    let parts: Vec<&str> = text.split('_').collect();
    let [a, b, c] = parts[..] else { return None };
    (!a.is_empty() && !b.is_empty() && !c.is_empty()).then_some([a, b, c])
}

fn named(name: &str, attributes: &[(&str, &str)]) -> ContainerLog {
    let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ContainerLog { name: name.to_owned(), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_containers() {
        let of = |path: &str| container(Path::new(path)).map(|log| (log.name, log.attributes));
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<Vec<_>>();
        let pod = pairs(&[("namespace", "shop"), ("pod", "web-0"), ("restarts", "2")]);
        for path in
            ["/var/log/pods/shop_web-0_6b1c/app/2.log", "/host/log/pods/shop_web-0_6b1c/app/2.log.20260101-000000"]
        {
            assert_eq!(of(path), Some(("app".into(), pod.clone())), "{path}");
        }
        let id = "0123456789abcdef".repeat(4);
        let link = pairs(&[("container", &id), ("namespace", "shop"), ("pod", "web-0")]);
        assert_eq!(of(&format!("/var/log/containers/web-0_shop_my-app-{id}.log")), Some(("my-app".into(), link)));
        let docker = format!("/var/lib/docker/containers/{id}/{id}-json.log");
        assert_eq!(of(&docker), Some((id.clone(), pairs(&[("container", &id)]))));
        for other in [
            "/",
            "/var/log/syslog",
            "/var/log/pods/a_b/app/2.log",
            "/var/log/pods/a_b_c/app/x.log",
            "/var/log/pods/_b_c/app/0.log",
            "/var/log/containers/a_b_c.log",
            "/var/log/containers/a_b_c-12.log",
            "/x/containers/abc/abd-json.log",
            "/var/log/pods/a_b_c/0.log",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn what_may_have_been_compressed() {
        let beside = |packed: &str, plain: &str| is_beside(Path::new(packed), Path::new(plain));
        for (packed, plain) in [
            ("/l/app.log.1.gz", "/l/app.log"),
            ("/l/app.log.2.gz", "/l/app.log.1"),
            ("/l/app-20260101.log.gz", "/l/app-20260101.log"),
            ("/l/0.log.20260101-120000.gz", "/l/0.log"),
            ("/l/messages", "/l/messages"),
            ("/l/.gz", "/l/.gz"),
        ] {
            assert!(beside(packed, plain), "{packed} {plain}");
        }
        for (packed, plain) in [("/l/app.log.1.gz", "/m/app.log"), ("/l/app.log.1.gz", "/l/web.log"), ("/", "/l/a")] {
            assert!(!beside(packed, plain), "{packed} {plain}");
        }
    }
}
