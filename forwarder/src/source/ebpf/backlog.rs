//! What a container printed before it was captured, from its log file.
//!
//! The file holds the stream from its start, the capture from the attachment on. Lines that the runtime stamped before
//! the attachment are backlog; behind them, where the captured bytes begin in the file is found by content. A stream
//! that has captured nothing has the whole file, which is believed when a second look says the same. Where the content
//! says nothing (too short, repeated) after some attempts, the first place that fits is taken.
//!
//! Where an earlier run of the program that ended in order has handed on a stream to its last byte, what follows these
//! bytes in the file is backlog. Where it did not end in order, time tells: a line is stamped a moment after it is
//! written, so one that was stamped before that run's oldest record that was still to be delivered is not backlog. One
//! that was delivered and not stamped yet comes twice: better than not at all.
//!
//! Limits: the newest [`MAX_FILE`] bytes of a file and those that it was rotated to, and [`MAX_BACKLOG`] of a stream.
//! One file is looked at at a time, so that many containers with long logs need the memory of one.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::record::Stream;
use crate::source::container::{LogFile, LogFormat};
use crate::source::logfile::overlap::{docker_view, find_overlap, first_fit};
use crate::source::logfile::{Anchor, Pieces, ReadError, Series};

/// Bytes of captured output that are looked for in the file.
pub(super) const HEAD_BYTES: usize = 64 << 10;
/// Bytes of files that are read: a stream's backlog with its stamps, escapes and the other stream's lines.
const MAX_FILE: u64 = 128 << 20;
/// Bytes of a stream that are taken from its file.
const MAX_BACKLOG: usize = 16 << 20;
/// Pause before the first look and between looks: the runtime writes the file a moment after the pipe.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);
/// Looks before the first place that fits is taken.
pub(super) const ATTEMPTS: u32 = 10;

/// A log file whose stream is held until its backlog is known.
pub(super) struct Pending {
    pub(super) log: BacklogLog,
    pub(super) attempts: u32,
    pub(super) ask_at: Instant,
    /// There while a question is open. Who answers looks whether it is still there: a stale question is skipped.
    pub(super) open: Option<Arc<()>>,
    /// Bytes of the file when it was last looked at and nothing had been captured.
    pub(super) silent: Option<usize>,
}

impl Pending {
    pub(super) fn new(log: BacklogLog) -> Self {
        Self { log, attempts: 0, ask_at: Instant::now() + INTERVAL, open: None, silent: None }
    }
}

/// Which part of which file.
#[derive(Clone, Debug)]
pub struct BacklogLog {
    pub file: LogFile,
    pub stream: Stream,
    /// What was stamped before this time has been captured by an earlier run of the program; 0: there was none.
    pub from_ns: i64,
    /// What an earlier run handed on last of the stream, where it ended in order.
    pub resume: Option<Anchor>,
    /// A time before capture of the stream began, ns since the epoch.
    pub attached_ns: i64,
}

impl BacklogLog {
    /// Where the backlog begins: behind it. Without bytes, where it is told by time.
    pub(super) fn start(&self) -> Anchor {
        let by_time = || Anchor { bytes: Vec::new(), from_ns: self.from_ns, last_ns: self.from_ns };
        self.resume.clone().unwrap_or_else(by_time)
    }
}

pub(super) struct BacklogQuestion {
    /// See [`Pending::open`].
    pub(super) open: Weak<()>,
    /// See [`Pending::silent`].
    pub(super) silent: Option<usize>,
    pub(super) target: u32,
    pub(super) log: BacklogLog,
    /// When the first captured byte was written; `None`: nothing is captured yet.
    pub(super) first_ns: Option<i64>,
    /// The first bytes that were captured, as far as they have no gap.
    pub(super) head: Vec<u8>,
    pub(super) is_last_attempt: bool,
}

pub(super) enum Backlog {
    Found(Pieces),
    /// All of the file, as long as nothing has been captured: its bytes, and themselves where they are believed.
    Silent(usize, Option<Pieces>),
    NotYet,
}

pub(super) fn find(question: &BacklogQuestion) -> Backlog {
    if question.open.strong_count() == 0 {
        return Backlog::NotYet;
    }
    let log = &question.log;
    let pieces = match read(log) {
        Ok(pieces) => pieces,
        Err(error) => {
            tracing::warn!("what was printed before the start is not known: {error}");
            return Backlog::Found(Pieces::default());
        }
    };
    let Some(first_ns) = question.first_ns else {
        let length = pieces.bytes().len();
        let is_believed = question.silent == Some(length) || question.is_last_attempt;
        return Backlog::Silent(length, is_believed.then_some(pieces));
    };
    let certain = pieces.before(log.attached_ns);
    let payload = &pieces.bytes()[certain..];
    let head = match log.file.format {
        LogFormat::DockerJson => docker_view(&question.head),
        LogFormat::Cri | LogFormat::K8sFile => question.head.as_slice().into(),
    };
    match find_overlap(payload, &head) {
        Some(at) => Backlog::Found(pieces.prefix(certain + at)),
        None if question.is_last_attempt => {
            let at = first_fit(payload, &head).map(|at| certain + at);
            // Not even that: the file holds something else, what a terminal has echoed for example.
            let length = at.unwrap_or_else(|| pieces.before(first_ns.max(log.attached_ns)));
            Backlog::Found(pieces.prefix(length))
        }
        None => Backlog::NotYet,
    }
}

fn read(log: &BacklogLog) -> Result<Pieces, ReadError> {
    let since_ns = log.resume.as_ref().map_or(log.from_ns, |resume| resume.from_ns);
    let mut series = Series::open(&log.file, since_ns, MAX_FILE)?;
    let (mut bytes, mut lines) = (VecDeque::new(), VecDeque::<(i64, usize)>::new());
    while let Some(mut chunk) = series.next_chunk()? {
        if (log.stream != Stream::Tty && chunk.stream != log.stream) || chunk.time_ns < since_ns {
            continue;
        }
        if log.stream == Stream::Tty && chunk.payload.ends_with(b"\r\n") {
            // As it was written: the terminal has added the carriage return.
            chunk.payload.truncate(chunk.payload.len() - 2);
            chunk.payload.push(b'\n');
        }
        while bytes.len() + chunk.payload.len() > MAX_BACKLOG
            && let Some((_, oldest)) = lines.pop_front()
        {
            bytes.drain(..oldest);
        }
        bytes.extend(&chunk.payload);
        lines.push_back((chunk.time_ns, chunk.payload.len()));
    }
    let pieces = Pieces::new(bytes.into(), lines.into());
    let Some(resume) = &log.resume else { return Ok(pieces) };
    Ok(match resume.end_in(&pieces, true) {
        Some(end) => pieces.after(end),
        // Rotated away, or made differently: by time.
        None => pieces.after(pieces.before(resume.last_ns)),
    })
}

#[cfg(test)]
#[path = "backlog_tests.rs"]
mod tests;
