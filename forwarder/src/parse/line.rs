//! How a line is read, by the choice of whoever set up its source.

use super::json::JsonParser;
use super::logfmt::LogfmtParser;
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
    /// Text, whatever it looks like.
    Text,
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
#[derive(Default)]
pub struct LineParser {
    json: JsonParser,
    logfmt: LogfmtParser,
    times: TimeReader,
}

impl LineParser {
    /// What `line` says; `None` where it is blank, which only [`LineKind::Text`] takes for a line.
    pub fn parse<'p>(&'p mut self, kind: LineKind, line: &'p [u8]) -> Option<Parsed<'p>> {
        match kind {
            LineKind::Text => return Some(Parsed::text(line)),
            LineKind::Auto if line.first() == Some(&b'{') => {}
            _ if space::trim(line).is_empty() => return None,
            LineKind::Auto | LineKind::Talos | LineKind::Logfmt => {}
        }
        match kind {
            LineKind::Talos => Some(talos::parse(&mut self.json, &mut self.times, space::trim(line))),
            LineKind::Logfmt => Some(self.logfmt.parse(&mut self.times, line)),
            LineKind::Auto | LineKind::Text => Some(peer::parse(&mut self.json, &mut self.times, line)),
        }
    }
}
