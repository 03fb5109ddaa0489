//! What a container printed before it was captured, from its log file.
//!
//! The file holds the stream from its start, the capture from the attachment on. Where the captured bytes begin in
//! the file is found by content; before that is the backlog. A stream that has captured nothing yet has the whole
//! file. Where the content says nothing (too short, repeated) after some attempts, the time of the lines decides,
//! which is exact but for what the runtime had read and not stamped yet at that moment.
//!
//! Limits: the newest [`MAX_BACKLOG`] bytes of a stream; rotated files are not read.

use std::time::{Duration, Instant};

use crate::record::Stream;
use crate::source::container::{LogFile, LogFormat};
use crate::source::logfile::Reader;
use crate::source::logfile::overlap::{docker_view, find_overlap};

/// Bytes of captured output that are looked for in the file.
pub(super) const HEAD_BYTES: usize = 64 << 10;
/// Bytes of a stream that are taken from its file.
const MAX_BACKLOG: usize = 16 << 20;
/// Pause before the first look and between looks: the runtime writes the file a moment after the pipe.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);
/// Looks before the time of the lines decides.
pub(super) const ATTEMPTS: u32 = 6;

/// A log file whose stream is held until its backlog is known.
pub(super) struct Pending {
    pub(super) log: BacklogLog,
    pub(super) attempts: u32,
    pub(super) ask_at: Instant,
}

/// Which part of which file.
#[derive(Clone, Debug)]
pub struct BacklogLog {
    pub file: LogFile,
    pub stream: Stream,
    /// Offset that an earlier run of the program had seen; 0: none had.
    pub from: u64,
    /// When capture of the stream began, ns since the epoch.
    pub attached_ns: i64,
}

pub(super) struct BacklogQuestion {
    pub(super) target: u32,
    pub(super) log: BacklogLog,
    pub(super) head: Vec<u8>,
    pub(super) is_last_attempt: bool,
}

/// Bytes with their times, in order.
pub(super) type Pieces = Vec<(i64, Vec<u8>)>;

pub(super) enum Backlog {
    Found(Pieces),
    NotYet,
}

pub(super) fn find(question: &BacklogQuestion) -> Backlog {
    let pieces = match read(&question.log) {
        Ok(pieces) => pieces,
        Err(error) => {
            tracing::warn!("what was printed before the start is not known: {error}");
            return Backlog::Found(Vec::new());
        }
    };
    if question.head.is_empty() {
        return Backlog::Found(pieces);
    }
    let payload: Vec<u8> = pieces.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    let found = match question.log.file.format {
        LogFormat::DockerJson => find_overlap(&payload, &docker_view(&question.head)),
        LogFormat::Cri | LogFormat::K8sFile => find_overlap(&payload, &question.head),
    };
    match found {
        Some(length) => Backlog::Found(prefix(pieces, length)),
        None if question.is_last_attempt => {
            Backlog::Found(pieces.into_iter().take_while(|(time, _)| *time < question.log.attached_ns).collect())
        }
        None => Backlog::NotYet,
    }
}

fn read(log: &BacklogLog) -> Result<Pieces, crate::source::logfile::ReadError> {
    // A file that is shorter than what was seen of it is another file.
    let length = std::fs::metadata(&log.file.path).map_or(0, |metadata| metadata.len());
    let from = if log.from <= length { log.from } else { 0 };
    let mut reader = Reader::open(&log.file.path, log.file.format, from)?;
    let mut pieces = std::collections::VecDeque::new();
    let mut bytes = 0;
    while let Some(chunk) = reader.next_chunk()? {
        if log.stream != Stream::Tty && chunk.stream != log.stream {
            continue;
        }
        bytes += chunk.payload.len();
        pieces.push_back((chunk.time_ns, chunk.payload));
        while bytes > MAX_BACKLOG {
            bytes -= pieces.pop_front().map_or(bytes, |(_, payload)| payload.len());
        }
    }
    Ok(pieces.into())
}

fn prefix(pieces: Pieces, mut length: usize) -> Pieces {
    let mut taken = Vec::new();
    for (time, mut bytes) in pieces {
        if length == 0 {
            break;
        }
        bytes.truncate(length);
        length -= bytes.len();
        taken.push((time, bytes));
    }
    taken
}
