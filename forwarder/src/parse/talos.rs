//! The output of a Talos service, read as machined reads it before it sends it on (`logging/extract.go`).
//!
//! 1. A line that is an object, or `null`, is that; one that ends in an object which begins at the first `{` is text
//!    with fields; any other is text.
//! 2. `time`, else `ts`: RFC 3339, or a number of seconds (milliseconds, where that is after the year 3000). The first
//!    that holds gives the time and goes; the other one stays a field.
//! 3. `level`: one of zap's names (`warning` is `warn`, nothing is `info`) gives the level and goes; others stay.
//! 4. `msg`, if it is text, goes behind the text before the object, with a space between.
//! 5. `err`, if it is text, goes behind that, with a colon, and the level is `warn` at least.
//! 6. What is left are fields, but for those that Talos itself writes: `msg`, `talos-level`, `talos-service`,
//!    `talos-time`.
//!
//! A level that Ringward has no name for (`dpanic`, `panic`, `fatal`) and a time too far away for a record are
//! fields of the names `talos-level` and `talos-time`.

use super::json::{JsonParser, Key};
use super::line::Parsed;
use super::peer::level_of;
use super::space::trim;
use super::time::{Time, TimeReader};
use crate::record::{FieldSpan, Level, Parts, Span, bytes};

const TIME: Key = Key::new(b"time");
const TS: Key = Key::new(b"ts");
const LEVEL: Key = Key::new(b"level");
const MSG: Key = Key::new(b"msg");
const ERR: Key = Key::new(b"err");
/// Written by Talos itself, besides `msg`.
const OWN: [Key; 3] = [Key::new(b"talos-level"), Key::new(b"talos-service"), Key::new(b"talos-time")];

/// Reads a line that is trimmed already.
pub(super) fn parse<'p>(json: &'p mut JsonParser, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
    if line == b"null" {
        return Parsed { parts: Parts { body: Span::default(), ..Parts::text(line) }, ..Parsed::text(line) };
    }
    // Mostly it is the first byte, for which no search is begun.
    let brace = if line.first() == Some(&b'{') { Some(0) } else { memchr::memchr(b'{', line) };
    let Some(brace) = brace.filter(|brace| json.read(line, *brace)) else {
        return Parsed::text(line);
    };
    let prefix = trim(&line[..brace]);
    let named = Named::of(json, line);
    let mut event = Event { line, json, time: None, level: Level::Info };
    event.take_time(&named, times);
    let name = named.level.and_then(|field| event.take_level(field));
    let message = named.message.filter(|field| !field.is_json).map(|field| event.text(field));
    let error = named.error.and_then(|field| event.take_error(field));
    let body = event.body(prefix, message, error);
    let Event { json, time, level, .. } = event;
    let JsonParser { fields, more, .. } = json;
    if let Some(name) = name {
        let key = beside(line, more, |more| more.extend_from_slice(b"talos-level"));
        insert(fields, line, more, FieldSpan { key, value: name, is_json: false });
    }
    let time_ns = time.and_then(Time::ns);
    if let Some(far) = time.filter(|_| time_ns.is_none()) {
        let key = beside(line, more, |more| more.extend_from_slice(b"talos-time"));
        let value = beside(line, more, |more| far.write(more));
        insert(fields, line, more, FieldSpan { key, value, is_json: false });
    }
    Parsed { time_ns, level, is_object: true, parts: Parts { line, more, body, fields } }
}

/// The members that mean something.
#[derive(Default)]
struct Named {
    time: Option<FieldSpan>,
    ts: Option<FieldSpan>,
    level: Option<FieldSpan>,
    message: Option<FieldSpan>,
    error: Option<FieldSpan>,
}

impl Named {
    /// Those of an object that was read; all of its other members but Talos' own become fields.
    fn of(json: &mut JsonParser, line: &[u8]) -> Self {
        let mut named = Self::default();
        let JsonParser { members, fields, more, .. } = json;
        for member in &members.list {
            let place = if TIME.is_of(member, line, more) {
                &mut named.time
            } else if TS.is_of(member, line, more) {
                &mut named.ts
            } else if LEVEL.is_of(member, line, more) {
                &mut named.level
            } else if MSG.is_of(member, line, more) {
                &mut named.message
            } else if ERR.is_of(member, line, more) {
                &mut named.error
            } else {
                if !OWN.iter().any(|own| own.is_of(member, line, more)) {
                    fields.push(member.field);
                }
                continue;
            };
            *place = Some(member.field);
        }
        named
    }
}

/// A line whose object was read, without its named members: those that turn out to be fields are put back.
struct Event<'p> {
    line: &'p [u8],
    json: &'p mut JsonParser,
    time: Option<Time>,
    level: Level,
}

impl Event<'_> {
    fn take_time(&mut self, named: &Named, times: &mut TimeReader) {
        for field in [named.time, named.ts].into_iter().flatten() {
            if self.time.is_none() {
                let value = bytes(self.line, &self.json.more, field.value);
                self.time = if field.is_json { number(value).and_then(Time::of_number) } else { times.rfc3339(value) };
                if self.time.is_some() {
                    continue;
                }
            }
            self.put_back(field);
        }
    }

    /// Sets the level; gives the name, in small letters, of one that Ringward does not write.
    fn take_level(&mut self, field: FieldSpan) -> Option<Span> {
        let text = bytes(self.line, &self.json.more, field.value);
        let mut name = [0; 8];
        let Some(name) = name.get_mut(..text.len()).filter(|_| !field.is_json) else {
            self.put_back(field);
            return None;
        };
        name.copy_from_slice(text);
        name.make_ascii_lowercase();
        // The one letter beyond ASCII of which Go makes one of these names' letters.
        let dotted = name.windows(2).position(|letter| letter == "\u{130}".as_bytes());
        let name = match dotted {
            Some(at) => {
                name[at] = b'i';
                name.copy_within(at + 2.., at + 1);
                &name[..name.len() - 1]
            }
            None => name,
        };
        let name: &[u8] = match name {
            b"" => b"info",
            b"warning" => b"warn",
            name => name,
        };
        let (level, is_written_so) = level_of(name);
        if !is_written_so && level == Level::Info {
            self.put_back(field);
            return None;
        }
        self.level = level;
        let (line, more) = (self.line, &mut self.json.more);
        (!is_written_so).then(|| beside(line, more, |more| more.extend_from_slice(name)))
    }

    /// Takes an error that is text; the level is then a warning's at least.
    fn take_error(&mut self, field: FieldSpan) -> Option<Span> {
        if field.is_json {
            self.put_back(field);
            return None;
        }
        self.level = self.level.min(Level::Warning);
        Some(self.text(field))
    }

    /// A member's text without the white space around it.
    fn text(&self, field: FieldSpan) -> Span {
        let text = bytes(self.line, &self.json.more, field.value);
        let trimmed = trim(text);
        let before = trimmed.as_ptr() as usize - text.as_ptr() as usize;
        Span::new(field.value.start as usize + before, trimmed.len())
    }

    fn put_back(&mut self, field: FieldSpan) {
        insert(&mut self.json.fields, self.line, &self.json.more, field);
    }

    /// Text, message and error in one. Copied only where there is more than one of them.
    fn body(&mut self, prefix: &[u8], message: Option<Span>, error: Option<Span>) -> Span {
        let (line, more) = (self.line, &mut self.json.more);
        match (prefix, message, error) {
            (b"", Some(only), None) | (b"", None, Some(only)) => return only,
            (b"", Some(Span { len: 0, .. }), Some(only)) => return only,
            (_, None, None) => {
                let before = if prefix.is_empty() { 0 } else { prefix.as_ptr() as usize - line.as_ptr() as usize };
                return Span::new(before, prefix.len());
            }
            _ => {}
        }
        beside(line, more, |more| {
            let start = more.len();
            more.extend_from_slice(prefix);
            for (part, between) in [(message, &b" "[..]), (error, b": ")] {
                let Some(part) = part else { continue };
                if more.len() > start {
                    more.extend_from_slice(between);
                }
                let (at, len) = (part.start as usize, part.len as usize);
                match at.checked_sub(line.len()) {
                    None => more.extend_from_slice(&line[at..at + len]),
                    Some(at) => more.extend_from_within(at..at + len),
                }
            }
        })
    }
}

/// The number that a canonical JSON value is, if it is one.
fn number(json: &[u8]) -> Option<f64> {
    std::str::from_utf8(json).ok()?.parse().ok()
}

/// Adds a field whose key there is not, at its place in their order.
fn insert(fields: &mut Vec<FieldSpan>, line: &[u8], more: &[u8], field: FieldSpan) {
    let key = |field: &FieldSpan| bytes(line, more, field.key);
    let at = fields.partition_point(|other| key(other) < key(&field));
    fields.insert(at, field);
}

/// Writes something beside the line; where that is.
fn beside(line: &[u8], more: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Span {
    let start = more.len();
    write(more);
    Span::new(line.len() + start, more.len() - start)
}

#[cfg(test)]
mod tests;
