//! logfmt: `key=value` pairs with spaces between them, as logrus (and so Kata), go-kit and Heroku write them.
//!
//! In: a line. Out: a record, or nothing where the line is none of the format, which is then text, whole and unchanged.
//!
//! - A line begins with a pair. Pairs and bare keys (`debug`, which is `true`) follow, with spaces or tabs between.
//! - A key is any text without spaces, quotes, `=` and control bytes. A value goes to the next space, or to the quote that
//!   ends it. In quotes, what Go's `%q` and JSON escape is read (`\n`, `\"`, `\x00`, `\u00e9`, `\U0001f600`); any other
//!   backslash is one.
//! - Values are text. Without quotes, `true`, `false` and numbers that JSON would write just so stand for themselves:
//!   not `007`, `1.50` or what needs more digits than a 64-bit float has.
//! - `time`, else `ts`, gives the time, `level` the level and `msg` the body, by the rules for Talos' services
//!   ([`super::talos`]); what holds none of these stays a field.
//! - A key that comes again gets an array of its values, and is then none of those: nothing of two lines that were
//!   written into one is lost.
//!
//! Refused: a quote that does not end or has no space behind it, a quote within a value, a control byte outside of
//! quotes, a key that is not UTF-8; a line longer than [`MAX_LINE_BYTES`] or with more than [`MAX_PAIRS`] pairs.

use memchr::memchr2;

use super::json::{Key, MAX_MEMBERS, MAX_OBJECT_BYTES, Members, Names, sort_prefix};
use super::layout::{Layouts, Values};
use super::line::Parsed;
use super::pairs::{has_equal, join_equal};
use super::peer::level_of;
use super::time::{Time, TimeReader};
use crate::record::{FieldSpan, Level, Parts, Span, bytes};

/// The longest line that is looked into.
pub const MAX_LINE_BYTES: usize = MAX_OBJECT_BYTES;
pub const MAX_PAIRS: usize = MAX_MEMBERS;

/// Memory that is kept from one line to the next.
const KEPT_BYTES: usize = 256 << 10;
/// Digits that every 64-bit float keeps.
const EXACT_DIGITS: usize = 15;
/// A number with more of them behind the point may be written with an exponent.
const PLAIN_DECIMALS: usize = 6;

const TIME: Key = Key::new(b"time");
const TS: Key = Key::new(b"ts");
const LEVEL: Key = Key::new(b"level");
const MSG: Key = Key::new(b"msg");

/// Reads lines; keeps its memory.
#[derive(Default)]
pub struct LogfmtParser {
    pairs: Members,
    /// Those that are not taken.
    fields: Vec<FieldSpan>,
    /// What does not stand in the line as it is meant.
    more: Vec<u8>,
    has_bare_keys: bool,
    /// Its pairs are in order, each key once.
    is_settled: bool,
    layouts: Layouts<Kind>,
}

/// What a line like one before has in the place of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// In quotes, without a backslash.
    Quoted,
}

/// A line whose values are all in it.
struct Plain<'l>(&'l [u8]);

impl LogfmtParser {
    pub(super) fn parse<'p>(&'p mut self, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
        if !self.read_whole(line) {
            return Parsed::text(line);
        }
        self.give(times, line)
    }

    /// Reads the pairs of a line, sorted by key, each key once; whether it is a line of them.
    pub(crate) fn read_pairs(&mut self, line: &[u8]) -> bool {
        let is_read = self.read_whole(line);
        if is_read {
            self.settle(line);
        }
        is_read
    }

    /// Reads a line; whether it is one of the format.
    pub(super) fn read_whole(&mut self, line: &[u8]) -> bool {
        self.clear();
        if line.len() > MAX_LINE_BYTES {
            return false;
        }
        let plain = Plain(line);
        if self.layouts.read(&plain, 0, &mut self.pairs) {
            self.is_settled = true;
            return true;
        }
        let is_read = self.read(line, 0).is_some() && !self.pairs.list.is_empty();
        if is_read && self.more.is_empty() {
            self.pairs.order(line, &self.more);
            self.is_settled = !has_equal(&self.pairs, line, &self.more);
            if self.is_settled {
                self.layouts.learn(&plain, 0, &self.pairs.list);
            }
        }
        is_read
    }

    /// Reads a line which has a text in quotes at `at` and nothing but pairs behind it; gives that text.
    pub(super) fn read_behind_text(&mut self, line: &[u8], at: usize) -> Option<Span> {
        self.clear();
        if line.len() > MAX_LINE_BYTES {
            return None;
        }
        let mut at = at;
        let (text, _) = self.value(line, &mut at)?;
        line.get(at).is_none_or(|byte| is_space(*byte)).then_some(())?;
        self.read(line, at)?;
        (!self.has_bare_keys).then_some(text)
    }

    /// Whether the line that was read is surely meant as pairs, and no text that looks so: more than one pair, nothing
    /// but pairs, and keys as programs have them.
    pub(super) fn is_certain(&self, line: &[u8]) -> bool {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'@');
        let named = |key: Span| bytes(line, &self.more, key).iter().all(is_name);
        self.pairs.list.len() > 1 && !self.has_bare_keys && self.pairs.list.iter().all(|pair| named(pair.field.key))
    }

    /// The pairs that were read, in their order: spans over the line and, behind it, [`LogfmtParser::more`].
    pub(crate) fn pairs(&self) -> impl Iterator<Item = FieldSpan> + Clone {
        self.pairs.list.iter().map(|pair| pair.field)
    }

    /// Which of them say what the record's time, level and text are, of the line that was read.
    pub(crate) fn names(&self, line: &[u8]) -> Names {
        Names::of(&self.pairs, line, &self.more)
    }

    /// What does not stand in the line as it is meant.
    pub(crate) fn more(&self) -> &[u8] {
        &self.more
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.fields.clear();
        self.more.clear();
        self.more.shrink_to(KEPT_BYTES);
        (self.has_bare_keys, self.is_settled) = (false, false);
    }

    /// The record of the line that was read.
    pub(super) fn give<'p>(&'p mut self, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
        self.settle(line);
        let (time_ns, level, body) = self.take_named(times, line);
        // What was cut off of a line may have been more pairs.
        let is_object = false;
        Parsed { time_ns, level, is_object, parts: Parts { line, more: &self.more, body, fields: &self.fields } }
    }

    /// Sorts the pairs by key, each key once.
    fn settle(&mut self, line: &[u8]) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.pairs.order(line, &self.more);
            join_equal(&mut self.pairs, line, &mut self.more);
        }
    }

    fn read(&mut self, line: &[u8], mut at: usize) -> Option<()> {
        loop {
            while line.get(at).is_some_and(|byte| is_space(*byte)) {
                at += 1;
            }
            if at == line.len() {
                return Some(());
            }
            let start = at;
            at = word_end(line, at, b'=');
            let key = &line[start..at];
            if key.is_empty() || !(key.is_ascii() || std::str::from_utf8(key).is_ok()) {
                return None;
            }
            let (value, is_json) = match line.get(at) {
                Some(b'=') => {
                    at += 1;
                    self.value(line, &mut at)?
                }
                // A line begins with a pair.
                _ if self.pairs.list.is_empty() => return None,
                _ => {
                    self.has_bare_keys = true;
                    (self.beside(line, |more| more.extend_from_slice(b"true")), true)
                }
            };
            if line.get(at).is_some_and(|byte| !is_space(*byte)) {
                return None;
            }
            let field = FieldSpan { key: Span::new(start, key.len()), value, is_json };
            if !self.pairs.push(sort_prefix(&line[start..], key.len()), field) {
                return None;
            }
        }
    }

    /// The value that begins at `at`, which is then behind it; and whether it stands for itself in JSON.
    #[inline]
    fn value(&mut self, line: &[u8], at: &mut usize) -> Option<(Span, bool)> {
        let start = *at;
        if line.get(start) != Some(&b'"') {
            *at = word_end(line, start, b' ');
            return Some((Span::new(start, *at - start), is_plain_json(&line[start..*at])));
        }
        let text = &line[start + 1..];
        let mut end = memchr2(b'"', b'\\', text)?;
        let value = if text[end] == b'"' {
            Span::new(start + 1, end)
        } else {
            self.beside(line, |more| end = unescape(text, more))
        };
        *at = start + 1 + end + 1;
        (end < text.len()).then_some((value, false))
    }

    /// Finds time, level and body; all other pairs become fields.
    fn take_named(&mut self, times: &mut TimeReader, line: &[u8]) -> (Option<i64>, Level, Span) {
        let more = &self.more;
        let (mut time_ns, mut level, mut body) = (None, Level::Info, Span::default());
        let mut time_of = |key: &Key| {
            let field = self.pairs.list.iter().find(|pair| key.is_of(pair, line, more))?.field;
            let value = bytes(line, more, field.value);
            let time = match field.is_json {
                true => std::str::from_utf8(value).ok()?.parse().ok().and_then(Time::of_number),
                false => times.rfc3339(value),
            };
            time_ns = Some(time?.ns()?);
            Some(field.key)
        };
        let time = time_of(&TIME).or_else(|| time_of(&TS));
        for pair in &self.pairs.list {
            let field = pair.field;
            if LEVEL.is_of(pair, line, more) && !field.is_json {
                let (meant, is_written_so) = known_level(bytes(line, more, field.value));
                level = meant;
                if is_written_so {
                    continue;
                }
            } else if MSG.is_of(pair, line, more) && (!field.is_json || (field.value.start as usize) < line.len()) {
                // Also a number or a word of JSON, as it stands there; not a key alone, and not several.
                body = field.value;
                continue;
            } else if time == Some(field.key) {
                continue;
            }
            self.fields.push(field);
        }
        (time_ns, level, body)
    }

    fn beside(&mut self, line: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.more.len();
        write(&mut self.more);
        Span::new(line.len() + start, self.more.len() - start)
    }
}

impl Values for Plain<'_> {
    type Kind = Kind;

    fn text(&self) -> &[u8] {
        self.0
    }

    fn kind(&self, field: &FieldSpan) -> Option<Kind> {
        let before = (field.value.start as usize).checked_sub(1).and_then(|at| self.0.get(at))?;
        let is_there = field.value.end() as usize <= self.0.len();
        is_there.then_some(if *before == b'"' { Kind::Quoted } else { Kind::Word })
    }

    #[inline(always)]
    fn end(&self, kind: Kind, start: usize) -> Option<usize> {
        match kind {
            // What ends it otherwise than a space does not fit to what follows.
            Kind::Word => Some(word_end(self.0, start, b' ')),
            Kind::Quoted => memchr2(b'"', b'\\', &self.0[start..]).map(|len| start + len),
        }
    }

    #[inline(always)]
    fn is_json(&self, kind: Kind, value: Span) -> bool {
        kind == Kind::Word && is_plain_json(&self.0[value.start as usize..value.end() as usize])
    }
}

/// The level that a name means, in small or large letters, and whether that says all of it.
fn known_level(name: &[u8]) -> (Level, bool) {
    let mut small = [0; 8];
    let Some(small) = small.get_mut(..name.len()) else { return (Level::Info, false) };
    small.copy_from_slice(name);
    small.make_ascii_lowercase();
    match &*small {
        b"" => (Level::Info, true),
        b"warning" => (Level::Warning, true),
        b"trace" => (Level::Debug, false),
        other => level_of(other),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where the word that goes on at `at` ends: at a space, a control byte, a quote, or `end`.
#[inline]
fn word_end(text: &[u8], mut at: usize, end: u8) -> usize {
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let found = ends(u64::from_le_bytes(*eight), end);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &text[at..];
    let is_end = |byte: &u8| matches!(*byte, 0..=b' ' | b'"' | 0x7f) || *byte == end;
    at + rest.iter().position(is_end).unwrap_or(rest.len())
}

/// The lowest bit that is set is the highest of the first byte of these eight that ends a word. Bits above mean nothing.
#[inline]
fn ends(eight: u64, end: u8) -> u64 {
    let all = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // An ASCII byte's highest bit is set by taking more from it than it is. That takes one from the byte above as well.
    let is = |byte: u8| (eight ^ all(byte)).wrapping_sub(all(1));
    (eight.wrapping_sub(all(0x21)) | is(b'"') | is(0x7f) | is(end)) & !eight & all(0x80)
}

/// Whether JSON writes this word the same way, and not as text.
fn is_plain_json(word: &[u8]) -> bool {
    match word.first() {
        Some(b't') => return word == b"true",
        Some(b'f') => return word == b"false",
        Some(b'-' | b'0'..=b'9') if word.len() <= EXACT_DIGITS + 2 => {}
        _ => return false,
    }
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, decimals) = digits.split_at(point.unwrap_or(digits.len()));
    let all_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let is_whole = all_digits(whole) && (whole[0] != b'0' || whole.len() == 1);
    let is_short = match decimals {
        [] => word != b"-0",
        [_, decimals @ ..] => {
            all_digits(decimals) && decimals.last() != Some(&b'0') && decimals.len() <= PLAIN_DECIMALS
        }
    };
    let count = digits.len() - usize::from(point.is_some());
    is_whole && is_short && count <= EXACT_DIGITS
}

/// Appends what the text up to its closing quote means; where that quote is, or where the text ends.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    loop {
        let Some(run) = memchr2(b'"', b'\\', &text[at..]) else { return text.len() };
        out.extend_from_slice(&text[at..at + run]);
        at += run;
        if text[at] == b'"' {
            return at;
        }
        at += escape_sequence(&text[at..], out);
    }
}

/// Appends what the backslash that `text` begins with and the bytes behind it mean; how many these are.
fn escape_sequence(text: &[u8], out: &mut Vec<u8>) -> usize {
    let meant = match text.get(1) {
        Some(b'"' | b'\\' | b'/') => text[1],
        Some(b'a') => 0x07,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'v') => 0x0b,
        // A byte that is no part of valid UTF-8, mostly.
        Some(b'x') if hex(text, 2, 2).is_some() => {
            out.push(hex(text, 2, 2).unwrap_or_default() as u8);
            return 4;
        }
        Some(b'u') if hex(text, 2, 4).is_some() => return utf16(text, out),
        Some(b'U') if hex(text, 2, 8).is_some() => {
            put_char(hex(text, 2, 8).unwrap_or_default(), out);
            return 10;
        }
        _ => {
            out.push(b'\\');
            return 1;
        }
    };
    out.push(meant);
    2
}

/// `\uXXXX`, or two of them that are one character together.
fn utf16(text: &[u8], out: &mut Vec<u8>) -> usize {
    let first = hex(text, 2, 4).unwrap_or_default();
    let second = text.get(6..8).filter(|next| *next == b"\\u").and_then(|_| hex(text, 8, 4));
    match second.filter(|second| (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(second)) {
        Some(second) => {
            put_char(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), out);
            12
        }
        None => {
            put_char(first, out);
            6
        }
    }
}

fn put_char(number: u32, out: &mut Vec<u8>) {
    let char = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The number that so many hexadecimal digits are.
fn hex(text: &[u8], at: usize, count: usize) -> Option<u32> {
    let digits = text.get(at..at + count)?;
    digits.iter().try_fold(0u32, |number, digit| Some((number << 4) | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests;
