//! Where captured streams ended, as the capture knows it and as the state keeps it.

use crate::record::Origin;
use crate::source::container::{LogFile, LogFormat};
use crate::source::ebpf::handle::{StreamEnd, StreamEnds};
use crate::source::logfile::Anchor;
use crate::state::{self, StateDir, StreamLog, StreamLogFormat};

/// Where streams ended in the last run, if that ended in order.
pub(super) fn take(state: Option<&StateDir>) -> StreamEnds {
    let ends = state.map(StateDir::take_stream_ends).unwrap_or_default();
    ends.into_iter().map(|(key, end)| (key, known(end))).collect()
}

/// Keeps those of containers that have ended until all destinations have got the rest.
pub(super) fn set_ended(state: Option<&StateDir>, ends: StreamEnds) {
    if let Some(state) = state {
        state.set_ended_streams(ends.into_iter().map(|(key, end)| (key, stored(end))).collect());
    }
}

/// Keeps them for the next run.
pub(super) fn set(state: Option<&StateDir>, ends: StreamEnds) {
    if let Some(state) = state {
        state.set_stream_ends(ends.into_iter().map(|(key, end)| (key, stored(end))).collect());
    }
}

fn known(end: state::StreamEnd) -> StreamEnd {
    let anchor = Anchor { bytes: end.bytes, from_ns: end.from_ns, last_ns: end.last_ns };
    let log = end.log.and_then(|log| {
        let format = match log.format {
            StreamLogFormat::Cri => LogFormat::Cri,
            StreamLogFormat::DockerJson => LogFormat::DockerJson,
            StreamLogFormat::K8sFile => LogFormat::K8sFile,
        };
        Some((LogFile { path: log.path, format }, Origin::decode(&log.origin).ok()?))
    });
    StreamEnd { anchor, log }
}

fn stored(end: StreamEnd) -> state::StreamEnd {
    let Anchor { bytes, from_ns, last_ns } = end.anchor;
    let log = end.log.map(|(LogFile { path, format }, origin)| {
        let format = match format {
            LogFormat::Cri => StreamLogFormat::Cri,
            LogFormat::DockerJson => StreamLogFormat::DockerJson,
            LogFormat::K8sFile => StreamLogFormat::K8sFile,
        };
        StreamLog { path, format, origin: origin.encode() }
    });
    state::StreamEnd { bytes, from_ns, last_ns, log }
}
