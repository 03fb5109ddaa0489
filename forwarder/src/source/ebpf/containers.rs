//! Whose a captured pipe is: containers by their runtime's files, other programs by what the user selected.

use std::collections::{HashMap, HashSet};

use forwarder_common::{ExecRecord, PipeKey};

use super::backlog::BacklogLog;
use super::fill::ContainerLog;
use super::handle::{Added, ReaderHandle};
use super::names::{Known, Names};
use crate::record::{Origin, OriginHandle, OriginKind, Stream};
use crate::source::container::select::{self, SelectError, Selected};
use crate::source::container::{ContainerIdentity, ExecEvent, NamePattern, Named, Namer, Proc, StdioIdentity};
use crate::source::logfile::Anchor;

/// Names containers for the reader.
pub struct ContainerNames {
    namer: Namer,
    proc: Proc,
    exclude: Vec<NamePattern>,
    fill: bool,
}

impl ContainerNames {
    /// `exclude`: containers that are not captured. `fill`: gaps are filled from the containers' log files.
    pub fn new(proc: Proc, exclude: Vec<NamePattern>, fill: bool) -> Self {
        Self { namer: Namer::new(proc.clone()), proc, exclude, fill }
    }
}

impl Names for ContainerNames {
    fn name(&mut self, exec: &ExecRecord) -> Option<Known> {
        let event = ExecEvent {
            pid: exec.process,
            parent: exec.parent,
            cgroup_leaf: leaf(&exec.cgroup_v2),
            cgroup_v1_leaf: leaf(&exec.cgroup_v1),
        };
        match self.namer.name(&event) {
            // Namespaces of containers that ran before look new when something is executed in them.
            Named::Container(identity) if identity.init_pid.is_some_and(|init| init != exec.process) => {
                tracing::debug!(container = identity.name, pid = exec.process, "not captured: not its first process");
                None
            }
            Named::Container(identity) if is_excluded(&self.exclude, &identity) => None,
            Named::Container(identity) => {
                tracing::debug!(container = identity.name, id = identity.id, pid = exec.process, "captured");
                let streams = [(Stream::Stdout, exec.is_tty[0]), (Stream::Stderr, exec.is_tty[1])];
                let origins = streams.map(|(stream, is_tty)| {
                    OriginHandle::new(identity.origin(if is_tty == 1 { Stream::Tty } else { stream }))
                });
                Some(Known { origins, log: log_of(&identity).filter(|_| self.fill) })
            }
            Named::NotContainer(reason) => {
                tracing::debug!(pid = exec.process, "not captured: {reason}");
                None
            }
        }
    }

    fn held(&mut self, keys: &[PipeKey]) -> HashSet<PipeKey> {
        let written = self.proc.all_written();
        keys.iter().filter(|key| written.contains(&(device_of(key), key.inode))).copied().collect()
    }
}

fn log_of(identity: &ContainerIdentity) -> Option<ContainerLog> {
    Some(ContainerLog { container: identity.id.clone(), file: identity.log.clone()? })
}

/// How log files are used besides the capture.
#[derive(Default)]
pub struct LogUse {
    /// What was printed before Ringward started comes from them.
    pub backlog: bool,
    /// What the capture has missed comes from them.
    pub fill: bool,
    /// What was stamped before this time has been delivered by an earlier run, ns since the epoch; 0: there was none.
    pub from_ns: i64,
    /// Where an earlier run has ended, by [`stream_key`].
    pub ends: HashMap<String, Anchor>,
}

/// Under what the end of a stream is kept for the next run.
pub(super) fn stream_key(container: &str, stream: Stream) -> String {
    format!("{container}/{}", stream.name().unwrap_or_default())
}

/// Adds the containers that run already. Called when the programs are attached, so that none is missed in between.
/// Returns their number.
pub fn add_running(reader: &ReaderHandle, proc: &Proc, exclude: &[NamePattern], logs: &LogUse) -> usize {
    let own = own_streams(proc);
    let mut running = Namer::new(proc.clone()).scan_running();
    running.retain(|container| {
        !container.pids.contains(&std::process::id()) && !is_excluded(exclude, &container.identity)
    });
    for container in &running {
        let identity = &container.identity;
        tracing::debug!(container = identity.name, id = identity.id, pid = container.init, "runs already");
        let log = log_of(identity);
        for (stream, identity) in container.stdio.iter().filter(|(_, identity)| !own.contains(identity)) {
            let before = log.as_ref().filter(|_| logs.backlog).map(|log| BacklogLog {
                file: log.file.clone(),
                stream: *stream,
                from_ns: logs.from_ns,
                resume: logs.ends.get(&stream_key(&log.container, *stream)).cloned(),
                attached_ns: 0,
            });
            let added = Added {
                origin: OriginHandle::new(container.identity.origin(*stream)),
                process: Some(container.init),
                before,
                log: log.clone().filter(|_| logs.fill),
            };
            reader.add(key_of(identity), added);
        }
    }
    running.len()
}

fn is_excluded(exclude: &[NamePattern], identity: &ContainerIdentity) -> bool {
    let is_excluded = exclude.iter().any(|pattern| pattern.matches(identity));
    if is_excluded {
        tracing::debug!(container = identity.name, id = identity.id, "not captured: excluded");
    }
    is_excluded
}

/// Adds what `--pid`, `--cgroup` and `--unit` select.
///
/// # Errors
/// Where a selection matches nothing.
pub fn add_selected(
    reader: &ReaderHandle,
    proc: &Proc,
    pids: &[u32],
    cgroups: &[String],
    units: &[String],
) -> Result<usize, SelectError> {
    let own = own_streams(proc);
    let mut selected: Vec<Selected> = Vec::new();
    for pid in pids {
        selected.push(select::by_pid(proc, *pid)?);
    }
    for cgroup in cgroups {
        selected.extend(select::by_cgroup(proc, cgroup)?);
    }
    for unit in units {
        selected.extend(select::by_unit(proc, unit)?);
    }
    let mut added = 0;
    for process in selected.iter().filter(|process| process.pid != std::process::id()) {
        for (stream, identity) in &process.stdio {
            if own.contains(identity) {
                continue;
            }
            let origin = Origin { stream: *stream, ..Origin::new(OriginKind::Process, process.name.clone()) };
            let origin = OriginHandle::new(origin);
            reader.add(key_of(identity), Added { origin, process: Some(process.pid), before: None, log: None });
            added += 1;
        }
    }
    Ok(added)
}

/// What this process itself writes to: capturing that would be a loop.
fn own_streams(proc: &Proc) -> Vec<StdioIdentity> {
    proc.streams(std::process::id()).into_iter().map(|(_, identity)| identity).collect()
}

fn key_of(identity: &StdioIdentity) -> PipeKey {
    PipeKey { inode: identity.ino, device: identity.kernel_dev(), zero: 0 }
}

/// The reverse: the device as user space writes it.
fn device_of(key: &PipeKey) -> u64 {
    rustix::fs::makedev(key.device >> 20, key.device & 0xf_ffff)
}

fn leaf(name: &[u8]) -> String {
    let end = memchr::memchr(0, name).unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..end]).into_owned();
    // The root of a hierarchy has no name.
    if name == "/" { String::new() } else { name }
}
