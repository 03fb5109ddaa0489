//! Syslog: what RFC 3164 describes and RFC 5424 prescribes, as programs really send it.
//!
//! In: a datagram, or a frame of a connection. Out: a record; nothing is refused.
//!
//! ```text
//!  <PRI>Mmm dd hh:mm:ss HOST TAG[PID]: TEXT             RFC 3164; without HOST from syslog(3); PRI, time, tag may lack
//!  <PRI>2026-01-02T03:04:05.678+01:00 HOST TAG: TEXT    the same from rsyslog and Go
//!  <PRI>1 TIME HOST APP PROCID MSGID [ID NAME="VALUE"] TEXT   RFC 5424; `-` is nothing
//! ```
//!
//! - The body is TEXT: without the newlines and NULs at its end, the space behind the tag, a byte order mark. The level
//!   is the severity. Fields are `facility`, `priority` (the severity's name), `hostname`, `app`, `pid`, `msgid`, and
//!   `sd.ID.NAME` for each parameter of structured data.
//! - A process of this machine that the kernel has named is in `uid`, and in `pid` where the message has none.
//! - The time is the sender's. One without a year is in the year that puts it before now, or at most a month after; one
//!   without a zone is in this machine's. One that can't be (`Feb 30`) is kept as the field `timestamp`.
//! - What has no PRI (or one above 191) and no time, or begins as RFC 5424 and does not go on so, is text as it is, with
//!   the field `unparsed`.

mod bsd;
mod ietf;
mod structured;
mod talos;

use jiff::tz::TimeZone;

pub use self::talos::READ_BYTES as TALOS_READ_BYTES;
use super::fields::Fields;
use super::line::{Parsed, Process};
use super::stamp::Stamp;
use crate::record::{Level, Span, facility_name};

/// Facility 23 and severity 7.
const MAX_PRIORITY: u32 = 191;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// This machine: a time without year and zone has only seconds, and says less than when the message came. And the
    /// process, where it is known.
    Here(Option<Process>),
    Elsewhere,
}

/// Reads messages; keeps its memory.
pub struct SyslogParser {
    fields: Fields,
    /// Of times that name no zone.
    zone: TimeZone,
}

impl SyslogParser {
    pub fn new(zone: TimeZone) -> Self {
        Self { fields: Fields::default(), zone }
    }

    /// What a message says that came at `now_ns` (since the epoch); nothing where it is empty.
    pub(super) fn parse<'p>(&'p mut self, sender: Sender, message: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        let line = trim_end(message);
        if line.is_empty() {
            return None;
        }
        let (priority, at) = match priority(line) {
            Some((number, at)) => (Some(number), at),
            None => (None, 0),
        };
        let mut reader = Reader { line, at, sender, now_ns, fields: &mut self.fields, zone: &self.zone };
        reader.fields.clear(line.len());
        let read = if reader.takes(b"1 ") { reader.ietf(priority.is_some()) } else { reader.bsd(priority.is_some()) };
        let Read { time_ns, body } = read.unwrap_or_else(|| {
            self.fields.clear(line.len());
            self.fields.flag("unparsed");
            Read { time_ns: None, body: Span::new(0, line.len()) }
        });
        let mut level = Level::Info;
        if let Some(priority) = priority {
            level = Level::from_priority(priority);
            self.fields.constant("priority", level.name().as_bytes());
            self.fields.constant("facility", facility_name(priority >> 3).unwrap_or_default().as_bytes());
        }
        if let Sender::Here(Some(Process { pid, uid })) = sender {
            if !self.fields.has("pid") {
                self.fields.constant("pid", pid.to_string().as_bytes());
            }
            self.fields.constant("uid", uid.to_string().as_bytes());
        }
        Some(Parsed { time_ns, level, is_object: false, parts: self.fields.parts(line, body) })
    }

    /// The same as Talos' syslogd sends it; nothing where that drops the message.
    pub(super) fn parse_talos<'p>(&'p mut self, message: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        talos::parse(&mut self.fields, message, now_ns)
    }
}

/// What was found behind the priority.
struct Read {
    time_ns: Option<i64>,
    body: Span,
}

/// A message that is being read.
struct Reader<'r> {
    line: &'r [u8],
    at: usize,
    sender: Sender,
    now_ns: i64,
    fields: &'r mut Fields,
    zone: &'r TimeZone,
}

impl<'r> Reader<'r> {
    fn rest(&self) -> &'r [u8] {
        &self.line[self.at..]
    }

    /// Whether this comes next. It stays.
    fn takes(&self, next: &[u8]) -> bool {
        self.rest().starts_with(next)
    }

    /// Goes past it if it comes next.
    fn skip(&mut self, next: &[u8]) -> bool {
        let is_next = self.takes(next);
        self.at += if is_next { next.len() } else { 0 };
        is_next
    }

    /// Where the word that begins here ends.
    fn word_end(&self) -> usize {
        self.at + memchr::memchr(b' ', self.rest()).unwrap_or(self.rest().len())
    }

    /// Keeps a part of the line as a field.
    fn keep(&mut self, key: &'static str, from: usize, to: usize) {
        if from < to {
            self.fields.of_line(key, Span::new(from, to - from));
        }
    }

    /// When the message was written, by a time that stands from `from` to `to`.
    fn time(&mut self, stamp: Option<Stamp>, from: usize, to: usize) -> Option<i64> {
        let vague = stamp.is_some_and(|stamp| !stamp.has_zone());
        if matches!(self.sender, Sender::Here(_)) && vague {
            return None;
        }
        let time_ns = stamp.and_then(|stamp| stamp.ns(self.zone));
        if time_ns.is_none() {
            self.keep("timestamp", from, to);
        }
        time_ns
    }

    /// All that is left is the body.
    fn body(&mut self) -> Span {
        self.skip(BYTE_ORDER_MARK);
        Span::new(self.at, self.rest().len())
    }
}

/// Without the newlines and NULs at the end.
fn trim_end(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0));
    &message[..end.map_or(0, |last| last + 1)]
}

/// The number of `<13>`, and where it ends.
fn priority(line: &[u8]) -> Option<(u32, usize)> {
    let digits = line.strip_prefix(b"<")?;
    let len = digits.iter().take(4).position(|byte| *byte == b'>')?;
    let number = digits[..len]
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))?;
    (len > 0 && number <= MAX_PRIORITY).then_some((number, len + 2))
}

#[cfg(test)]
mod tests;
