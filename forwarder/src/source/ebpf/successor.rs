//! The next user of a pipe or terminal whose stream has ended.
//!
//! devpts gives out the number of a terminal again at once, so the next container may be started on the key of one that
//! has ended before the reader has removed that one's target. The kernel then goes on counting in the same target: the
//! stream of the first ends, and that of the second begins, at an offset in the middle. What was written before the exec
//! is the first one's, the rest is kept here until the namer says whose it is.

use super::stream::{Out, Stream};
use crate::record::OriginHandle;
use crate::source::ebpf::state::{Captured, Ending, State};

pub(super) struct Successor {
    pub(super) process: u32,
    /// CLOCK_MONOTONIC of its exec, ns: what was written from then on is its own.
    pub(super) since_ns: u64,
    /// The round of the exec record: what was written before has been seen when there was another.
    pub(super) round: u64,
    /// What the namer said; the inner `None`: not a container.
    pub(super) answer: Option<Option<OriginHandle>>,
    chunks: Vec<Chunk>,
    bytes: usize,
}

struct Chunk {
    offset: u64,
    time_ns: i64,
    thread: u32,
    /// `Err`: the length of a gap.
    bytes: Result<Vec<u8>, u64>,
}

impl Successor {
    pub(super) fn new(process: u32, since_ns: u64, round: u64) -> Self {
        Self { process, since_ns, round, answer: None, chunks: Vec::new(), bytes: 0 }
    }

    /// Keeps a chunk; past `limit` bytes it is left out, which is a hole in the stream and counted as such.
    pub(super) fn keep(&mut self, offset: u64, time_ns: i64, thread: u32, bytes: Result<&[u8], u64>, limit: usize) {
        let length = bytes.map_or(0, <[u8]>::len);
        if self.bytes + length <= limit {
            self.bytes += length;
            self.chunks.push(Chunk { offset, time_ns, thread, bytes: bytes.map(<[u8]>::to_vec) });
        }
    }

    /// The offset of its first byte.
    fn start(&self) -> Option<u64> {
        self.chunks.iter().map(|chunk| chunk.offset).min()
    }

    fn hand_on(self, stream: &mut Stream, out: &mut Out<'_>) {
        for Chunk { offset, time_ns, thread, bytes } in self.chunks {
            match bytes {
                Ok(bytes) => stream.data(offset, time_ns, thread, &bytes, out),
                Err(length) => stream.gap(offset, time_ns, length, out),
            }
        }
    }
}

impl State {
    /// Ends the streams whose successors are known; all that have one where this is the `last` time.
    pub(super) fn succeed(&mut self, last: bool) {
        let round = self.round;
        let is_due = |next: &Successor| last || (next.answer.is_some() && next.round < round);
        let due = self.streams.iter().filter(|(_, captured)| captured.successor.as_deref().is_some_and(is_due));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.succeed_one(id);
        }
    }

    fn succeed_one(&mut self, id: u32) {
        let Some(mut before) = self.streams.remove(&id) else { return };
        let Some(mut next) = before.successor.take() else { return };
        let process = next.process;
        let captured = match next.answer.take() {
            // Somebody else with the container's pipe, as a process that outlived its first one.
            Some(None) => {
                let lines = &mut self.lines;
                next.hand_on(&mut before.stream, &mut |origin, framed| lines.push(origin, framed));
                before.ending = Ending::ProcessEnded;
                before
            }
            answer => {
                let start = next.start().unwrap_or(before.stream.delivered);
                self.hand_on_the_rest(&mut before, start);
                let stream = Stream::joining(self.options.limits, start, self.options.join.as_ref());
                let mut fresh = Captured { stream, ..self.new_stream(before.key) };
                let lines = &mut self.lines;
                let mut out = |origin: &OriginHandle, framed: crate::source::framer::Framed<'_>| {
                    lines.push(origin, framed);
                };
                if let Some(origin) = answer.flatten() {
                    fresh.stream.name(origin, &mut out);
                }
                next.hand_on(&mut fresh.stream, &mut out);
                self.to_watch.push((process, vec![id]));
                fresh
            }
        };
        self.streams.insert(id, captured);
    }
}
