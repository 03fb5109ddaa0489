//! How a line is read, by the choice of whoever set up its source.

use jiff::tz::TimeZone;

use super::json::JsonParser;
use super::logfmt::LogfmtParser;
use super::syslog::{Sender, SyslogParser};
use super::time::TimeReader;
use super::{peer, space, talos};
use crate::record::{Level, Parts};

/// What a line is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A line that is a whole JSON object is taken as that, and passed on as it is; another one is text.
    Auto,
    /// The output of a service, as Talos reads it: JSON, text with JSON behind it, or text.
    Talos,
    /// A line of `key=value` pairs gives its time, level, message and fields; another one is text.
    Logfmt,
    /// A message of syslog that another machine has sent, or may have.
    Syslog,
    /// The same from this machine.
    LocalSyslog,
    /// A message of syslog as Talos' syslogd takes it, faults and all.
    TalosSyslog,
    /// Text, whatever it looks like.
    Text,
}

impl LineKind {
    /// Whether only the beginning of a message says what it is: the rest of one that comes in parts is text.
    pub fn has_header(self) -> bool {
        matches!(self, Self::Syslog | Self::LocalSyslog | Self::TalosSyslog)
    }
}

/// The process that has sent a message, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub uid: u32,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'p> {
    /// The line's own time in ns since the epoch, where it has one that fits.
    pub time_ns: Option<i64>,
    pub level: Level,
    /// Whether an object was found, so that the line is known to be whole.
    pub is_object: bool,
    pub parts: Parts<'p>,
}

impl<'p> Parsed<'p> {
    /// A line that is nothing but text.
    pub fn text(line: &'p [u8]) -> Self {
        Self { time_ns: None, level: Level::Info, is_object: false, parts: Parts::text(line) }
    }
}

/// Reads lines; keeps its memory from one to the next.
pub struct LineParser {
    json: JsonParser,
    logfmt: LogfmtParser,
    syslog: SyslogParser,
    times: TimeReader,
}

impl LineParser {
    /// `zone` is that of times which name none.
    pub fn new(zone: TimeZone) -> Self {
        Self {
            json: JsonParser::default(),
            logfmt: LogfmtParser::default(),
            syslog: SyslogParser::new(zone),
            times: TimeReader::default(),
        }
    }

    /// What `line` says that came at `now_ns` (since the epoch). `None` where it is blank, which only [`LineKind::Text`]
    /// takes for a line; and of [`LineKind::TalosSyslog`] where Talos drops it.
    pub fn parse<'p>(&'p mut self, kind: LineKind, line: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        match kind {
            LineKind::Text => return Some(Parsed::text(line)),
            LineKind::TalosSyslog => return self.syslog.parse_talos(line, now_ns),
            LineKind::Syslog | LineKind::LocalSyslog => {
                let sender = if kind == LineKind::Syslog { Sender::Elsewhere } else { Sender::Here(None) };
                return self.syslog.parse(sender, line, now_ns);
            }
            LineKind::Auto if line.first() == Some(&b'{') => {}
            _ if space::trim(line).is_empty() => return None,
            LineKind::Auto | LineKind::Talos | LineKind::Logfmt => {}
        }
        Some(match kind {
            LineKind::Talos => talos::parse(&mut self.json, &mut self.times, space::trim(line)),
            LineKind::Logfmt => self.logfmt.parse(&mut self.times, line),
            _ => peer::parse(&mut self.json, &mut self.times, line),
        })
    }

    /// The same for [`LineKind::LocalSyslog`], of a process that the kernel has named.
    pub fn parse_from<'p>(&'p mut self, process: Process, line: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        self.syslog.parse(Sender::Here(Some(process)), line, now_ns)
    }
}

impl Default for LineParser {
    /// In UTC.
    fn default() -> Self {
        Self::new(TimeZone::UTC)
    }
}
