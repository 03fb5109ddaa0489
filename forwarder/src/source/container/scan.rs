//! Finds the containers that run already, and what their first processes write to.

use std::collections::{BTreeMap, BTreeSet};

use super::cgroup::{Membership, parse_proc_cgroup};
use super::identity::ContainerIdentity;
use super::naming::{Named, Namer, event_of};
use super::proc::StdioIdentity;
use crate::record::Stream;

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningContainer {
    pub identity: ContainerIdentity,
    /// The first process, whose descriptors the streams are.
    pub init: u32,
    /// All processes of the container, the first one included.
    pub pids: Vec<u32>,
    /// One entry where stdout and stderr are the same pipe or terminal; none where both are files or sockets.
    pub stdio: Vec<(Stream, StdioIdentity)>,
}

/// What puts processes into the same container.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Id(String),
    PidNamespace(u64),
    Cgroup(String),
}

#[derive(Default)]
struct Members {
    pids: Vec<u32>,
    /// Pid 1 of a pid namespace.
    first: Option<u32>,
}

impl Namer {
    /// Every container that runs now. Some 20 µs a process of the machine.
    ///
    /// A container's first process is pid 1 of its pid namespace, or the oldest of its cgroup where containers
    /// share one (`shareProcessNamespace`, `--pid host`).
    pub fn scan_running(&self) -> Vec<RunningContainer> {
        let proc = &self.proc;
        let (host_mounts, host_pids) = (proc.namespace(1, "mnt"), proc.namespace(1, "pid"));
        let mut groups: BTreeMap<Group, Members> = BTreeMap::new();
        for pid in proc.pids() {
            let mounts = proc.namespace(pid, "mnt");
            if mounts.is_none() || mounts == host_mounts {
                continue;
            }
            let Some(text) = proc.cgroup(pid) else { continue };
            let pid_namespace = proc.namespace(pid, "pid").filter(|ns| Some(*ns) != host_pids);
            let group = match (parse_proc_cgroup(&text), pid_namespace) {
                (Membership::Monitor, _) => continue,
                (Membership::Container(found), _) if found.certain => Group::Id(found.id),
                (_, Some(namespace)) => Group::PidNamespace(namespace),
                _ => Group::Cgroup(text),
            };
            let members = groups.entry(group).or_default();
            members.pids.push(pid);
            // A container inside a container has a group of its own, so at most one of a group is its pid 1.
            if proc.status(pid).is_some_and(|status| status.ns_pids.len() > 1 && status.ns_pids.last() == Some(&1)) {
                members.first.get_or_insert(pid);
            }
        }
        let grouped: BTreeSet<u32> = groups.values().flat_map(|members| members.pids.iter().copied()).collect();
        let mut found: BTreeMap<u32, RunningContainer> = BTreeMap::new();
        for members in groups.into_values() {
            // One that has ended since it was listed has no start: it must not count as the oldest.
            let started = |&pid: &u32| Some((proc.start_time(pid)?, pid));
            let oldest = || members.pids.iter().filter_map(started).min().map(|(_, pid)| pid);
            let Some(first) = members.first.or_else(oldest) else { continue };
            let Some(event) = event_of(proc, first) else { continue };
            let Named::Container(mut identity) = self.name(&event) else { continue };
            // A namespace that a container's process made for itself belongs to that container. Equal ids alone
            // don't make two containers one: two daemons may both have a `web`.
            let init = identity.init_pid.filter(|init| grouped.contains(init)).unwrap_or(first);
            identity.init_pid = Some(init);
            let container = found.entry(init).or_insert_with(|| RunningContainer {
                identity,
                init,
                pids: Vec::new(),
                stdio: proc.streams(init),
            });
            container.pids.extend(members.pids);
            container.pids.sort_unstable();
        }
        found.into_values().collect()
    }
}
