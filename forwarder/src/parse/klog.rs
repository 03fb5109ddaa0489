//! klog, the format of Kubernetes' programs: `I0102 15:04:05.678901   12345 file.go:12] text`.
//!
//! The letter is the level (`I`, `W`, `E`, `F`), the time has no year and no zone: it is in the year that puts it before
//! now, or at most a month after. Fields are `pid` (in Kubernetes' programs mostly 1, or a thread's number) and `caller`.
//!
//! The text is the body. Where it is written by klog's `InfoS` (`"text" key="value" count=3`), the quoted text is the body
//! and the pairs are fields; where something else than pairs follows, all of it is the body.
//!
//! A line that does not begin so is text, with the field `unparsed`.

use jiff::tz::TimeZone;

use super::fields::Fields;
use super::line::Parsed;
use super::logfmt::LogfmtParser;
use super::stamp;
use crate::record::{Level, Span, bytes};

/// Reads lines; keeps its memory.
#[derive(Default)]
pub(super) struct KlogParser {
    fields: Fields,
    pairs: LogfmtParser,
}

struct Header {
    level: Level,
    time_ns: Option<i64>,
    pid: Span,
    caller: Span,
    /// Where the text begins.
    text: usize,
}

impl KlogParser {
    /// What a line says that came at `now_ns`; `None` where it is none of klog's.
    pub(super) fn parse<'p>(&'p mut self, zone: &TimeZone, line: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        let header = header(zone, line, now_ns)?;
        self.fields.clear(line.len());
        let body = self.structured(line, header.text);
        let body = body.unwrap_or_else(|| {
            self.fields.clear(line.len());
            Span::new(header.text, line.len() - header.text)
        });
        self.fields.of_line("caller", header.caller);
        let pid = String::from_utf8_lossy(bytes(line, &[], header.pid));
        self.fields.json("pid", &pid);
        let parts = self.fields.parts(line, body);
        Some(Parsed { time_ns: header.time_ns, level: header.level, is_object: false, parts })
    }

    /// The body, where the text is written as `"text" key=value`; its pairs are then fields.
    fn structured(&mut self, line: &[u8], text: usize) -> Option<Span> {
        if line.get(text) != Some(&b'"') {
            return None;
        }
        let Self { fields, pairs } = self;
        let body = pairs.read_behind_text(line, text)?;
        let here = |fields: &mut Fields, span: Span| match (span.start as usize) < line.len() {
            true => span,
            false => fields.beside(|more| more.extend_from_slice(bytes(line, pairs.more(), span))),
        };
        let body = here(fields, body);
        for pair in pairs.pairs() {
            let value = here(fields, pair.value);
            let key = bytes(line, &[], pair.key);
            let key = fields.beside(|more| more.extend_from_slice(key));
            fields.put(key, value, pair.is_json);
        }
        Some(body)
    }
}

fn header(zone: &TimeZone, line: &[u8], now_ns: i64) -> Option<Header> {
    let (first, rest) = line.split_first()?;
    let level = match first {
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Err,
        b'F' => Level::Crit,
        _ => return None,
    };
    let (time, len) = stamp::klog(rest, now_ns)?;
    let spaces = |at: usize| line[at..].iter().take_while(|byte| **byte == b' ').count();
    let pid_at = 1 + len + spaces(1 + len);
    let digits = line[pid_at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    // As a number of JSON.
    let is_number = (1..=15).contains(&digits) && (digits == 1 || line[pid_at] != b'0') && pid_at > 1 + len;
    let caller_at = pid_at + digits + 1;
    if !is_number || line.get(pid_at + digits) != Some(&b' ') {
        return None;
    }
    let caller = &line[caller_at..];
    let end =
        memchr::memchr(b']', caller).filter(|end| !caller[..*end].contains(&b' ') && caller[..*end].contains(&b':'))?;
    let text = caller_at + end + 1;
    let text = text + usize::from(line.get(text) == Some(&b' '));
    let time_ns = time?.ns(zone);
    Some(Header { level, time_ns, pid: Span::new(pid_at, digits), caller: Span::new(caller_at, end), text })
}
