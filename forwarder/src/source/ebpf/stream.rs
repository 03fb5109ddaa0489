//! One captured pipe or terminal: puts its chunks in order, finds what is missing, and cuts lines.
//!
//! The per-CPU rings deliver chunks in any order; each carries the number of bytes that were written before it.
//! A chunk that is ahead waits until it is certain that what it waits for will not come: the kernel's account
//! says that nothing was in flight, and every ring has been emptied since. Then the hole is a gap.
//!
//! Where the container has a log file, a gap is not lost yet: what comes behind it is held until the file has filled it.
//!
//! Bounds: [`StreamLimits`]. Does no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::fill::{self, Gap};
use crate::record::{Flags, OriginHandle};
use crate::source::framer::{Framed, Framer};
use crate::source::joiner::JoinOptions;
use crate::source::logfile::{Anchor, Pieces, Recent};

/// Writes of different threads to one pipe within this time may have been in the other order.
const OVERLAP_WINDOW_NS: i64 = 50_000;

/// Bytes that are kept of the start of a stream of which more is held than the bound allows: enough to find it in its
/// log file.
const LOST_HEAD_BYTES: usize = 64 << 10;

/// Bounds of one stream, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Longest line that is handed on in one record.
    pub max_line: usize,
    /// What is held until its stream has a name, of all streams together.
    pub hold: usize,
    /// What is held ahead of a hole.
    pub ahead: usize,
}

/// A piece of a stream.
pub enum Piece {
    Data { time_ns: i64, thread: u32, bytes: Vec<u8> },
    Gap { time_ns: i64, bytes: u64 },
}

impl Piece {
    /// Its bytes of the stream.
    fn length(&self) -> u64 {
        match self {
            Self::Data { bytes, .. } => bytes.len() as u64,
            Self::Gap { bytes, .. } => *bytes,
        }
    }
}

/// A line or loss of a stream with a name.
pub type Out<'a> = dyn FnMut(&OriginHandle, Framed<'_>) + 'a;

pub struct Stream {
    limits: StreamLimits,
    /// Bytes of the stream that were handed on or given up.
    pub delivered: u64,
    ahead: BTreeMap<u64, Piece>,
    ahead_bytes: usize,
    origin: Option<OriginHandle>,
    held: VecDeque<Piece>,
    held_bytes: usize,
    /// What [`Stream::head`] was when the oldest of what is held was given up.
    lost_head: Option<Vec<u8>>,
    framer: Framer,
    last: Option<(u32, i64)>,
    /// When something last came, ns since the epoch.
    pub active_ns: i64,
    /// When something first came, ns since the epoch.
    pub first_ns: Option<i64>,
    /// What was handed on last, where gaps are filled.
    recent: Option<Recent>,
    /// Whether the first of what is held is a gap that is being filled.
    is_filling: bool,
    /// Offset up to which gaps were filled: what comes late from before is there already.
    filled: u64,
}

impl Stream {
    /// A stream whose first byte will have the offset `from`.
    pub fn new(limits: StreamLimits, from: u64) -> Self {
        Self {
            limits,
            delivered: from,
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            origin: None,
            held: VecDeque::new(),
            held_bytes: 0,
            lost_head: None,
            framer: Framer::new(limits.max_line),
            last: None,
            active_ns: 0,
            first_ns: None,
            recent: None,
            is_filling: false,
            filled: 0,
        }
    }

    /// There is a log file that may fill gaps.
    pub fn fill_gaps(&mut self) {
        self.recent.get_or_insert_default();
    }

    /// Whether a gap waits for the log file, and all that comes waits behind it.
    pub fn is_filling(&self) -> bool {
        self.is_filling
    }

    /// One whose lines are joined, where there are options.
    pub(super) fn joining(limits: StreamLimits, from: u64, options: Option<&Arc<JoinOptions>>) -> Self {
        Self { framer: Framer::joining(limits.max_line, options), ..Self::new(limits, from) }
    }

    pub fn is_named(&self) -> bool {
        self.origin.is_some()
    }

    pub fn origin(&self) -> Option<&OriginHandle> {
        self.origin.as_ref()
    }

    /// Whether a chunk waits for bytes before it.
    pub fn has_hole(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Whether part of a line, the end of a gap, or lines that others may follow wait to be handed on.
    pub fn is_waiting(&self) -> bool {
        self.framer.is_waiting()
    }

    /// After how long without more that is to be flushed: `idle` where it is part of a line.
    pub(super) fn patience(&self, idle: Duration) -> Duration {
        self.framer.patience(idle)
    }

    /// A chunk at `offset`. One that is in order, the common case, is not copied.
    pub fn data(&mut self, offset: u64, time_ns: i64, thread: u32, bytes: &[u8], out: &mut Out<'_>) {
        self.active_ns = time_ns;
        self.first_ns.get_or_insert(time_ns);
        if offset > self.delivered {
            self.wait(offset, Piece::Data { time_ns, thread, bytes: bytes.to_vec() }, bytes.len(), out);
            return;
        }
        if offset < self.delivered && (self.is_filling || offset < self.filled) {
            return;
        }
        // A chunk from before `delivered` was given up as a gap: better late and marked than never.
        let late = if offset < self.delivered { Flags::RECOVERED } else { Flags::NONE };
        self.delivered = self.delivered.max(offset + bytes.len() as u64);
        self.accept(time_ns, thread, bytes, late, out);
        self.catch_up(out);
    }

    /// `bytes` at `offset` that were written and could not be read.
    pub fn missed(&mut self, offset: u64, time_ns: i64, bytes: u64, out: &mut Out<'_>) {
        self.active_ns = time_ns;
        self.first_ns.get_or_insert(time_ns);
        if offset > self.delivered {
            self.wait(offset, Piece::Gap { time_ns, bytes }, 0, out);
            return;
        }
        if offset == self.delivered {
            self.delivered += bytes;
            self.lose(time_ns, bytes, out);
            self.catch_up(out);
        }
    }

    /// Nothing before the chunks that wait will come any more: the holes are gaps.
    pub fn give_up_hole(&mut self, out: &mut Out<'_>) {
        if let Some((&offset, piece)) = self.ahead.first_key_value() {
            let time_ns = match piece {
                Piece::Data { time_ns, .. } | Piece::Gap { time_ns, .. } => *time_ns,
            };
            let missing = offset - self.delivered;
            self.delivered = offset;
            self.lose(time_ns, missing, out);
            self.catch_up(out);
        }
    }

    /// The kernel's account says that `written` bytes were written and nothing is in flight or in a ring:
    /// what is missing at the end is a gap. Returns its bytes.
    pub fn settle(&mut self, written: u64, time_ns: i64, out: &mut Out<'_>) -> u64 {
        while self.has_hole() {
            self.give_up_hole(out);
        }
        let missing = written.saturating_sub(self.delivered);
        if missing > 0 {
            self.delivered = written;
            self.lose(time_ns, missing, out);
        }
        missing
    }

    /// The stream has a name: what was held goes on.
    pub fn name(&mut self, origin: OriginHandle, out: &mut Out<'_>) {
        self.origin = Some(origin);
        self.held_bytes = 0;
        self.lost_head = None;
        for piece in std::mem::take(&mut self.held) {
            match piece {
                Piece::Data { time_ns, thread, bytes } => self.accept(time_ns, thread, &bytes, Flags::NONE, out),
                Piece::Gap { time_ns, bytes } => self.lose(time_ns, bytes, out),
            }
        }
    }

    /// The stream has a name, and `before` is what was written to it before it was captured.
    pub(super) fn name_after(&mut self, origin: OriginHandle, before: &Pieces, out: &mut Out<'_>) {
        for (time_ns, bytes) in before.iter() {
            if let Some(recent) = &mut self.recent {
                recent.push(bytes, time_ns);
            }
            self.framer.push(bytes, time_ns, Flags::NONE, &mut |framed| out(&origin, framed));
        }
        self.name(origin, out);
    }

    /// The gap that is to be filled.
    pub(super) fn gap(&self) -> Option<Gap> {
        let Some(Piece::Gap { bytes, .. }) = self.held.front().filter(|_| self.is_filling) else { return None };
        let (mut held, mut head, mut is_head) = (0, Vec::new(), true);
        for piece in &self.held {
            held += piece.length();
            match piece {
                Piece::Data { bytes, .. } if is_head && head.len() < fill::HEAD_BYTES => head.extend_from_slice(bytes),
                Piece::Data { .. } => {}
                Piece::Gap { .. } => is_head = head.is_empty(),
            }
        }
        head.truncate(fill::HEAD_BYTES);
        let before = self.recent.as_ref().map(Recent::anchor).unwrap_or_default();
        Some(Gap { offset: self.delivered - held, bytes: *bytes, before, head })
    }

    /// The first bytes of the gap, perhaps all of them, from the log file.
    pub(super) fn fill(&mut self, found: &Pieces, out: &mut Out<'_>) {
        let Some(gap) = self.gap() else { return };
        let Some((origin, Some(Piece::Gap { time_ns: until_ns, bytes: left }))) =
            self.origin.clone().map(|origin| (origin, self.held.front_mut()))
        else {
            return;
        };
        let until_ns = *until_ns;
        *left -= (found.bytes().len() as u64).min(*left);
        self.filled = gap.offset + found.bytes().len() as u64;
        for (stamped_ns, bytes) in found.iter() {
            // The runtime stamps a moment later; in the stream, times don't go back for that.
            let time_ns = stamped_ns.min(until_ns);
            if let Some(recent) = &mut self.recent {
                recent.push(bytes, time_ns);
            }
            self.framer.push(bytes, time_ns, Flags::NONE, &mut |framed| out(&origin, framed));
        }
        if self.filled == gap.offset + gap.bytes {
            self.held.pop_front();
            self.go_on(out);
        }
    }

    /// The gap can't be filled: it is lost. What comes behind it goes on, up to the next one.
    pub(super) fn give_up_filling(&mut self, out: &mut Out<'_>) {
        if !std::mem::take(&mut self.is_filling) {
            return;
        }
        if let (Some(Piece::Gap { time_ns, bytes }), Some(origin)) = (self.held.pop_front(), &self.origin) {
            self.framer.lose(bytes, time_ns, &mut |framed| out(origin, framed));
        }
        if let Some(recent) = &mut self.recent {
            recent.clear();
        }
        self.go_on(out);
    }

    /// Hands on what is held, up to the next gap.
    fn go_on(&mut self, out: &mut Out<'_>) {
        self.is_filling = false;
        while !self.is_filling
            && let Some(piece) = self.held.pop_front()
        {
            match piece {
                Piece::Data { time_ns, thread, bytes } => {
                    self.held_bytes -= bytes.len();
                    self.accept(time_ns, thread, &bytes, Flags::NONE, out);
                }
                gap @ Piece::Gap { .. } => {
                    self.held.push_front(gap);
                    self.is_filling = true;
                }
            }
        }
    }

    /// What was handed on last: the next run can go on behind it, from the log file.
    pub(super) fn end(&self) -> Option<Anchor> {
        let anchor = self.recent.as_ref()?.anchor();
        (!anchor.bytes.is_empty()).then_some(anchor)
    }

    /// Leaves a gap that is still being filled, and what comes behind it, to the next run. Returns the bytes.
    pub(super) fn leave(&mut self) -> u64 {
        if !self.is_filling || self.end().is_none() {
            return 0;
        }
        self.is_filling = false;
        self.give_up_held()
    }

    /// The first bytes that came, up to a gap, at most `limit`. Of a stream without a name.
    pub fn head(&self, limit: usize) -> Vec<u8> {
        if let Some(head) = &self.lost_head {
            return head.clone();
        }
        let mut head = Vec::new();
        for piece in &self.held {
            match piece {
                Piece::Data { bytes, .. } if head.len() < limit => head.extend_from_slice(bytes),
                _ => break,
            }
        }
        head.truncate(limit);
        head
    }

    /// Hands on the unfinished line: the stream is idle or has ended. Not while its end may be in the log file.
    pub fn flush(&mut self, out: &mut Out<'_>) {
        if let Some(origin) = self.origin.as_ref().filter(|_| !self.is_filling) {
            self.framer.flush(&mut |framed| out(origin, framed));
        }
    }

    /// Drops what is held for a name that will not come. Returns its bytes, those of its gaps included.
    pub fn give_up_held(&mut self) -> u64 {
        self.held_bytes = 0;
        self.held.drain(..).map(|piece| piece.length()).sum()
    }

    fn wait(&mut self, offset: u64, piece: Piece, bytes: usize, out: &mut Out<'_>) {
        self.ahead.insert(offset, piece);
        self.ahead_bytes += bytes;
        while self.ahead_bytes > self.limits.ahead && self.has_hole() {
            self.give_up_hole(out);
        }
    }

    fn catch_up(&mut self, out: &mut Out<'_>) {
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() > self.delivered {
                return;
            }
            let offset = *entry.key();
            match entry.remove() {
                Piece::Data { time_ns, thread, bytes } => {
                    self.ahead_bytes -= bytes.len();
                    self.delivered = self.delivered.max(offset + bytes.len() as u64);
                    self.accept(time_ns, thread, &bytes, Flags::NONE, out);
                }
                Piece::Gap { time_ns, bytes } => {
                    self.delivered = self.delivered.max(offset + bytes);
                    self.lose(time_ns, bytes, out);
                }
            }
        }
    }

    fn accept(&mut self, time_ns: i64, thread: u32, bytes: &[u8], flags: Flags, out: &mut Out<'_>) {
        let Some(origin) = self.origin.as_ref().filter(|_| !self.is_filling) else {
            self.held_bytes += bytes.len();
            self.held.push_back(Piece::Data { time_ns, thread, bytes: bytes.to_vec() });
            self.bound_held();
            return;
        };
        if let Some(recent) = &mut self.recent {
            recent.push(bytes, time_ns);
        }
        let overlaps = self.last.is_some_and(|(other, before)| {
            other != thread && time_ns.abs_diff(before) < OVERLAP_WINDOW_NS.unsigned_abs()
        });
        self.last = Some((thread, time_ns));
        let flags = if overlaps { flags | Flags::OVERLAP } else { flags };
        self.framer.push(bytes, time_ns, flags, &mut |framed| out(origin, framed));
    }

    fn lose(&mut self, time_ns: i64, bytes: u64, out: &mut Out<'_>) {
        match &self.origin {
            Some(origin) if self.recent.is_none() => {
                self.framer.lose(bytes, time_ns, &mut |framed| out(origin, framed));
            }
            name => {
                self.is_filling = name.is_some();
                match self.held.back_mut() {
                    Some(Piece::Gap { time_ns: until_ns, bytes: before }) => {
                        *before += bytes;
                        *until_ns = time_ns;
                    }
                    _ => self.held.push_back(Piece::Gap { time_ns, bytes }),
                }
            }
        }
    }

    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What is held is too much for one stream alone.
    fn bound_held(&mut self) {
        self.give_up_oldest(self.held_bytes.saturating_sub(self.limits.hold));
    }

    /// At least `excess` bytes, the oldest of what is held, become a gap.
    pub fn give_up_oldest(&mut self, excess: usize) {
        if excess == 0 {
            return;
        }
        if self.lost_head.is_none() && !self.is_filling {
            self.lost_head = Some(self.head(LOST_HEAD_BYTES));
        }
        let keep = self.held_bytes.saturating_sub(excess);
        let (mut lost, mut time) = (0, 0);
        // With a gap that follows: two neighbours are one.
        while self.held_bytes > keep || matches!(self.held.front(), Some(Piece::Gap { .. })) {
            match self.held.pop_front() {
                Some(Piece::Data { time_ns, bytes, .. }) => {
                    self.held_bytes -= bytes.len();
                    lost += bytes.len() as u64;
                    time = time_ns;
                }
                Some(Piece::Gap { time_ns, bytes }) => {
                    lost += bytes;
                    time = time_ns;
                }
                None => break,
            }
        }
        if lost > 0 {
            self.held.push_front(Piece::Gap { time_ns: time, bytes: lost });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Origin, OriginKind};

    const LIMITS: StreamLimits = StreamLimits { max_line: 1000, hold: 1000, ahead: 1000 };

    fn origin() -> OriginHandle {
        OriginHandle::new(Origin::new(OriginKind::Container, "c"))
    }

    fn collect(seen: &mut (Vec<u8>, u64), framed: Framed<'_>) {
        match framed {
            Framed::Line { flags, body, .. } => {
                seen.0.extend_from_slice(body);
                if !flags.contains(Flags::PARTIAL) {
                    seen.0.push(b'\n');
                }
            }
            Framed::Lost { bytes, .. } => seen.1 += bytes,
        }
    }

    #[test]
    fn writes_of_two_threads_at_once_are_marked() {
        let mut stream = Stream::new(LIMITS, 0);
        let mut marks = Vec::new();
        let mut out = |_: &OriginHandle, framed: Framed<'_>| {
            if let Framed::Line { flags, .. } = framed {
                marks.push(flags.contains(Flags::OVERLAP));
            }
        };
        stream.name(origin(), &mut out);
        stream.data(0, 1_000, 1, b"a\n", &mut out);
        stream.data(2, 2_000, 2, b"b\n", &mut out);
        stream.data(4, 3_000, 2, b"c\n", &mut out);
        stream.data(6, 900_000, 1, b"d\n", &mut out);
        assert_eq!(marks, [false, true, false, false]);
    }

    #[test]
    fn what_is_held_for_a_name_is_bounded_and_counted() {
        let mut stream = Stream::new(LIMITS, 0);
        let mut seen = (Vec::new(), 0);
        for index in 0..20u64 {
            stream.data(index * 100, 1, 1, &[b'x'; 100], &mut |_, framed| collect(&mut seen, framed));
        }
        stream.name(origin(), &mut |_, framed| collect(&mut seen, framed));
        stream.flush(&mut |_, framed| collect(&mut seen, framed));
        assert_eq!((seen.0.len() as u64 + seen.1, seen.1), (2000, 1000));
    }

    #[test]
    fn what_nobody_named_is_counted_with_its_gaps() {
        let mut stream = Stream::new(LIMITS, 0);
        stream.data(0, 1, 1, b"held\n", &mut |_, _| {});
        stream.missed(5, 1, 20, &mut |_, _| {});
        stream.data(30, 1, 1, b"ahead", &mut |_, _| {});
        stream.settle(40, 1, &mut |_, _| {});
        assert_eq!((stream.give_up_held(), stream.give_up_held()), (40, 0));
    }

    #[test]
    fn the_head_outlives_what_is_given_up() {
        let mut stream = Stream::new(LIMITS, 0);
        let letters = (b'a'..=b'z').map(|letter| [letter; 100]).collect::<Vec<_>>();
        for (index, bytes) in letters.iter().enumerate() {
            stream.data(index as u64 * 100, 7 + index as i64, 1, bytes, &mut |_, _| {});
        }
        assert_eq!(stream.head(250)[..200], letters[..2].concat());
        assert_eq!(stream.first_ns, Some(7));
    }

    proptest! {
        /// Chunks in any order, some missing, named at any time: bytes delivered and lost are bytes written.
        #[test]
        fn delivered_and_lost_are_written(
            chunks in proptest::collection::vec((1..30u64, 0..8u8), 1..60),
            shuffle in any::<u64>(),
            name_at in 0..60usize,
        ) {
            let mut offset = 0;
            let mut sent: Vec<_> = chunks.iter().map(|(len, fate)| {
                let at = offset;
                offset += len;
                (at, *len, *fate)
            }).filter(|(_, _, fate)| *fate != 0).collect();
            // Locally out of order, as CPUs are.
            let mut state = shuffle;
            for index in 1..sent.len() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
                if state >> 60 < 6 {
                    sent.swap(index - 1, index);
                }
            }
            let mut stream = Stream::new(StreamLimits { hold: 1 << 20, ahead: 1 << 20, ..LIMITS }, 0);
            let mut seen = (Vec::new(), 0);
            let mut out = |_: &OriginHandle, framed: Framed<'_>| collect(&mut seen, framed);
            for (index, (at, len, fate)) in sent.iter().enumerate() {
                if index == name_at {
                    stream.name(origin(), &mut out);
                }
                if *fate == 1 {
                    stream.missed(*at, 1, *len, &mut out);
                } else {
                    stream.data(*at, 1, 1, &vec![b'a'; *len as usize], &mut out);
                }
            }
            stream.settle(offset, 1, &mut out);
            if !stream.is_named() {
                stream.name(origin(), &mut out);
            }
            stream.flush(&mut out);
            prop_assert_eq!(seen.0.len() as u64 + seen.1, offset);
        }
    }
}
