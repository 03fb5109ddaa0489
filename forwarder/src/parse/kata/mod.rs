//! The logs of Kata Containers: logrus' pairs from the shim, JSON from the agent and the Rust run time, and what the guest
//! wrote to its console, within either.
//!
//! - `time="…" level=info msg="…" …`: as [`super::logfmt`] reads it.
//! - `{"msg":"…","level":"INFO","ts":"…",…}`: `msg` is the body, `level` (slog's short names, or logrus') the level, `ts` or
//!   `time` the time; the rest are fields, text as all of it is text there.
//! - `… msg="reading guest console" … vmconsole="LINE"`: the record is what LINE says, at the time when the shim read it.
//!   LINE's own time stays the field `ts`, as it is the guest's clock's. What the shim says besides are fields; those that
//!   LINE has as well, and the shim's `level` and `msg`, have `shim_` before their names. A LINE that is no JSON is the body.
//!   So it is with `source=agent` and a `msg` that begins with `time=`, of Kata 1.
//!
//! Guest kernel and agent write to one console, so that lines are cut, glued, and have others within them. [`split`] finds
//! the records in a line again; what lies between is text, with the field `unparsed`, and so is a record that was cut. What
//! of both has more than [`MAX_MEMBERS`] fields is not looked into.

mod split;

pub use self::split::split;
use super::fields::Fields;
use super::json::{JsonParser, MAX_MEMBERS};
use super::line::Parsed;
use super::logfmt::LogfmtParser;
use super::pattern::level_of;
use super::time::TimeReader;
use crate::record::{FieldSpan, Level, Span, bytes};

/// Reads records; keeps its memory.
#[derive(Default)]
pub(super) struct KataParser {
    logfmt: LogfmtParser,
    inner_logfmt: LogfmtParser,
    json: JsonParser,
    fields: Fields,
    /// What was written to the console.
    inner: Vec<u8>,
}

impl KataParser {
    /// One piece of a line, as [`split`] gives it.
    pub(super) fn parse<'p>(&'p mut self, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
        self.fields.clear(line.len());
        if line.first() == Some(&b'{') && self.json.read(line, 0) {
            return self.object(times, line);
        }
        if line.starts_with(split::TIME) && self.logfmt.read_whole(line) {
            return match self.console(line) {
                Some(console) => self.within(times, line, console),
                None => self.logfmt.give(times, line),
            };
        }
        self.fields.flag("unparsed");
        let parts = self.fields.parts(line, Span::new(0, line.len()));
        Parsed { time_ns: None, level: Level::Info, is_object: false, parts }
    }

    /// A record in JSON.
    fn object<'p>(&'p mut self, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
        let Self { json, fields, .. } = self;
        let (mut time_ns, mut level, mut body) = (None, Level::Info, Span::default());
        for (key, value, is_json) in json.members(line) {
            match key {
                b"msg" if !is_json => body = fields.beside(|more| more.extend_from_slice(value)),
                b"level" if !is_json && level_of(value).is_some() => level = level_of(value).unwrap_or(level),
                b"ts" | b"time" if !is_json && time_ns.is_none() => {
                    time_ns = times.rfc3339(value).and_then(super::time::Time::ns);
                    if time_ns.is_none() {
                        put(fields, key, value, is_json);
                    }
                }
                _ => put(fields, key, value, is_json),
            }
        }
        Parsed { time_ns, level, is_object: true, parts: fields.parts(line, body) }
    }

    /// The pair that holds what the guest wrote, in the pairs of `line`.
    fn console(&self, line: &[u8]) -> Option<FieldSpan> {
        let text = |span| bytes(line, self.logfmt.more(), span);
        let find = |key: &[u8]| self.logfmt.pairs().find(|pair| text(pair.key) == key);
        let message = find(b"msg")?;
        let is_agent = || find(b"source").is_some_and(|source| text(source.value) == b"agent");
        if text(message.value) == b"reading guest console" {
            return find(b"vmconsole");
        }
        (text(message.value).starts_with(split::TIME) && is_agent()).then_some(message)
    }

    fn within<'p>(&'p mut self, times: &mut TimeReader, line: &'p [u8], console: FieldSpan) -> Parsed<'p> {
        let Self { logfmt, inner_logfmt, json, fields, inner } = self;
        inner.clear();
        inner.extend_from_slice(bytes(line, logfmt.more(), console.value));
        let mut own = Vec::new();
        if inner.starts_with(split::TIME) && inner_logfmt.read_whole(inner) {
            let text = |span| bytes(inner, inner_logfmt.more(), span);
            own.extend(inner_logfmt.pairs().map(|pair| (text(pair.key), text(pair.value), pair.is_json)));
        } else if inner.first() == Some(&b'{') && json.read(inner, 0) {
            own.extend(json.members(inner));
        }
        if own.len() + logfmt.pairs().count() > MAX_MEMBERS {
            own.clear();
        }
        own.sort_by_key(|(key, ..)| *key);
        let (mut time_ns, mut level, mut own_level, mut body) = (None, Level::Info, None, None);
        for (key, value, is_json) in &own {
            match *key {
                b"msg" if !is_json => body = Some(fields.beside(|more| more.extend_from_slice(value))),
                b"level" if !is_json && level_of(value).is_some() => own_level = level_of(value),
                b"time" => put(fields, b"ts", value, *is_json),
                key => put(fields, key, value, *is_json),
            }
        }
        for pair in logfmt.pairs() {
            let (key, value) = (bytes(line, logfmt.more(), pair.key), bytes(line, logfmt.more(), pair.value));
            let is_shims = matches!(key, b"msg" | b"level") || own.binary_search_by_key(&key, |(key, ..)| *key).is_ok();
            match key {
                _ if pair.key == console.key => {}
                b"time" if !pair.is_json && time_ns.is_none() && times.rfc3339(value).is_some() => {
                    time_ns = times.rfc3339(value).and_then(super::time::Time::ns);
                }
                b"level" if own_level.is_none() && level_of(value).is_some() => {
                    level = level_of(value).unwrap_or(level)
                }
                key if is_shims => put(fields, &[b"shim_", key].concat(), value, pair.is_json),
                key => put(fields, key, value, pair.is_json),
            }
        }
        let is_text = own.is_empty();
        let body = match body {
            Some(body) => body,
            None if is_text => fields.beside(|more| more.extend_from_slice(inner)),
            None => Span::default(),
        };
        // A record that was cut, or has something else in it.
        if is_text && (inner.starts_with(split::TIME) || memchr::memmem::find(inner, split::OBJECT).is_some()) {
            fields.flag("unparsed");
        }
        Parsed { time_ns, level: own_level.unwrap_or(level), is_object: false, parts: fields.parts(line, body) }
    }
}

fn put(fields: &mut Fields, key: &[u8], value: &[u8], is_json: bool) {
    let value = fields.beside(|more| more.extend_from_slice(value));
    let key = fields.beside(|more| more.extend_from_slice(key));
    fields.put(key, value, is_json);
}

#[cfg(test)]
mod tests;
