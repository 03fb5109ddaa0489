//! How what comes by a stream is cut into records.

use std::time::Duration;

use super::Listener;
use super::intake::Sink;
use crate::record::Flags;
use crate::source::framer::Framer;
use crate::source::journal::ExportEntries;
use crate::source::syslog_framer::SyslogFramer;

pub(super) enum Frames {
    Lines(Framer),
    Syslog(SyslogFramer),
    Entries(Box<ExportEntries>),
}

impl Frames {
    pub(super) fn of(listener: &Listener) -> Self {
        let options = &listener.options;
        if options.takes_entries {
            Self::Entries(Box::new(ExportEntries::new(listener.origin.clone(), options.max_line)))
        } else if options.kind.has_header() {
            Self::Syslog(SyslogFramer::new(options.max_line))
        } else {
            Self::Lines(Framer::joining(options.max_line, options.join.as_ref()))
        }
    }

    pub(super) fn push(&mut self, data: &[u8], now_ns: i64, sink: &mut Sink<'_>) {
        match self {
            Self::Lines(framer) => framer.push(data, now_ns, Flags::NONE, &mut |framed| sink.take(framed, true)),
            Self::Syslog(framer) => framer.push(data, now_ns, &mut |framed, begins| sink.take(framed, begins)),
            Self::Entries(entries) => sink.entries(|output, tally| entries.push(data, now_ns, output, tally)),
        }
    }

    /// The stream has ended.
    pub(super) fn end(&mut self, now_ns: i64, sink: &mut Sink<'_>) {
        match self {
            Self::Entries(entries) => sink.entries(|output, tally| entries.finish(now_ns, output, tally)),
            _ => self.hand_on(now_ns, sink),
        }
    }

    /// Nothing has followed for long, or the memory is needed.
    pub(super) fn hand_on(&mut self, now_ns: i64, sink: &mut Sink<'_>) {
        match self {
            Self::Lines(framer) => framer.flush(&mut |framed| sink.take(framed, true)),
            Self::Syslog(framer) => framer.flush(&mut |framed, begins| sink.take(framed, begins)),
            Self::Entries(entries) => sink.entries(|output, tally| entries.hand_on(now_ns, output, tally)),
        }
    }

    /// Gives back the memory of long lines, where nothing waits.
    pub(super) fn release(&mut self) {
        match self {
            _ if self.is_waiting() => {}
            Self::Lines(framer) => framer.flush(&mut |_| {}),
            Self::Syslog(framer) => framer.flush(&mut |_, _| {}),
            Self::Entries(_) => {}
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Lines(framer) => framer.is_waiting(),
            Self::Syslog(framer) => framer.is_waiting(),
            Self::Entries(entries) => entries.is_waiting(),
        }
    }

    /// After how long without more lines that wait for others go on by themselves; `None` where none do, and the rest of
    /// a line may take as long as its connection.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self {
            Self::Lines(framer) => Some(framer.patience(Duration::MAX)).filter(|patience| *patience < Duration::MAX),
            Self::Syslog(_) | Self::Entries(_) => None,
        }
    }

    /// Bytes of what is not finished.
    pub(super) fn waiting_bytes(&self) -> usize {
        match self {
            Self::Lines(framer) => framer.waiting_bytes(),
            Self::Syslog(framer) => framer.waiting_bytes(),
            Self::Entries(entries) => entries.waiting_bytes(),
        }
    }
}
