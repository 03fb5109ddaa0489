//! Whose a captured pipe is: containers by their runtime's files, other programs by what the user selected.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use forwarder_common::{ExecRecord, PipeKey};

use super::backlog::BacklogLog;
use super::fill::ContainerLog;
use super::handle::{Added, ReaderHandle, StreamEnd, StreamEnds};
use super::names::{Known, Names};
use crate::record::{Origin, OriginHandle, OriginKind, Stream};
use crate::source::container::select::{self, SelectError, Selected};
use crate::source::container::{
    ContainerIdentity, ExecEvent, LogFile, NamePattern, Named, Namer, Proc, Runtime, StdioIdentity,
};

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
    pub ends: StreamEnds,
}

/// Under what the end of a stream is kept for the next run.
pub(super) fn stream_key(container: &str, stream: Stream) -> String {
    format!("{container}/{}", stream.name().unwrap_or_default())
}

/// Containers that an earlier run has seen.
pub struct Seen {
    pub running: usize,
    /// Streams of those that have ended since, of which the rest is read.
    pub ended: StreamEnds,
}

/// Adds the containers that run already, and the rest of those that an earlier run saw running. Called when the programs
/// are attached, so that none is missed in between.
pub fn add_running(reader: &ReaderHandle, proc: &Proc, exclude: &[NamePattern], logs: LogUse) -> Seen {
    let own = own_streams(proc);
    let mut running = Namer::new(proc.clone()).scan_running();
    let ids: HashSet<String> = running.iter().map(|container| container.identity.id.clone()).collect();
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
                resume: logs.ends.get(&stream_key(&log.container, *stream)).map(|end| end.anchor.clone()),
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
    let mut ended = logs.ends;
    ended.retain(|key, end| {
        let container = key.split('/').next().unwrap_or_default();
        logs.backlog && !ids.contains(container) && add_ended(reader, exclude, container, end)
    });
    Seen { running: running.len(), ended }
}

/// Adds what a container has still printed that an earlier run saw running, where its log file is still there.
fn add_ended(reader: &ReaderHandle, exclude: &[NamePattern], container: &str, end: &StreamEnd) -> bool {
    let Some((file, origin)) = &end.log else { return false };
    let attribute = |name: &str| origin.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let identity = ContainerIdentity {
        name: origin.name.clone(),
        namespace: attribute("namespace"),
        pod: attribute("pod"),
        ..ContainerIdentity::unresolved(container, Runtime::Unknown)
    };
    if is_excluded(exclude, &identity) {
        return false;
    }
    let Some(path) = still_there(&file.path) else {
        let (name, path) = (&origin.name, file.path.display());
        tracing::warn!("{name} has ended and {path} is gone: what it printed after the last run's end is not known");
        return false;
    };
    let file = LogFile { path, format: file.format };
    let resume = Some(end.anchor.clone());
    let rest = BacklogLog { file: file.clone(), stream: origin.stream, from_ns: 0, resume, attached_ns: 0 };
    reader.add_ended(OriginHandle::new(origin.clone()), rest, ContainerLog { container: container.to_owned(), file });
    true
}

/// The path of a file that may have been seen through a process that is gone.
fn still_there(path: &Path) -> Option<PathBuf> {
    let mut parts = path.components();
    let seen_through = parts.by_ref().take(4).collect::<PathBuf>();
    let on_host = (seen_through.starts_with("/proc") && seen_through.ends_with("root"))
        .then(|| Path::new("/proc/1/root").join(parts.as_path()));
    [Some(path.to_owned()), on_host].into_iter().flatten().find(|path| path.is_file())
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
