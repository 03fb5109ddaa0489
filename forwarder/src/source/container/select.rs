//! Selection by hand: `--pid`, `--cgroup` and `--unit`, for processes that are no containers.

use super::cgroup::paths;
use super::proc::{Proc, StdioIdentity};
use crate::record::Stream;

/// A selected process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    pub pid: u32,
    /// The unit, else the last part of the cgroup, else the command.
    pub name: String,
    /// Pipes and terminals only. A service that writes to journald has sockets there, which are not captured.
    pub stdio: Vec<(Stream, StdioIdentity)>,
}

/// Nothing can be selected; the user named something that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error("no process has pid {0}")]
    NoProcess(u32),
    #[error("no process is in cgroup {0}: name it as in /proc/PID/cgroup or by its path below /sys/fs/cgroup")]
    NoCgroup(String),
    #[error("no process is in unit {unit}{}", similar_text(similar))]
    NoUnit { unit: String, similar: Vec<String> },
}

fn similar_text(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!(": units with processes are {}", similar.join(", ")) }
}

/// One process. Its threads share its descriptors; its children don't belong to it.
pub fn by_pid(proc: &Proc, pid: u32) -> Result<Selected, SelectError> {
    proc.status(pid).ok_or(SelectError::NoProcess(pid))?;
    let command = proc.cmdline(pid).first().cloned().unwrap_or_default();
    let name =
        command.rsplit('/').next().filter(|name| !name.is_empty()).map_or_else(|| pid.to_string(), str::to_owned);
    Ok(Selected { pid, name, stdio: proc.streams(pid) })
}

/// All processes in a cgroup and below it, of any hierarchy.
pub fn by_cgroup(proc: &Proc, path: &str) -> Result<Vec<Selected>, SelectError> {
    let given: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let below_mount = given.strip_prefix(&["sys", "fs", "cgroup"][..]);
    let matches = |candidate: &str| {
        let parts: Vec<&str> = candidate.split('/').filter(|part| !part.is_empty()).collect();
        match below_mount {
            // `/sys/fs/cgroup/<path>` on pure v2, `/sys/fs/cgroup/<hierarchy>/<path>` otherwise.
            Some(rest) => {
                parts.starts_with(rest) || (rest.len() > 1 && is_hierarchy(rest[0]) && parts.starts_with(&rest[1..]))
            }
            None => parts.starts_with(&given),
        }
    };
    let name = given.last().copied().unwrap_or("/").to_owned();
    let found = select(proc, &name, |text| paths(text).any(matches));
    if found.is_empty() { Err(SelectError::NoCgroup(path.to_owned())) } else { Ok(found) }
}

/// All processes of a systemd unit; `.service` may be left out.
pub fn by_unit(proc: &Proc, unit: &str) -> Result<Vec<Selected>, SelectError> {
    let full = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
    let found = select(proc, &full, |text| paths(text).any(|path| path.split('/').any(|part| part == full)));
    if !found.is_empty() {
        return Ok(found);
    }
    let mut similar: Vec<String> = Vec::new();
    for text in proc.pids().into_iter().filter_map(|pid| proc.cgroup(pid)) {
        let parts = paths(&text).flat_map(|path| path.split('/')).filter(|part| part.ends_with(".service"));
        for part in parts {
            if part.contains(unit.trim_end_matches(".service")) && !similar.iter().any(|known| known == part) {
                similar.push(part.to_owned());
            }
        }
    }
    similar.sort();
    similar.truncate(5);
    Err(SelectError::NoUnit { unit: full, similar })
}

/// Names of v1 mounts (`cpu,cpuacct` too) and of cgroup2 on a hybrid host.
fn is_hierarchy(name: &str) -> bool {
    const KNOWN: [&str; 15] = [
        "unified",
        "systemd",
        "cpu",
        "cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "net_cls",
        "net_prio",
        "hugetlb",
        "perf_event",
        "rdma",
    ];
    name.split(',').all(|part| KNOWN.contains(&part))
}

fn select(proc: &Proc, name: &str, matches: impl Fn(&str) -> bool) -> Vec<Selected> {
    let pids = proc.pids().into_iter().filter(|&pid| proc.cgroup(pid).is_some_and(|text| matches(&text)));
    pids.map(|pid| Selected { pid, name: name.to_owned(), stdio: proc.streams(pid) }).collect()
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
