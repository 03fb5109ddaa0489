//! Joining lines of a file: groups with their positions.
//!
//! A group's position is the end of its last line, so that what is sent later has the higher one, and no checkpoint is
//! ever behind a line that waits. That takes one order for all of a file: in a container's log, a line of the other
//! stream ends a group.

use std::sync::Arc;
use std::time::Duration;

use crate::record::{Flags, RecordMeta, Stream};
use crate::source::file::position;
use crate::source::joiner::{JoinOptions, Joined, Joiner};

/// A line, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) stream: Stream,
    pub(super) time_ns: i64,
    pub(super) flags: Flags,
    pub(super) body: &'a [u8],
    /// Where its line, the first one if it was joined from parts, begins in the file.
    pub(super) from: u64,
    /// Just after it.
    pub(super) end: u64,
    /// Where the oldest of what is unfinished begins, without it.
    pub(super) unfinished: Option<u64>,
}

/// The open group of a file.
pub(super) struct FileJoiner {
    joiner: Joiner,
    stream: Stream,
    /// Of its last line.
    end: u64,
}

impl FileJoiner {
    pub(super) fn of(options: Option<&Arc<JoinOptions>>) -> Option<Box<Self>> {
        let joiner = Joiner::new(Arc::clone(options?));
        Some(Box::new(Self { joiner, stream: Stream::None, end: 0 }))
    }

    pub(super) fn is_open(&self) -> bool {
        self.joiner.is_open()
    }

    /// How long a group waits.
    pub(super) fn timeout(&self) -> Duration {
        self.joiner.timeout()
    }

    /// `out` gets what is complete now.
    pub(super) fn push(&mut self, piece: Piece<'_>, out: &mut impl FnMut(Stream, RecordMeta, &[u8])) {
        let Piece { stream, time_ns, flags, body, from, end, unfinished } = piece;
        let before = (self.end, unfinished.map_or(from, |other| other.min(from)));
        if stream != self.stream {
            self.flush(Some(before.1), out);
            self.stream = stream;
        }
        self.joiner.push(time_ns, flags, body, &mut |joined| {
            let (end, unfinished) = if joined.is_before { (before.0, Some(before.1)) } else { (end, unfinished) };
            out(stream, meta(&joined, end, unfinished), joined.body);
        });
        self.end = end;
    }

    /// Puts the group as it is. `unfinished`: where the oldest of what is unfinished begins.
    pub(super) fn flush(&mut self, unfinished: Option<u64>, out: &mut impl FnMut(Stream, RecordMeta, &[u8])) {
        let (stream, end) = (self.stream, self.end);
        self.joiner.flush(&mut |joined| out(stream, meta(&joined, end, unfinished), joined.body));
    }
}

fn meta(joined: &Joined<'_>, end: u64, unfinished: Option<u64>) -> RecordMeta {
    let position = position::pack(end, unfinished);
    RecordMeta { position, flags: joined.flags, ..RecordMeta::line(joined.time_ns, joined.body) }
}
