//! A message as Talos' syslogd reads it, with all that it does to it (`internal/app/syslogd`, and the library
//! `jeromer/syslogparser` 1.1.0 behind it), and as machined then sends what it said.
//!
//! - It sees the first 1024 bytes of a datagram.
//! - It is RFC 5424 where a digit follows the first `>`, which has to be among the first ten bytes; else RFC 3164.
//! - Of RFC 3164 without `]:` the tag is `unknown` and the host `localhost`. The host is that, too, where two spaces
//!   stand before the `]:`, or no more than three. A tag has up to 32 bytes, the rest is content; the pid is dropped.
//! - The time is UTC's and of this year. That of RFC 5424 keeps its zone; `-` is the year 1.
//! - Structured data goes up to the first `]` that has a space or nothing behind it.
//! - What does not fit is dropped. What Talos' program would end at, because it looks at bytes that there are not, is
//!   text here.
//! - Nothing of all this is the message for machined: `msg` is empty, and the level is info.

use std::fmt::Write;

use crate::parse::fields::Fields;
use crate::parse::line::Parsed;
use crate::parse::time::{civil, days, days_in};
use crate::record::Span;

/// What syslogd reads of a datagram.
pub const READ_BYTES: usize = 1024;

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const STAMP_BYTES: usize = 15;
const NO_TAG: &[u8] = b" unknown:";
const MAX_TAG: usize = 32;
const DAY: i64 = 86_400;

/// Why there is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Talos drops it.
    Dropped,
    /// Talos' program ends.
    Fatal,
}

/// Reads a message; nothing where Talos drops it.
pub(super) fn parse<'p>(fields: &'p mut Fields, message: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
    let line = &message[..message.len().min(READ_BYTES)];
    fields.clear(line.len());
    let read = match is_5424(line) {
        Ok(true) => rfc5424(fields, line),
        Ok(false) => rfc3164(fields, line, now_ns),
        Err(fault) => Err(fault),
    };
    match read {
        Ok(()) => {
            let parts = fields.parts(line, Span::default());
            Some(Parsed { is_object: true, parts, ..Parsed::text(line) })
        }
        Err(Fault::Dropped) => None,
        Err(Fault::Fatal) => Some(Parsed::text(line)),
    }
}

fn is_5424(line: &[u8]) -> Result<bool, Fault> {
    const SEEN: usize = 10;
    for at in 0..SEEN {
        if *line.get(at).ok_or(Fault::Fatal)? == b'>' {
            if at + 1 == SEEN {
                return Err(Fault::Dropped);
            }
            return Ok(line.get(at + 1).ok_or(Fault::Fatal)?.is_ascii_digit());
        }
    }
    Ok(true)
}

struct Cursor<'c> {
    text: &'c [u8],
    at: usize,
}

impl<'c> Cursor<'c> {
    /// The byte that Talos looks at without asking whether there is one.
    fn byte(&self) -> Result<u8, Fault> {
        self.text.get(self.at).copied().ok_or(Fault::Fatal)
    }

    fn skip_space(&mut self) {
        self.at += usize::from(self.text.get(self.at) == Some(&b' '));
    }

    /// A byte that has to be this one.
    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.byte()? != byte {
            return Err(Fault::Dropped);
        }
        self.at += 1;
        Ok(())
    }

    fn priority(&mut self, fields: &mut Fields) -> Result<(), Fault> {
        let digits = self.text.strip_prefix(b"<").ok_or(Fault::Dropped)?;
        let len = digits.iter().take(4).position(|byte| *byte == b'>').ok_or(Fault::Dropped)?;
        if len == 0 || !digits[..len].iter().all(u8::is_ascii_digit) {
            return Err(Fault::Dropped);
        }
        let number = digits[..len].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        self.at = len + 2;
        for (key, number) in [("priority", number), ("facility", number / 8), ("severity", number % 8)] {
            fields.json(key, &number.to_string());
        }
        Ok(())
    }

    /// Up to the next space, or the end.
    fn word(&mut self) -> &'c [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// What is left, without the spaces around it.
    fn rest(&self) -> &'c [u8] {
        let mut rest = self.text.get(self.at..).unwrap_or_default();
        while let [b' ', inner @ ..] | [inner @ .., b' '] = rest {
            rest = inner;
        }
        rest
    }

    /// A number of so many bytes as Go's `strconv.Atoi` reads it: a sign may be one of them.
    fn number(&mut self, len: usize) -> Result<i64, Fault> {
        let text = self.text.get(self.at..self.at + len).ok_or(Fault::Dropped)?;
        self.at += len;
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.ok_or(Fault::Dropped)
    }

    fn two(&mut self, range: std::ops::RangeInclusive<i64>) -> Result<i64, Fault> {
        self.number(2).ok().filter(|number| range.contains(number)).ok_or(Fault::Dropped)
    }
}

fn rfc3164(fields: &mut Fields, line: &[u8], now_ns: i64) -> Result<(), Fault> {
    let tag_end = memchr::memmem::find(line, b"]:");
    let with_tag;
    let (text, has_host) = match tag_end {
        Some(end) => {
            let before = &line[..end];
            let is_wide = memchr::memmem::find(before, b"  ").is_some();
            (line, !is_wide && memchr::memchr_iter(b' ', before).count() > 3)
        }
        None => {
            let is_short_day = memchr::memmem::find(line, b"  ").is_some_and(|at| at < 8);
            let nth = if is_short_day { 3 } else { 2 };
            let at = memchr::memchr_iter(b' ', line).nth(nth).ok_or(Fault::Fatal)?;
            with_tag = [&line[..at], NO_TAG, &line[at..]].concat();
            (&with_tag[..], false)
        }
    };
    let mut cursor = Cursor { text, at: 0 };
    cursor.priority(fields)?;
    if cursor.byte()? == b' ' {
        cursor.at += 1;
    }
    let stamp = text.get(cursor.at..cursor.at + STAMP_BYTES).and_then(|stamp| bsd_time(stamp, now_ns));
    let stamp = stamp.ok_or(Fault::Dropped)?;
    cursor.at += STAMP_BYTES;
    cursor.skip_space();
    let host = if has_host { cursor.word() } else { b"localhost" };
    if cursor.byte()? == b' ' {
        cursor.at += 1;
    }
    let tag = tag(&mut cursor);
    fields.constant("timestamp", stamp.as_bytes());
    fields.valid("hostname", host);
    fields.valid("tag", tag);
    fields.valid("content", cursor.rest());
    Ok(())
}

/// The tag that comes next, with what stands between it and the content.
fn tag<'c>(cursor: &mut Cursor<'c>) -> &'c [u8] {
    let rest = &cursor.text[cursor.at..];
    let seen = &rest[..rest.len().min(MAX_TAG)];
    let space = memchr::memchr(b' ', seen);
    let word = &seen[..space.unwrap_or(seen.len())];
    let len = word.iter().position(|byte| matches!(byte, b'[' | b']' | b':')).unwrap_or(word.len());
    if len > 0 {
        cursor.at += space.map_or(seen.len(), |space| space + 1);
    }
    &word[..len]
}

/// As Go reads `Jan  2 15:04:05`, in the year of `now_ns`: February 29 is March 1 where there is none.
fn bsd_time(stamp: &[u8], now_ns: i64) -> Option<String> {
    let (month, rest) = stamp.split_first_chunk::<3>()?;
    let month = MONTHS.iter().position(|name| month.eq_ignore_ascii_case(*name))? as i64 + 1;
    let (day, rest) = one_or_two(spaces(rest)?)?;
    let (hour, rest) = one_or_two(spaces(rest)?)?;
    let (minute, rest) = two(rest.strip_prefix(b":")?)?;
    let (second, rest) = two(rest.strip_prefix(b":")?)?;
    let nanos = match rest {
        [] => 0,
        // Go takes parts of a second that the format has not.
        [b'.' | b',', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let number = digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
            number * 10u32.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    // Without a year, it is a leap year.
    let is_valid = (1..=days_in(0, month)).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let (year, ..) = civil(now_ns.div_euclid(DAY * 1_000_000_000));
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    is_valid.then(|| rfc3339_nano(seconds, nanos, 0))
}

fn spaces(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|byte| **byte == b' ').count();
    (len > 0).then(|| &text[len..])
}

fn one_or_two(text: &[u8]) -> Option<(i64, &[u8])> {
    two(text).or_else(|| {
        let (digit, rest) = text.split_first()?;
        digit.is_ascii_digit().then(|| (i64::from(digit - b'0'), rest))
    })
}

fn two(text: &[u8]) -> Option<(i64, &[u8])> {
    let ([tens, ones], rest) = text.split_first_chunk::<2>()?;
    let are_digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    are_digits.then(|| (i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), rest))
}

fn rfc5424(fields: &mut Fields, line: &[u8]) -> Result<(), Fault> {
    let mut cursor = Cursor { text: line, at: 0 };
    cursor.priority(fields)?;
    let version = cursor.byte().map_err(|_| Fault::Dropped)?;
    if !version.is_ascii_digit() {
        return Err(Fault::Dropped);
    }
    fields.json("version", std::str::from_utf8(&[version]).unwrap_or_default());
    // Whatever it is that follows.
    cursor.at += 2;
    let stamp = ietf_time(&mut cursor)?;
    cursor.at += 1;
    fields.constant("timestamp", stamp.as_bytes());
    fields.valid("hostname", cursor.word());
    cursor.at += 1;
    for (key, max) in [("app_name", 48), ("proc_id", 128), ("msg_id", 32)] {
        let word = cursor.word();
        // With the space behind it.
        if word.len() >= max || cursor.at >= line.len() {
            return Err(Fault::Dropped);
        }
        fields.valid(key, word);
        cursor.at += 1;
    }
    let data = structured_data(&cursor)?;
    fields.valid("structured_data", data);
    cursor.at += data.len() + 1;
    fields.valid("message", cursor.rest());
    Ok(())
}

fn structured_data<'c>(cursor: &Cursor<'c>) -> Result<&'c [u8], Fault> {
    let rest = &cursor.text[cursor.at.min(cursor.text.len())..];
    match cursor.byte()? {
        b'-' => Ok(&rest[..1]),
        b'[' => {
            let is_end = |at: &usize| matches!(rest.get(at + 1), None | Some(b' '));
            let end = memchr::memchr_iter(b']', rest).find(is_end).ok_or(Fault::Dropped)?;
            Ok(&rest[..=end])
        }
        _ => Err(Fault::Dropped),
    }
}

/// As the library reads it: numbers may have signs, and every month has 31 days.
fn ietf_time(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    if cursor.byte()? == b'-' {
        cursor.at += 1;
        return Ok("0001-01-01T00:00:00Z".to_owned());
    }
    let year = cursor.number(4)?;
    cursor.expect(b'-')?;
    let month = cursor.two(1..=12)?;
    cursor.expect(b'-')?;
    let day = cursor.two(1..=31)?;
    cursor.expect(b'T')?;
    let hour = cursor.two(0..=23)?;
    cursor.expect(b':')?;
    let minute = cursor.two(0..=59)?;
    cursor.expect(b':')?;
    let second = cursor.two(0..=59)?;
    let mut nanos = 0;
    if cursor.byte()? == b'.' {
        cursor.at += 1;
        let digits = cursor.text[cursor.at..].iter().take(6).take_while(|byte| byte.is_ascii_digit());
        let mut place = 100_000_000;
        for digit in digits {
            nanos += u32::from(digit - b'0') * place;
            place /= 10;
            cursor.at += 1;
        }
    }
    let offset = match cursor.byte()? {
        b'Z' => {
            cursor.at += 1;
            0
        }
        sign @ (b'+' | b'-') => {
            cursor.at += 1;
            let hours = cursor.two(0..=23)?;
            cursor.expect(b':')?;
            let offset = hours * 3600 + cursor.two(0..=59)? * 60;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return Err(Fault::Dropped),
    };
    let seconds = days(year, month, 1) * DAY + (day - 1) * DAY + hour * 3600 + minute * 60 + second;
    Ok(rfc3339_nano(seconds, nanos, offset))
}

/// A date and time of day, given as if they were UTC's, with their offset from it.
fn rfc3339_nano(seconds: i64, nanos: u32, offset: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        let digits = format!("{nanos:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
    if offset == 0 {
        out.push('Z');
    } else {
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).expect("writing to memory does not fail");
    }
    out
}
