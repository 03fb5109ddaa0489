//! How what comes by a connection is cut into records.

use std::time::Duration;

use super::Listener;
use crate::parse::line::Process;
use crate::record::Flags;
use crate::source::framer::{Framed, Framer};
use crate::source::syslog_framer::SyslogFramer;

/// Of one connection.
pub(super) struct Frames {
    framer: Kind,
    /// Who has connected.
    pub(super) process: Option<Process>,
}

enum Kind {
    Lines(Framer),
    Syslog(SyslogFramer),
}

impl Frames {
    pub(super) fn of(listener: &Listener, process: Option<Process>) -> Self {
        let max_line = listener.options.max_line;
        let framer = if listener.options.kind.has_header() {
            Kind::Syslog(SyslogFramer::new(max_line))
        } else {
            Kind::Lines(Framer::joining(max_line, listener.options.join.as_ref()))
        };
        Self { framer, process }
    }

    /// `out` is told whether what it gets is read by itself: not where it goes on with a message of which only the
    /// beginning says what it is.
    pub(super) fn push(&mut self, data: &[u8], now_ns: i64, out: &mut impl FnMut(Framed<'_>, bool)) {
        match &mut self.framer {
            Kind::Lines(framer) => framer.push(data, now_ns, Flags::NONE, &mut |framed| out(framed, true)),
            Kind::Syslog(framer) => framer.push(data, now_ns, out),
        }
    }

    pub(super) fn flush(&mut self, out: &mut impl FnMut(Framed<'_>, bool)) {
        match &mut self.framer {
            Kind::Lines(framer) => framer.flush(&mut |framed| out(framed, true)),
            Kind::Syslog(framer) => framer.flush(out),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        match &self.framer {
            Kind::Lines(framer) => framer.is_waiting(),
            Kind::Syslog(framer) => framer.is_waiting(),
        }
    }

    /// After how long without more lines that wait for others go on by themselves; `None` where none do, and the rest of
    /// a line may take as long as its connection.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &self.framer {
            Kind::Lines(framer) => Some(framer.patience(Duration::MAX)).filter(|patience| *patience < Duration::MAX),
            Kind::Syslog(_) => None,
        }
    }

    /// Bytes of what is not finished.
    pub(super) fn waiting_bytes(&self) -> usize {
        match &self.framer {
            Kind::Lines(framer) => framer.waiting_bytes(),
            Kind::Syslog(framer) => framer.waiting_bytes(),
        }
    }
}
