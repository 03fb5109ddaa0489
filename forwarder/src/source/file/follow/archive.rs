//! A compressed file that is read: what it is, and a turn of it.
//!
//! ```text
//!  Examining ──► Reading ──► Ended ──► (has grown) Reading
//!      └───────► LeftOut
//! ```
//!
//! Offsets are of what is in it. Unlike a plain file, it can't be read again at a place: what follows the last newline
//! is kept, and who has given up the decoder ([`Archive::park`]) begins at the beginning again.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::{Followed, Outcome, TURN, Turn, origins};
use crate::source::clock::realtime_ns;
use crate::source::file::content::Comparison;
use crate::source::file::gzip::{Unpacked, Unpacker};
use crate::source::file::identity::MOST;
use crate::source::file::known::Candidate;
use crate::source::file::position::Restart;
use crate::source::lines::Lines;
use crate::state::GzipMark;

/// How long a compressed file must not have changed before it is taken for another one than what lies beside it: whoever
/// compresses removes the plain file as soon as that is done.
pub(in crate::source::file) const QUIET: Duration = Duration::from_secs(60);

/// What is known of a compressed file besides.
pub(in crate::source::file) struct Archive {
    stage: Stage,
    /// Where members begin that are not known to be read.
    begin: GzipMark,
    unpacker: Option<Unpacker>,
    /// What was unpacked and not put. It begins at the file's `offset`, once that was come to.
    pending: Vec<u8>,
    /// The first byte that the decoder gave.
    first: Option<u8>,
    /// `offset` may be within a line, and is that of the newline before it at least.
    within_line: bool,
    /// It waits for another file's end: growing changes nothing.
    waits: bool,
    /// When the file was changed, as far as is known.
    changed: Instant,
}

enum Stage {
    /// It may have been read under another name. What was not is not wanted where `leave_out` says so.
    Examining {
        leave_out: bool,
        comparison: Option<(Vec<Candidate>, Comparison)>,
    },
    Reading,
    Ended,
    /// Compressed files are not asked for, or not this one.
    LeftOut,
}

/// What looking for whether it was read before came to.
pub(in crate::source::file) enum Examined {
    /// To be gone on with.
    More,
    /// To be waited for: the rest of the file, or another one's end.
    Wait,
    /// It is what this file was; it is read on there.
    Known(Candidate),
    /// It is none that was read.
    New,
}

impl Archive {
    fn new(stage: Stage, begin: GzipMark) -> Self {
        let (unpacker, pending, first) = (None, Vec::new(), None);
        Self { stage, begin, unpacker, pending, first, within_line: false, waits: false, changed: Instant::now() }
    }

    /// One that is not read.
    pub(in crate::source::file) fn left_out() -> Self {
        Self::new(Stage::LeftOut, GzipMark::default())
    }

    /// One that is new by its numbers.
    pub(in crate::source::file) fn unknown(leave_out: bool) -> Self {
        Self::new(Stage::Examining { leave_out, comparison: None }, GzipMark::default())
    }

    /// One that an earlier run knew by its numbers, and is to be read from `restart` on.
    pub(in crate::source::file) fn known(mark: GzipMark, restart: Restart) -> Self {
        // Within a line, the byte before is needed, too.
        let goes_back = restart.from < restart.offset;
        let is_read = if goes_back { restart.from > mark.size } else { restart.from >= mark.size };
        let begin = if is_read { mark } else { GzipMark::default() };
        let stage = if begin.read > 0 { Stage::Ended } else { Stage::Reading };
        Self { within_line: goes_back && restart.from > 0, ..Self::new(stage, begin) }
    }

    /// What a later run is to know; `None` while this one does not know what the file is.
    pub(in crate::source::file) fn mark(&self) -> Option<GzipMark> {
        matches!(self.stage, Stage::Reading | Stage::Ended).then_some(self.begin)
    }

    pub(in crate::source::file) fn is_examined(&self) -> bool {
        matches!(self.stage, Stage::Examining { .. })
    }

    /// What it waited for may have come.
    pub(in crate::source::file) fn wake(&mut self) {
        self.waits = false;
    }

    /// Whether a turn needs a decoder.
    pub(in crate::source::file) fn is_unpacked(&self) -> bool {
        matches!(self.stage, Stage::Examining { .. } | Stage::Reading) && !self.waits
    }

    pub(in crate::source::file) fn has_decoder(&self) -> bool {
        self.unpacker.is_some()
    }

    /// Gives up the memory that reading takes.
    pub(in crate::source::file) fn park(&mut self) {
        (self.unpacker, self.pending) = (None, Vec::new());
        if let Stage::Examining { comparison, .. } = &mut self.stage {
            *comparison = None;
        }
    }

    /// Up to where the file itself was read.
    pub(super) fn packed(&self) -> u64 {
        self.unpacker.as_ref().map_or(self.begin.read, Unpacker::packed)
    }

    /// Bytes that are not put yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.unpacker.is_some() && matches!(self.stage, Stage::Reading)
    }

    /// Unpacks a piece behind what is pending.
    fn unpack(&mut self, file: &std::fs::File, buffer: &mut [u8]) -> io::Result<Unpacked> {
        let begin = self.begin;
        let unpacker = self.unpacker.get_or_insert_with(|| Unpacker::new(begin.read, begin.size));
        let result = unpacker.unpack(file, buffer, &mut self.pending, TURN);
        if unpacker.unpacked() == begin.size + self.pending.len() as u64 {
            self.first = self.pending.first().copied();
        }
        result
    }
}

/// When a file was changed: also by what sets its time back, as gzip does.
fn changed(metadata: &Metadata) -> Instant {
    let now = Instant::now();
    let ago = realtime_ns() / 1_000_000_000 - metadata.ctime();
    now.checked_sub(Duration::from_secs(u64::try_from(ago).unwrap_or(0))).unwrap_or(now)
}

impl Followed {
    /// A turn of a compressed file.
    pub(super) fn turn_archive(
        &mut self,
        metadata: &Metadata,
        grown: bool,
        buffer: &mut [u8],
        time_ns: i64,
        lines: &mut Lines,
    ) -> io::Result<Outcome> {
        let length = metadata.size();
        let outcome = |turn, read| Ok(Outcome { turn, read, grown });
        let Some(archive) = &mut self.archive else { return outcome(Turn::AtEnd, 0) };
        if std::mem::replace(&mut self.length, length) != length {
            archive.changed = changed(metadata);
        }
        match archive.stage {
            Stage::LeftOut => return outcome(Turn::AtEnd, 0),
            Stage::Examining { .. } if archive.waits => return outcome(Turn::AtEnd, 0),
            Stage::Examining { .. } => return outcome(Turn::Unexamined, 0),
            Stage::Ended if length <= archive.begin.read => return outcome(Turn::AtEnd, 0),
            Stage::Ended => {
                archive.stage = Stage::Reading;
                return outcome(Turn::More, 0);
            }
            Stage::Reading => {}
        }
        let before = archive.unpacker.as_ref().map_or(archive.begin.size, Unpacker::unpacked);
        let unpacked = archive.unpack(&self.file, buffer)?;
        let read = archive.unpacker.as_ref().map_or(0, Unpacker::unpacked) - before;
        let read = usize::try_from(read).unwrap_or(usize::MAX);
        let is_there = self.drop_what_was_put();
        if is_there && read > 0 {
            self.put_pending(read, time_ns, lines);
        }
        match unpacked {
            Unpacked::More => outcome(Turn::More, read),
            Unpacked::Short => outcome(Turn::AtEnd, read),
            Unpacked::End => {
                let packed = self.archive.as_ref().map_or(length, |archive| archive.packed());
                self.end_archive(packed, time_ns, lines);
                Ok(Outcome { turn: Turn::AtEnd, read, grown: true })
            }
            Unpacked::Damaged => {
                let packed = self.archive.as_ref().map_or(length, |archive| archive.packed());
                self.end_archive(length, time_ns, lines);
                Ok(Outcome { turn: Turn::Damaged(length.saturating_sub(packed)), read, grown: true })
            }
        }
    }

    /// Leaves away what is pending and lies before `offset`; whether that was come to.
    fn drop_what_was_put(&mut self) -> bool {
        let Some(archive) = &mut self.archive else { return false };
        let Archive { unpacker: Some(unpacker), pending, within_line, .. } = &mut **archive else { return false };
        let begins = unpacker.unpacked() - pending.len() as u64;
        // From the byte before: where that ends a line, the line at `offset` is whole.
        let wanted = self.offset - u64::from(*within_line);
        if begins < wanted {
            let put = usize::try_from(wanted - begins).unwrap_or(usize::MAX).min(pending.len());
            pending.drain(..put);
        }
        if unpacker.unpacked() < wanted {
            return false;
        }
        if *within_line && !pending.is_empty() {
            let newline = memchr::memchr(b'\n', pending);
            let rest = newline.map_or(pending.len(), |at| at + 1);
            pending.drain(..rest);
            self.offset = wanted + rest as u64;
            *within_line = newline.is_none();
            // The byte before is looked for in what follows.
            if *within_line {
                self.offset += 1;
            }
        }
        self.scanned = self.offset + pending.len() as u64;
        !*within_line
    }

    /// Puts what lines are complete since the last `new` bytes came.
    fn put_pending(&mut self, new: usize, time_ns: i64, lines: &mut Lines) {
        let Some(archive) = &mut self.archive else { return };
        let mut pending = std::mem::take(&mut archive.pending);
        if let Some(first) = archive.first.or(pending.first().copied()) {
            self.choose_format(&[first]);
        }
        let new = &pending[pending.len().saturating_sub(new)..];
        if memchr::memchr(b'\n', new).is_some() || pending.len() > self.longest() {
            let used = self.put(&pending, time_ns, lines);
            pending.drain(..used);
            self.offset += used as u64;
        }
        self.scanned = self.offset + pending.len() as u64;
        if let Some(archive) = &mut self.archive {
            archive.pending = pending;
        }
    }

    /// Puts what is pending, though no newline ends it.
    pub(super) fn flush_archive(&mut self, time_ns: i64, lines: &mut Lines) {
        let Some(archive) = &mut self.archive else { return };
        let rest = std::mem::take(&mut archive.pending);
        if !rest.is_empty() {
            self.put_rest(&rest, time_ns, lines);
        }
    }

    /// Everything up to `packed` was read.
    fn end_archive(&mut self, packed: u64, time_ns: i64, lines: &mut Lines) {
        self.flush_archive(time_ns, lines);
        self.flush_parts(lines);
        let Some(archive) = &mut self.archive else { return };
        let size = archive.unpacker.as_ref().map_or(archive.begin.size, Unpacker::unpacked);
        archive.begin = GzipMark { read: packed, size };
        archive.stage = Stage::Ended;
        archive.park();
    }

    /// Whether the next [`Followed::examine`] looks at candidates.
    pub(in crate::source::file) fn asks_for_candidates(&self) -> bool {
        let asks = |archive: &Archive| matches!(archive.stage, Stage::Examining { comparison: None, .. });
        self.archive.as_ref().is_some_and(|archive| asks(archive))
    }

    /// Looks for whether the content was read before: among `candidates`, where they are asked for.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::source::file) fn examine(
        &mut self,
        candidates: Vec<Candidate>,
        buffer: &mut [u8],
    ) -> io::Result<Examined> {
        let is_asked = self.asks_for_candidates();
        // Who is not there any more is not waited for by anybody.
        let is_quiet =
            !self.is_named() || self.archive.as_ref().is_some_and(|archive| archive.changed.elapsed() >= QUIET);
        let Some(archive) = &mut self.archive else { return Ok(Examined::New) };
        if is_asked && candidates.is_empty() {
            return Ok(Examined::New);
        }
        let unpacked = archive.unpack(&self.file, buffer)?;
        let Archive { stage: Stage::Examining { comparison, .. }, pending, .. } = &mut **archive else {
            return Ok(Examined::New);
        };
        if let Some((_, comparison)) = comparison {
            comparison.add(pending);
            pending.clear();
        } else {
            match unpacked {
                Unpacked::More if pending.len() < MOST => return Ok(Examined::More),
                Unpacked::Short if pending.len() < MOST && !is_quiet => {
                    archive.park();
                    return Ok(Examined::Wait);
                }
                _ => {}
            }
            let start = &pending[..pending.len().min(MOST)];
            let fitting = candidates.into_iter().filter(|candidate| candidate.fingerprint.fits(start));
            // One that is there and stays there is not what was compressed.
            let fitting: Vec<_> = fitting.filter(|candidate| !(candidate.is_named && is_quiet)).collect();
            if fitting.iter().any(|candidate| candidate.is_open) {
                archive.park();
                archive.waits = true;
                return Ok(Examined::Wait);
            }
            let mut begun = Comparison::new(fitting.iter().map(|candidate| &candidate.content));
            begun.add(pending);
            pending.clear();
            *comparison = Some((fitting, begun));
        }
        let is_done = comparison.as_ref().is_none_or(|(_, comparison)| comparison.is_done());
        match unpacked {
            Unpacked::More if !is_done => return Ok(Examined::More),
            Unpacked::Short if !is_done && !is_quiet => return Ok(Examined::Wait),
            _ => {}
        }
        let Some((mut candidates, comparison)) = comparison.take() else { return Ok(Examined::New) };
        Ok(comparison.best().map_or(Examined::New, |best| Examined::Known(candidates.swap_remove(best))))
    }

    /// The content is one that was read as `candidate`.
    pub(in crate::source::file) fn go_on_as(&mut self, candidate: Candidate) {
        let Candidate { key, path, restart, start, .. } = candidate;
        (self.key, self.path, self.start) = (key, path, start);
        self.origin = origins(&self.path, &self.selection, &self.key).unknown;
        (self.offset, self.scanned) = (restart.from, restart.from);
        self.archive = Some(Box::new(Archive::known(GzipMark::default(), restart)));
    }

    /// The content is none that was read; it is read where it is wanted. Whether it is.
    pub(in crate::source::file) fn go_on_as_new(&mut self) -> bool {
        let leave_out =
            self.archive.as_ref().is_some_and(|a| matches!(a.stage, Stage::Examining { leave_out: true, .. }));
        let stage = if leave_out { Stage::LeftOut } else { Stage::Reading };
        self.archive = Some(Box::new(Archive::new(stage, GzipMark::default())));
        !leave_out
    }
}
