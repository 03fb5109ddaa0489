//! Reads container ids out of cgroup paths.
//!
//! In: the text of `/proc/PID/cgroup`, one path, or only its last part, which is all that the exec event of the
//! kernel side carries. Out: a [`ContainerRef`], or why there is none. Does no I/O.
//!
//! ```text
//! /kubepods/burstable/pod<uid>/<id>                              kubelet, cgroupfs driver
//! /kubepods.slice/…-pod<uid, _ for ->.slice/cri-containerd-<id>.scope   systemd driver; crio-<id>.scope
//! /docker/<id>    /system.slice/docker-<id>.scope                Docker
//! /libpod_parent/libpod-<id>   /machine.slice/libpod-<id>.scope[/container]   Podman (and below user.slice)
//! /<namespace>/<id>                                              ctr and nerdctl
//! /<id>    /user.slice/runc-<id>.scope                           plain runc, crun
//! ```
//!
//! Nested layouts (kind, Docker in a pod) hold several of these: the last one wins. Ids of ctr and runc are
//! arbitrary strings, so the last two layouts prove nothing: such a reference is not [`ContainerRef::certain`].

use super::identity::Runtime;

/// What a cgroup path says about the container that a process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    pub id: String,
    pub runtime: Runtime,
    /// The pod, where the kubelet's layout surrounds the id.
    pub kubernetes: Option<PodUid>,
    /// True where the layout itself proves a container; false where any cgroup could be called so.
    pub certain: bool,
}

/// A pod's uid, with dashes as the API server writes it (static pods: 32 hex digits without).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUid(pub String);

/// What a process belongs to, by its cgroup alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    Container(ContainerRef),
    /// The process of a runtime that watches a container (conmon), never the container itself.
    Monitor,
    /// A systemd unit (service, scope, slice) of the host.
    Unit(String),
    /// The root of the hierarchy: no cgroup of its own.
    Root,
}

/// Reads `/proc/PID/cgroup`: v1, v2 and hybrid.
///
/// A proven container in any hierarchy decides. Otherwise the path that most hierarchies agree on does, since
/// runtimes create a container's cgroup in all of them, while a single odd one is the host's own arrangement.
pub fn parse_proc_cgroup(text: &str) -> Membership {
    let mut paths: Vec<(u8, &str)> = text.lines().filter_map(hierarchy_path).collect();
    paths.sort_by_key(|(rank, _)| *rank);
    let mut monitor = false;
    for (_, path) in &paths {
        match parse_path(path) {
            Membership::Container(found) if found.certain => return Membership::Container(found),
            Membership::Monitor => monitor = true,
            _ => {}
        }
    }
    if monitor {
        return Membership::Monitor;
    }
    // The unified and the systemd hierarchy come first and break a tie.
    let mut best: Option<(usize, &str)> = None;
    for (_, path) in &paths {
        let votes = paths.iter().filter(|(_, other)| leaf_of(other) == leaf_of(path)).count();
        if best.is_none_or(|(most, _)| votes > most) {
            best = Some((votes, path));
        }
    }
    best.map_or(Membership::Root, |(_, path)| parse_path(path))
}

/// Reads one full cgroup path, as in a line of `/proc/PID/cgroup`.
pub fn parse_path(path: &str) -> Membership {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != "..").collect();
    let Some(last) = parts.last() else { return Membership::Root };
    for (index, part) in parts.iter().enumerate().rev() {
        let parent = index.checked_sub(1).map(|above| parts[above]);
        match classify(part, parent) {
            Part::Container { id, runtime } => {
                let kubernetes = parent.and_then(pod_uid);
                return Membership::Container(ContainerRef { id, runtime, kubernetes, certain: true });
            }
            Part::Monitor => return Membership::Monitor,
            Part::Other => {}
        }
    }
    // Nothing proven. Units of the host are never containers, whatever lies below a service was delegated to it.
    if let Some(unit) = parts.iter().rev().find(|part| is_unit(part)) {
        let below = parts.len() - 1 - parts.iter().rposition(|part| part == unit).unwrap_or(0);
        if below == 0 || !unit.ends_with(".slice") {
            return Membership::Unit((*unit).to_owned());
        }
    }
    if pod_uid(last).is_some() || is_structure(last) {
        return Membership::Root;
    }
    let runtime = match parts.len().checked_sub(2).map(|above| parts[above]) {
        Some("default" | "k8s.io" | "buildkit" | "nerdctl") => Runtime::Containerd,
        Some("moby") => Runtime::Docker,
        _ => Runtime::Unknown,
    };
    Membership::Container(ContainerRef { id: (*last).to_owned(), runtime, kubernetes: None, certain: false })
}

/// Reads the last part of a path, all that an exec event has. `container` (crun's inner cgroup) says nothing.
pub fn parse_leaf(leaf: &str) -> Membership {
    match leaf {
        "" | "/" => Membership::Root,
        leaf => parse_path(leaf),
    }
}

/// All paths of `/proc/PID/cgroup`, for selection by cgroup or unit.
pub fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(hierarchy_path).map(|(_, path)| path)
}

/// `id:controllers:path` → how much the hierarchy is to be trusted (0 most) and the path.
fn hierarchy_path(line: &str) -> Option<(u8, &str)> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let rank = match (id, controllers) {
        ("0", "") => 0,
        (_, "name=systemd") => 1,
        _ => 2,
    };
    Some((rank, path))
}

fn leaf_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or("")
}

enum Part {
    Container { id: String, runtime: Runtime },
    Monitor,
    Other,
}

/// Prefixes that runtimes put before a 64-digit id.
const PREFIXES: [(&str, Runtime); 7] = [
    ("cri-containerd-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("docker-", Runtime::Docker),
    ("libpod-payload-", Runtime::Podman),
    ("libpod-", Runtime::Podman),
    ("nerdctl-", Runtime::Containerd),
    ("containerd-", Runtime::Containerd),
];

fn classify(part: &str, parent: Option<&str>) -> Part {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    if name.starts_with("crio-conmon-") || name.starts_with("libpod-conmon-") {
        return Part::Monitor;
    }
    // Podman with the cgroupfs driver puts conmon beside its containers.
    if name == "conmon" && parent.is_some_and(|parent| parent.starts_with("libpod")) {
        return Part::Monitor;
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix)
            && is_long_id(id)
        {
            return Part::Container { id: id.to_owned(), runtime };
        }
    }
    if is_long_id(name) {
        let runtime = match parent {
            Some("docker" | "moby") => Runtime::Docker,
            Some("k8s.io" | "default") => Runtime::Containerd,
            _ => Runtime::Unknown,
        };
        return Part::Container { id: name.to_owned(), runtime };
    }
    // containerd with a systemd cgroup of its own making: `<slice>:cri-containerd:<id>` seen with misconfigured drivers.
    if let Some((_, id)) = name.rsplit_once(':')
        && is_long_id(id)
    {
        let runtime = if name.contains("containerd") { Runtime::Containerd } else { Runtime::Unknown };
        return Part::Container { id: id.to_owned(), runtime };
    }
    // runc and crun name a scope after themselves and take any id.
    if part.ends_with(".scope") {
        for prefix in ["runc-", "crun-"] {
            if let Some(id) = name.strip_prefix(prefix)
                && !id.is_empty()
            {
                return Part::Container { id: id.to_owned(), runtime: Runtime::Runc };
            }
        }
    }
    Part::Other
}

/// 64 lower-case hex digits: what Docker, Podman, CRI-O and the CRI plugin of containerd generate.
pub fn is_long_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// `pod<uid>` or `kubepods[-<qos>]-pod<uid with _>.slice` (kind: `kubelet-kubepods-…`) → the uid.
pub fn pod_uid(part: &str) -> Option<PodUid> {
    let uid = match part.strip_suffix(".slice") {
        Some(slice) => slice.contains("kubepods").then(|| slice.rsplit_once("-pod")).flatten()?.1.replace('_', "-"),
        None => part.strip_prefix("pod")?.to_owned(),
    };
    let hex = uid.bytes().filter(|&b| b != b'-').count();
    let valid = hex == 32 && uid.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    valid.then_some(PodUid(uid))
}

fn is_unit(part: &str) -> bool {
    const KINDS: [&str; 6] = [".slice", ".service", ".scope", ".mount", ".socket", ".swap"];
    KINDS.iter().any(|kind| part.len() > kind.len() && part.ends_with(kind))
}

/// Directories that hold containers, and sub-cgroups that a container makes for itself.
fn is_structure(part: &str) -> bool {
    matches!(
        part,
        "docker" | "kubepods" | "burstable" | "besteffort" | "libpod_parent" | "container" | "kubelet" | "supervisor"
    )
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
