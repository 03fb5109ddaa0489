//! From a line to a record: what the sources share whose lines may be more than text.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::output::Output;
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
