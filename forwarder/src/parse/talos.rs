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

use super::json::JsonParser;
use super::line::Parsed;
use super::peer::level_of;
use super::space::trim;
use super::time::Time;
use crate::record::{FieldSpan, Level, Parts, Span, bytes};

const OWN: [&[u8]; 4] = [b"msg", b"talos-level", b"talos-service", b"talos-time"];

/// Reads a line that is trimmed already.
pub(super) fn parse<'p>(json: &'p mut JsonParser, line: &'p [u8]) -> Parsed<'p> {
    if line == b"null" {
        return Parsed { parts: Parts { body: Span::default(), ..Parts::text(line) }, ..Parsed::text(line) };
    }
    let Some(brace) = memchr::memchr(b'{', line).filter(|brace| json.read(line, *brace)) else {
        return Parsed::text(line);
    };
    let prefix = trim(&line[..brace]);
    let mut event = Event { line, json, time: None, level: Level::Info };
    event.take_time();
    let named = event.take_level();
    let message = event.take_text(b"msg");
    let error = event.take_text(b"err");
    if error.is_some() {
        event.level = event.level.min(Level::Warning);
    }
    let body = event.body(prefix, message, error);
    let Event { json, time, level, .. } = event;
    let JsonParser { fields, more, .. } = json;
    fields.retain(|field| !OWN.contains(&bytes(line, more, field.key)));
    if let Some(name) = named {
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

/// A line whose object was read.
struct Event<'p> {
    line: &'p [u8],
    json: &'p mut JsonParser,
    time: Option<Time>,
    level: Level,
}

impl Event<'_> {
    fn take_time(&mut self) {
        for key in [&b"time"[..], b"ts"] {
            let Some(index) = self.find(key) else { continue };
            let field = self.json.fields[index];
            let value = bytes(self.line, &self.json.more, field.value);
            self.time = if field.is_json { number(value).and_then(Time::of_number) } else { Time::rfc3339(value) };
            if self.time.is_some() {
                self.json.fields.remove(index);
                return;
            }
        }
    }

    /// Sets the level; gives the name, in small letters, of one that Ringward does not write.
    fn take_level(&mut self) -> Option<Span> {
        let index = self.find(b"level")?;
        let field = self.json.fields[index];
        let text = bytes(self.line, &self.json.more, field.value);
        let mut name = [0; 8];
        let name = name.get_mut(..text.len()).filter(|_| !field.is_json)?;
        name.copy_from_slice(text);
        name.make_ascii_lowercase();
        let name: &[u8] = match &*name {
            b"" => b"info",
            b"warning" => b"warn",
            name => name,
        };
        let (level, is_written_so) = level_of(name);
        if !is_written_so && level == Level::Info {
            return None;
        }
        self.level = level;
        self.json.fields.remove(index);
        let (line, more) = (self.line, &mut self.json.more);
        (!is_written_so).then(|| beside(line, more, |more| more.extend_from_slice(name)))
    }

    /// Takes a member that is text out, without the white space around it.
    fn take_text(&mut self, key: &[u8]) -> Option<Span> {
        let index = self.find(key).filter(|index| !self.json.fields[*index].is_json)?;
        let span = self.json.fields.remove(index).value;
        let text = bytes(self.line, &self.json.more, span);
        let trimmed = trim(text);
        let before = trimmed.as_ptr() as usize - text.as_ptr() as usize;
        Some(Span::new(span.start as usize + before, trimmed.len()))
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

    fn find(&self, key: &[u8]) -> Option<usize> {
        self.json.fields.iter().position(|field| bytes(self.line, &self.json.more, field.key) == key)
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
