//! Turns an exec event into a named container.
//!
//! The order of belief: the runtime's process above the new one (shim, conmon, runc) with the files that it
//! points at; the cgroup, with the directories in which runtimes keep containers; the bare id. Every step works
//! when the process itself is gone already, and the last one when everything is.
//!
//! A process with a mount namespace of its own that none of this knows is a sandboxed service or application of
//! the host (systemd's `PrivateTmp=`, snap, Flatpak, bubblewrap): refused with a [`Reason`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bundle::Bundle;
use super::cgroup::{ContainerRef, Membership, parse_leaf, parse_path, parse_proc_cgroup, paths};
use super::docker;
use super::identity::{ContainerIdentity, LogFile, LogFormat, Runtime};
use super::kubernetes;
use super::places::{Kind, Places, RuncState};
use super::proc::Proc;
use super::runtime::{Conmon, Parent, Runc, Shim, is_crio, recognise, sibling_bundle};
use super::seen::Seen;
use super::storage;

/// How far up a container's runtime is searched: container processes that make namespaces are a few levels deep.
const MAX_ANCESTORS: usize = 32;

/// The first exec in a new mount or pid namespace, as the kernel side reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecEvent {
    pub pid: u32,
    /// The parent when the event was made; 0 where unknown.
    pub parent: u32,
    /// Last part of the path in the unified hierarchy; empty in its root.
    pub cgroup_leaf: String,
    /// Last part of the path in a v1 hierarchy; empty on pure v2 and in the root.
    pub cgroup_v1_leaf: String,
}

/// The answer of [`Namer::name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    Container(ContainerIdentity),
    NotContainer(Reason),
}

/// Why a process with namespaces of its own is no container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("a unit of the host: {0}")]
    HostUnit(String),
    #[error("a snap: {0}")]
    Snap(String),
    #[error("a Flatpak application: {0}")]
    Flatpak(String),
    #[error("the monitor of a container, not the container")]
    Monitor,
    #[error("no cgroup of its own and no container runtime above it")]
    NoCgroup,
}

/// Names containers. Remembers where runtimes keep theirs; clones share what they learn.
#[derive(Clone, Debug)]
pub struct Namer {
    pub(super) proc: Proc,
    places: Arc<Places>,
    seen: Arc<Seen>,
}

impl Namer {
    pub fn new(proc: Proc) -> Self {
        Self { proc, places: Arc::default(), seen: Arc::default() }
    }

    /// Who the process of an event is. Takes some 0.1 ms of file reads; never blocks on a daemon.
    pub fn name(&self, event: &ExecEvent) -> Named {
        match self.look_up(event) {
            Named::Container(identity) => Named::Container(self.seen.complete(identity)),
            refused => refused,
        }
    }

    fn look_up(&self, event: &ExecEvent) -> Named {
        let membership = self.membership(event);
        let proven = match &membership {
            Membership::Container(found) if found.certain => Some(found),
            _ => None,
        };
        let identity = match self.runtime_above(event) {
            Some((pid, Parent::Shim(shim))) => Some(self.below_shim(event, pid, &shim, &membership)),
            // A cgroup that names another container is stronger than a command line.
            Some((pid, Parent::Conmon(conmon))) if proven.is_none_or(|found| found.id == conmon.id) => {
                Some(self.below_conmon(event, pid, &conmon))
            }
            Some((pid, Parent::Runc(runc))) => Some(self.below_runc(event, pid, &runc)),
            _ => None,
        };
        if let Some(mut identity) = identity {
            if let Some(found) = proven
                && found.id == identity.id
                && identity.pod_uid.is_none()
            {
                identity.pod_uid = found.kubernetes.clone().map(|uid| uid.0);
            }
            if identity.log.is_none() {
                identity.log = kubernetes::log_file(&self.proc, event.parent, &identity, None);
            }
            return Named::Container(identity);
        }
        match membership {
            Membership::Container(found) => Named::Container(self.by_reference(event, &found)),
            Membership::Monitor => Named::NotContainer(Reason::Monitor),
            Membership::Unit(unit) => {
                self.by_pid_only(event).map_or_else(|| Named::NotContainer(refuse(unit)), Named::Container)
            }
            Membership::Root => self.by_pid_only(event).map_or(Named::NotContainer(Reason::NoCgroup), Named::Container),
        }
    }

    /// What the cgroup says. The event's leaf names are older than what procfs says now, when the pid may be
    /// another process, so they win where both can't be true.
    fn membership(&self, event: &ExecEvent) -> Membership {
        let leaves = [event.cgroup_leaf.as_str(), event.cgroup_v1_leaf.as_str()];
        let text = self.proc.cgroup(event.pid).filter(|text| {
            let mut known = leaves.iter().filter(|leaf| !leaf.is_empty()).peekable();
            known.peek().is_none()
                || known.any(|leaf| paths(text).any(|path| path.split('/').any(|part| part == *leaf)))
        });
        let now = text.as_deref().map(parse_proc_cgroup);
        if let Some(Membership::Container(found)) = &now
            && found.certain
        {
            return Membership::Container(found.clone());
        }
        let by_leaf = leaves.map(parse_leaf);
        for membership in &by_leaf {
            match membership {
                Membership::Container(found) if found.certain => return membership.clone(),
                Membership::Monitor => return Membership::Monitor,
                _ => {}
            }
        }
        if let Some(now) = now {
            return if self.shares_parents_cgroup(event, text.as_deref()) { self.outer(now) } else { now };
        }
        // Gone: an arbitrary leaf is believed unless the parent or init sits in a cgroup of that name.
        let host = [event.parent, 1].map(|pid| self.proc.cgroup(pid).unwrap_or_default());
        let of_host =
            |leaf: &str| host.iter().any(|text| paths(text).any(|path| path.rsplit('/').next() == Some(leaf)));
        let [unified, v1] = by_leaf;
        match (unified, v1) {
            (Membership::Root, v1) if event.cgroup_v1_leaf.is_empty() || !of_host(&event.cgroup_v1_leaf) => v1,
            (unified @ Membership::Container(_), _) if of_host(&event.cgroup_leaf) => self.outer(unified),
            (Membership::Root, v1) => self.outer(v1),
            (unified, _) => unified,
        }
    }

    /// A cgroup shared with the parent proves nothing, unless it is a unit.
    fn outer(&self, membership: Membership) -> Membership {
        match membership {
            Membership::Container(_) => Membership::Root,
            other => other,
        }
    }

    fn shares_parents_cgroup(&self, event: &ExecEvent, text: Option<&str>) -> bool {
        // Where the parent is in the container too (an exec session of its own), its mount namespace is not the host's.
        let host = self.proc.namespace(1, "mnt");
        let parent_is_host = host.is_none() || self.proc.namespace(event.parent, "mnt") == host;
        parent_is_host && text.is_some() && self.proc.cgroup(event.parent).as_deref() == text
    }

    /// The nearest runtime process above, with its pid.
    fn runtime_above(&self, event: &ExecEvent) -> Option<(u32, Parent)> {
        let mut pid = event.parent;
        if pid == 0 || self.proc.status(pid).is_none() {
            // `runc create` is gone by now, and its child belongs to the shim.
            pid = self.proc.status(event.pid)?.parent;
        }
        let mut runc: Option<(u32, Parent)> = None;
        for _ in 0..MAX_ANCESTORS {
            if pid == 0 {
                break;
            }
            match recognise(&self.proc.cmdline(pid)) {
                // runc directly below a shim or conmon works for it; runc elsewhere was called by hand.
                Some(found @ (Parent::Shim(_) | Parent::Conmon(_))) => return Some((pid, found)),
                Some(found @ Parent::Runc(_)) => runc = runc.or(Some((pid, found))),
                None if runc.is_some() => break,
                None => {}
            }
            pid = self.proc.status(pid)?.parent;
        }
        runc
    }

    /// containerd and everything on top of it: ctr, nerdctl, CRI, Docker.
    fn below_shim(&self, event: &ExecEvent, pid: u32, shim: &Shim, membership: &Membership) -> ContainerIdentity {
        let cwd = self.proc.path(pid, "cwd");
        let directory = std::fs::read_link(&cwd).ok().map(without_deleted);
        if let Some(tasks) = directory.as_deref().and_then(Path::parent) {
            self.places.learn(Kind::Task, tasks);
        }
        let runtime = if shim.namespace == "moby" { Runtime::Docker } else { Runtime::Containerd };
        let reference = match membership {
            Membership::Container(found) => Some(found),
            _ => None,
        };
        let bundle_of = |id: &str| {
            let path = sibling_bundle(directory.as_deref()?, id)?;
            let path = self.proc.resolve(pid, &path);
            Bundle::read(&path).map(|bundle| (path, bundle))
        };
        let leaves = [event.cgroup_leaf.as_str(), event.cgroup_v1_leaf.as_str()];
        let by_cgroup = reference.map(|found| found.id.as_str()).into_iter().chain(leaves);
        let found = by_cgroup.filter_map(|id| Some((id, bundle_of(id)?))).next();
        let found = found.or_else(|| {
            // A proven id without a bundle is a container of the pod that is gone, not the sandbox.
            let proven = reference.is_some_and(|found| found.certain && found.id != shim.id);
            if proven { None } else { Some((shim.id.as_str(), bundle_of(&shim.id)?)) }
        });
        let Some((id, (path, bundle))) = found else {
            let id = reference.filter(|found| found.certain).map_or(shim.id.as_str(), |found| found.id.as_str());
            let mut identity = ContainerIdentity::unresolved(id, runtime);
            if id != shim.id
                && let Some((_, sandbox)) = bundle_of(&shim.id)
            {
                sandbox.describe(&self.proc, pid, &mut identity);
                id.clone_into(&mut identity.name);
                identity.sandbox = false;
                // containerd removes the bundle as soon as a container ends; its logs stay.
                let directory = sandbox.sandbox_log_directory();
                if let Some(only) = directory.and_then(|logs| kubernetes::only_container(&self.proc, pid, logs)) {
                    identity.name.clone_from(&only);
                    identity.container = Some(only);
                    identity.log = kubernetes::log_file(&self.proc, pid, &identity, directory);
                    identity.resolved = true;
                }
            }
            self.by_files(event, &mut identity);
            return identity;
        };
        let mut identity = ContainerIdentity::unresolved(id, runtime);
        identity.resolved = true;
        let named = bundle.describe(&self.proc, pid, &mut identity);
        if !named && let Some(directory) = bundle.docker_directory(id) {
            if let Some(place) = directory.parent() {
                self.places.learn(Kind::Docker, place);
            }
            identity.resolved = docker::describe(&self.proc, pid, &directory, &mut identity);
        }
        if identity.log.is_none() {
            let sandbox = bundle.sandbox_id().and_then(bundle_of).map(|(_, sandbox)| sandbox);
            let directory = sandbox.as_ref().and_then(Bundle::sandbox_log_directory);
            identity.log = kubernetes::log_file(&self.proc, pid, &identity, directory);
        }
        identity.init_pid = self.host_pid(event, read_pid(&path.join("init.pid")));
        identity
    }

    /// Podman and CRI-O.
    fn below_conmon(&self, event: &ExecEvent, pid: u32, conmon: &Conmon) -> ContainerIdentity {
        let runtime = if is_crio(conmon) { Runtime::CriO } else { Runtime::Podman };
        let mut identity = ContainerIdentity::unresolved(conmon.id.as_str(), runtime);
        identity.resolved = !conmon.name.is_empty();
        if identity.resolved {
            identity.name.clone_from(&conmon.name);
        }
        // `<storage>/<id>/userdata`
        if let Some(storage) = conmon.bundle.ancestors().nth(2).filter(|path| path.is_absolute()) {
            self.places.learn(Kind::Storage, storage);
        }
        kubernetes::take_kubelet_name(&conmon.name, &mut identity);
        if let Some(bundle) = Bundle::read(&self.proc.resolve(pid, &conmon.bundle)) {
            bundle.describe(&self.proc, pid, &mut identity);
        }
        if identity.log.is_none() && !identity.sandbox {
            identity.log = conmon.logs.iter().find_map(|log| {
                let path = match log.split_once(':') {
                    Some(("k8s-file" | "json-file", path)) => path,
                    Some(_) => return None,
                    None => log,
                };
                if !path.starts_with('/') {
                    return None;
                }
                let format = if runtime == Runtime::CriO { LogFormat::Cri } else { LogFormat::K8sFile };
                Some(LogFile { path: self.proc.resolve(pid, Path::new(path)), format })
            });
        }
        identity.init_pid = self.host_pid(event, read_pid(&self.proc.resolve(pid, &conmon.pid_file)));
        identity
    }

    /// runc or crun by hand.
    fn below_runc(&self, event: &ExecEvent, pid: u32, runc: &Runc) -> ContainerIdentity {
        let mut identity = ContainerIdentity::unresolved(runc.id.as_str(), Runtime::Runc);
        identity.resolved = true;
        let root = runc.root.clone().unwrap_or_else(|| PathBuf::from("/run/runc"));
        let root = self.absolute(pid, &root);
        self.places.learn(Kind::Runc, &root);
        let state = RuncState::read(&self.proc.resolve(pid, &root.join(&runc.id)));
        let bundle = state.as_ref().and_then(RuncState::bundle).map(Path::to_owned);
        let bundle = bundle.or_else(|| runc.bundle.as_ref().map(|path| self.absolute(pid, path)));
        if let Some(bundle) = bundle.and_then(|path| Bundle::read(&self.proc.resolve(pid, &path))) {
            bundle.describe(&self.proc, pid, &mut identity);
        }
        // While `runc run` starts a container its state is not written yet: then the event's process is the first.
        identity.init_pid = self
            .host_pid(event, state.map(|state| state.init_process_pid).filter(|&init| init != 0))
            .or(Some(event.pid));
        identity
    }

    /// No runtime above (any more): the id of the cgroup, and where runtimes keep containers.
    fn by_reference(&self, event: &ExecEvent, found: &ContainerRef) -> ContainerIdentity {
        let mut identity = ContainerIdentity::unresolved(found.id.as_str(), found.runtime);
        identity.pod_uid = found.kubernetes.clone().map(|uid| uid.0);
        self.by_files(event, &mut identity);
        identity
    }

    /// Fills in what files say about `identity.id`, wherever it was run.
    fn by_files(&self, event: &ExecEvent, identity: &mut ContainerIdentity) {
        let id = identity.id.clone();
        let directory = |path: PathBuf| self.proc.resolve(1, &path);
        for path in self.places.candidates(Kind::Docker, &id) {
            if docker::describe(&self.proc, 1, &path, identity) {
                identity.resolved = true;
                return;
            }
        }
        for path in self.places.candidates(Kind::Storage, &id) {
            if storage::describe(&self.proc, &path, identity) {
                identity.resolved = true;
                return;
            }
        }
        for path in self.places.candidates(Kind::Task, &id).into_iter().map(directory) {
            if let Some(bundle) = Bundle::read(&path) {
                bundle.describe(&self.proc, 1, identity);
                identity.resolved = true;
                identity.init_pid = self.host_pid(event, read_pid(&path.join("init.pid")));
                if identity.log.is_none() {
                    identity.log = kubernetes::log_file(&self.proc, 1, identity, None);
                }
                return;
            }
        }
        for path in self.places.candidates(Kind::Runc, &id).into_iter().map(directory) {
            if let Some(state) = RuncState::read(&path) {
                identity.runtime = Runtime::Runc;
                identity.init_pid = self.host_pid(event, Some(state.init_process_pid));
                identity.resolved = true;
                return;
            }
        }
        if kubernetes::name_by_log_link(&self.proc, 1, identity) {
            identity.resolved = true;
        }
    }

    /// A rootless or cgroup-less container of runc: found by the pid in its state.
    fn by_pid_only(&self, event: &ExecEvent) -> Option<ContainerIdentity> {
        let state = RuncState::find_by_pid(&self.places, &self.proc, event.pid)?;
        let mut identity = ContainerIdentity::unresolved(state.id, Runtime::Runc);
        identity.init_pid = Some(event.pid);
        identity.resolved = true;
        Some(identity)
    }

    /// A pid from a runtime's file as this procfs counts it; runtimes in a pid namespace (kind) count otherwise.
    fn host_pid(&self, event: &ExecEvent, written: Option<u32>) -> Option<u32> {
        let written = written?;
        if written == event.pid {
            return Some(written);
        }
        match self.proc.status(event.pid) {
            Some(status) if status.ns_pids.len() > 2 => status.ns_pids.contains(&written).then_some(event.pid),
            _ => Some(written),
        }
    }

    fn absolute(&self, pid: u32, path: &Path) -> PathBuf {
        if path.is_absolute() {
            return path.to_owned();
        }
        let cwd = std::fs::read_link(self.proc.path(pid, "cwd")).map(without_deleted);
        cwd.unwrap_or_else(|_| PathBuf::from("/")).join(path)
    }
}

/// `readlink` of a directory that was removed ends so.
fn without_deleted(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => PathBuf::from(text),
        None => path,
    }
}

fn read_pid(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn refuse(unit: String) -> Reason {
    if unit.starts_with("snap.") {
        Reason::Snap(unit)
    } else if unit.starts_with("app-flatpak-") || unit.starts_with("flatpak-") {
        Reason::Flatpak(unit)
    } else {
        Reason::HostUnit(unit)
    }
}

/// The event that the kernel would have made for a process that runs already.
pub(super) fn event_of(proc: &Proc, pid: u32) -> Option<ExecEvent> {
    let text = proc.cgroup(pid)?;
    let leaf = |path: &str| path.rsplit('/').next().unwrap_or("").to_owned();
    let unified = text.lines().find_map(|line| line.strip_prefix("0::")).map(leaf).unwrap_or_default();
    let v1 = paths(&text).find(|path| !matches!(parse_path(path), Membership::Root)).map(leaf).unwrap_or_default();
    Some(ExecEvent { pid, parent: proc.status(pid)?.parent, cgroup_leaf: unified, cgroup_v1_leaf: v1 })
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
