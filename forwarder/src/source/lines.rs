//! From a line to a record: what the sources share whose lines may be more than text.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::output::Output;
use crate::parse::kata;
use crate::parse::line::{LineKind, LineParser, Parsed, Process};
use crate::record::{Flags, OriginHandle, RecordMeta};
use crate::ring::Ring;

/// The output of one thread, with a parser.
pub struct Lines {
    pub output: Output,
    parser: LineParser,
}

impl Lines {
    pub fn new(ring: Arc<Ring>) -> Self {
        Self { output: Output::new(ring), parser: LineParser::new(TimeZone::system()) }
    }

    /// Puts a line of a source whose lines are all records, blank ones too. What the line says itself stands instead of
    /// what `meta` has.
    #[inline]
    pub fn push(&mut self, origin: &OriginHandle, kind: LineKind, meta: RecordMeta, line: &[u8]) {
        if kind == LineKind::Text {
            self.output.push(origin, meta, line);
        } else if kind.has_glued_records() && !meta.flags.contains(Flags::PARTIAL) {
            self.push_split(origin, kind, meta, line);
        } else if !self.push_parsed(origin, kind, meta, line) {
            self.output.push(origin, meta, line);
        }
    }

    /// Puts each record of a line. Only the last has the line's position: a checkpoint must not be within the line, and
    /// what has none is given again to whoever has not acknowledged all of it.
    fn push_split(&mut self, origin: &OriginHandle, kind: LineKind, meta: RecordMeta, line: &[u8]) {
        let mut pieces = kata::split(line).peekable();
        if pieces.peek().is_none() {
            self.output.push(origin, meta, line);
        }
        while let Some(piece) = pieces.next() {
            let position = if pieces.peek().is_none() { meta.position } else { 0 };
            self.push_parsed(origin, kind, RecordMeta { position, ..meta }, piece);
        }
    }

    fn push_parsed(&mut self, origin: &OriginHandle, kind: LineKind, meta: RecordMeta, line: &[u8]) -> bool {
        let Some(parsed) = self.parser.parse(kind, line, meta.time_ns) else { return false };
        let flags = if parsed.is_object { meta.flags.without(Flags::PARTIAL) } else { meta.flags };
        let (time_ns, original_len) = (parsed.time_ns.unwrap_or(meta.time_ns), parsed.parts.body.len);
        let meta = RecordMeta { time_ns, level: parsed.level, flags, original_len, ..meta };
        self.output.push_parts(origin, meta, &parsed.parts);
        true
    }

    /// Puts a line that came at `now_ns` (since the epoch) and has no time of its own, or an earlier or later one.
    /// Returns the record's flags; `None` where the line is blank, and `kind` takes that for none.
    #[inline]
    pub fn put(
        &mut self,
        origin: &OriginHandle,
        kind: LineKind,
        line: &[u8],
        now_ns: i64,
        flags: Flags,
    ) -> Option<Flags> {
        self.put_of(origin, kind, None, line, now_ns, flags)
    }

    /// The same of a process that the kernel has named, which is for [`LineKind::LocalSyslog`].
    #[inline]
    pub fn put_of(
        &mut self,
        origin: &OriginHandle,
        kind: LineKind,
        process: Option<Process>,
        line: &[u8],
        now_ns: i64,
        flags: Flags,
    ) -> Option<Flags> {
        if kind.has_glued_records() && flags.is_empty() {
            let mut pieces = 0;
            for piece in kata::split(line) {
                let meta = RecordMeta::line(now_ns, piece);
                pieces += usize::from(self.push_parsed(origin, kind, meta, piece));
            }
            return (pieces > 0).then_some(flags);
        }
        let parsed = match process {
            Some(process) if kind == LineKind::LocalSyslog => self.parser.parse_from(process, line, now_ns),
            _ => self.parser.parse(kind, line, now_ns),
        };
        let parsed = match parsed {
            Some(parsed) => parsed,
            None if flags.is_empty() => return None,
            // White space in the middle of a line is a part of it.
            None => Parsed::text(line),
        };
        // An object is whole, also without a newline behind it.
        let flags = if parsed.is_object { flags.without(Flags::PARTIAL) } else { flags };
        let meta = RecordMeta {
            time_ns: parsed.time_ns.unwrap_or(now_ns),
            position: 0,
            level: parsed.level,
            flags,
            original_len: parsed.parts.body.len,
        };
        self.output.push_parts(origin, meta, &parsed.parts);
        Some(flags)
    }
}
