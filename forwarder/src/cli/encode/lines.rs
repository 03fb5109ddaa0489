//! The output of a service, a line each; messages of syslog, framed as over TCP.

use jiff::tz::TimeZone;

use super::Input;
use crate::parse::line::{LineKind, LineParser, Parsed};
use crate::record::{BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::source::framer::{Framed, Framer};
use crate::source::syslog_framer::SyslogFramer;

const MAX_LINE: usize = 16 << 20;

pub(super) struct LineInput {
    framer: Framer,
    lines: Lines,
}

pub(super) struct SyslogInput {
    framer: SyslogFramer,
    lines: Lines,
}

struct Lines {
    origin: OriginHandle,
    kind: LineKind,
    parser: LineParser,
}

impl LineInput {
    pub(super) fn new(service: &str) -> Self {
        Self { framer: Framer::new(MAX_LINE), lines: Lines::new(service, LineKind::Talos) }
    }
}

impl SyslogInput {
    pub(super) fn new(service: &str, is_talos: bool) -> Self {
        let kind = if is_talos { LineKind::TalosSyslog } else { LineKind::Syslog };
        Self { framer: SyslogFramer::new(MAX_LINE), lines: Lines::new(service, kind) }
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

impl Input for SyslogInput {
    fn push(&mut self, bytes: &[u8], now_ns: i64, out: &mut BatchBuilder) {
        let Self { framer, lines } = self;
        framer.push(bytes, now_ns, &mut |framed, begins| lines.take_part(framed, begins, out));
    }

    fn end(&mut self, _: i64, out: &mut BatchBuilder) {
        let Self { framer, lines } = self;
        framer.flush(&mut |framed, begins| lines.take_part(whole(framed), begins, out));
    }
}

/// The end of the input ends its last message.
fn whole(framed: Framed<'_>) -> Framed<'_> {
    match framed {
        Framed::Line { time_ns, flags, body } => Framed::Line { time_ns, flags: flags.without(Flags::PARTIAL), body },
        lost => lost,
    }
}

impl Lines {
    fn new(service: &str, kind: LineKind) -> Self {
        let origin = OriginHandle::new(Origin::new(OriginKind::Peer, service));
        Self { origin, kind, parser: LineParser::new(TimeZone::system()) }
    }

    /// A message of syslog, or a part of one: only its beginning says what it is.
    fn take_part(&mut self, framed: Framed<'_>, begins: bool, out: &mut BatchBuilder) {
        let kind = self.kind;
        if !begins {
            self.kind = LineKind::Text;
        }
        if begins || kind != LineKind::TalosSyslog {
            self.take(framed, out);
        }
        self.kind = kind;
    }

    fn take(&mut self, framed: Framed<'_>, out: &mut BatchBuilder) {
        // Of a pipe or a file nothing is missing.
        let Framed::Line { time_ns, flags, body } = framed else { return };
        let parsed = match self.parser.parse(self.kind, body, time_ns) {
            Some(parsed) => parsed,
            None if flags.is_empty() || self.kind == LineKind::TalosSyslog => return,
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
