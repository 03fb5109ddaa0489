//! Objects that come ready from another forwarder, above all Talos' `json_lines`.
//!
//! `msg` becomes the body, `talos-time` and `talos-level` the record's time and level: where these three are written
//! as Ringward would write them, they come out as they went in. Where one is not (`msg` is no text, the time has
//! another form, the level another name), its member stays a field as well, which stands for records of
//! [`crate::record::OriginKind::Peer`]. All other members are fields.

use super::json::JsonParser;
use super::line::Parsed;
use super::time::{Time, TimeReader};
use crate::record::{Level, Parts, Span, bytes};

pub(super) fn parse<'p>(json: &'p mut JsonParser, times: &mut TimeReader, line: &'p [u8]) -> Parsed<'p> {
    if !json.read(line, 0) {
        return Parsed::text(line);
    }
    let (mut time_ns, mut level, mut body) = (None, Level::Info, Span::default());
    let JsonParser { fields, more, .. } = json;
    fields.retain(|field| {
        let key = bytes(line, more, field.key);
        if field.is_json || !matches!(key.first(), Some(b'm' | b't')) {
            return true;
        }
        let value = bytes(line, more, field.value);
        match key {
            b"msg" => body = field.value,
            b"talos-time" => {
                let Some((time, canonical)) = times.read(value) else { return true };
                time_ns = Time::ns(time);
                return !canonical || time_ns.is_none();
            }
            b"talos-level" => {
                let (meant, is_written_so) = level_of(value);
                level = meant;
                return !is_written_so;
            }
            _ => return true,
        }
        false
    });
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
