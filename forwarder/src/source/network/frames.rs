//! How what comes by a stream is cut into records.

use std::time::Duration;

use super::Listener;
use super::intake::Sink;
use crate::parse::line::Process;
use crate::record::Flags;
use crate::source::framer::Framer;
use crate::source::journal::ExportEntries;
use crate::source::syslog_framer::SyslogFramer;

/// Of one stream.
pub(super) struct Frames {
    framer: Kind,
    /// Who has connected.
    pub(super) process: Option<Process>,
}

enum Kind {
    Lines(Framer),
    Syslog(SyslogFramer),
    Entries(Box<ExportEntries>),
}

impl Frames {
    pub(super) fn of(listener: &Listener, process: Option<Process>) -> Self {
        let options = &listener.options;
        let framer = if options.takes_entries {
            Kind::Entries(Box::new(ExportEntries::new(listener.origin.clone(), options.max_line)))
        } else if options.kind.has_header() {
            Kind::Syslog(SyslogFramer::new(options.max_line))
        } else {
            Kind::Lines(Framer::joining(options.max_line, options.join.as_ref()))
        };
        Self { framer, process }
    }

    pub(super) fn push(&mut self, data: &[u8], now_ns: i64, sink: &mut Sink<'_>) {
        match &mut self.framer {
            Kind::Lines(framer) => framer.push(data, now_ns, Flags::NONE, &mut |framed| sink.take(framed, true)),
            Kind::Syslog(framer) => framer.push(data, now_ns, &mut |framed, begins| sink.take(framed, begins)),
            Kind::Entries(entries) => sink.entries(|output, tally| entries.push(data, now_ns, output, tally)),
        }
    }

    /// The stream has ended.
    pub(super) fn end(&mut self, now_ns: i64, sink: &mut Sink<'_>) {
        match &mut self.framer {
            Kind::Entries(entries) => sink.entries(|output, tally| entries.finish(now_ns, output, tally)),
            _ => self.hand_on(now_ns, sink),
        }
    }

    /// Nothing has followed for long, or the memory is needed.
    pub(super) fn hand_on(&mut self, now_ns: i64, sink: &mut Sink<'_>) {
        match &mut self.framer {
            Kind::Lines(framer) => framer.flush(&mut |framed| sink.take(framed, true)),
            Kind::Syslog(framer) => framer.flush(&mut |framed, begins| sink.take(framed, begins)),
            Kind::Entries(entries) => sink.entries(|output, tally| entries.hand_on(now_ns, output, tally)),
        }
    }

    /// Gives back the memory of long lines, where nothing waits.
    pub(super) fn release(&mut self) {
        if self.is_waiting() {
            return;
        }
        match &mut self.framer {
            Kind::Lines(framer) => framer.flush(&mut |_| {}),
            Kind::Syslog(framer) => framer.flush(&mut |_, _| {}),
            Kind::Entries(_) => {}
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        match &self.framer {
            Kind::Lines(framer) => framer.is_waiting(),
            Kind::Syslog(framer) => framer.is_waiting(),
            Kind::Entries(entries) => entries.is_waiting(),
        }
    }

    /// After how long without more lines that wait for others go on by themselves; `None` where none do, and the rest of
    /// a line may take as long as its connection.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &self.framer {
            Kind::Lines(framer) => Some(framer.patience(Duration::MAX)).filter(|patience| *patience < Duration::MAX),
            Kind::Syslog(_) | Kind::Entries(_) => None,
        }
    }

    /// Bytes of what is not finished.
    pub(super) fn waiting_bytes(&self) -> usize {
        match &self.framer {
            Kind::Lines(framer) => framer.waiting_bytes(),
            Kind::Syslog(framer) => framer.waiting_bytes(),
            Kind::Entries(entries) => entries.waiting_bytes(),
        }
    }
}
