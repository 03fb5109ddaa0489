//! The output of a service, a line each.

use super::Input;
use crate::parse::line::{LineKind, LineParser, Parsed};
use crate::record::{BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::source::framer::{Framed, Framer};

const MAX_LINE: usize = 16 << 20;

pub(super) struct LineInput {
    framer: Framer,
    lines: Lines,
}

struct Lines {
    origin: OriginHandle,
    parser: LineParser,
}

impl LineInput {
    pub(super) fn new(service: &str) -> Self {
        let origin = OriginHandle::new(Origin::new(OriginKind::Peer, service));
        Self { framer: Framer::new(MAX_LINE), lines: Lines { origin, parser: LineParser::default() } }
    }
}

impl Input for LineInput {
    fn push(&mut self, bytes: &[u8], now_ns: i64, out: &mut BatchBuilder) {
        let Self { framer, lines } = self;
        framer.push(bytes, now_ns, Flags::NONE, &mut |framed| lines.take(framed, out));
    }

    fn end(&mut self, now_ns: i64, out: &mut BatchBuilder) {
        // The end of the input ends its last line.
        if self.framer.is_waiting() {
            self.push(b"\n", now_ns, out);
        }
    }
}

impl Lines {
    fn take(&mut self, framed: Framed<'_>, out: &mut BatchBuilder) {
        // Of a pipe or a file nothing is missing.
        let Framed::Line { time_ns, flags, body } = framed else { return };
        let parsed = match self.parser.parse(LineKind::Talos, body) {
            Some(parsed) => parsed,
            None if flags.is_empty() => return,
            // White space in the middle of a line is a part of it.
            None => Parsed::text(body),
        };
        let meta = RecordMeta {
            time_ns: parsed.time_ns.unwrap_or(time_ns),
            position: 0,
            level: parsed.level,
            flags: if parsed.is_object { Flags::NONE } else { flags },
            original_len: parsed.parts.body.len,
        };
        out.push_parts(&self.origin, meta, &parsed.parts);
    }
}
