//! Objects that come ready from another forwarder, above all Talos' `json_lines`.
//!
//! `msg` becomes the body, `talos-time` and `talos-level` the record's time and level: where these three are written
//! as Ringward would write them, they come out as they went in. Where one is not (`msg` is no text, the time has
//! another form, the level another name), its member stays a field as well, which stands for records of
//! [`crate::record::OriginKind::Peer`]. All other members are fields.

use super::json::{JsonParser, Key};
use super::line::Parsed;
use super::time::TimeReader;
use crate::record::{Level, Parts, Span, bytes};

const MSG: Key = Key::new(b"msg");
const TIME: Key = Key::new(b"talos-time");
const LEVEL: Key = Key::new(b"talos-level");

pub(super) fn parse<'p>(json: &'p mut JsonParser, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
    if !json.read(line, 0) {
        return Parsed::text(line);
    }
    let (mut time_ns, mut level, mut body) = (None, Level::Info, Span::default());
    let JsonParser { members, fields, more, .. } = json;
    for member in &members.list {
        let field = &member.field;
        let is_taken = if field.is_json {
            false
        } else if MSG.is_of(member, line, more) {
            body = field.value;
            true
        } else if TIME.is_of(member, line, more) {
            let time = times.read(bytes(line, more, field.value));
            time_ns = time.and_then(|(time, _)| time.ns());
            time_ns.is_some() && time.is_some_and(|(_, canonical)| canonical)
        } else if LEVEL.is_of(member, line, more) {
            let (meant, is_written_so) = level_of(bytes(line, more, field.value));
            level = meant;
            is_written_so
        } else {
            false
        };
        if !is_taken {
            fields.push(*field);
        }
    }
    Parsed { time_ns, level, is_object: true, parts: Parts { line, more, body, fields } }
}

/// A level of Talos, and whether it is also what Ringward writes for it.
pub(super) fn level_of(name: &[u8]) -> (Level, bool) {
    match name {
        b"debug" => (Level::Debug, true),
        b"info" => (Level::Info, true),
        b"warn" => (Level::Warning, true),
        b"error" => (Level::Err, true),
        b"dpanic" | b"panic" | b"fatal" => (Level::Crit, false),
        _ => (Level::Info, false),
    }
}
