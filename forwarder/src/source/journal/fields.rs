//! The fields of one entry: whether the entry is wanted, and what becomes of each of them.
//!
//! ```text
//!  MESSAGE                     text of the record
//!  PRIORITY                    its level; 6 (info) where there is none
//!  _SOURCE_REALTIME_TIMESTAMP  its time: when it was written; where there is none, when journald took it
//!  SYSLOG_IDENTIFIER           whose it is (`talos-service`); else _SYSTEMD_UNIT, _COMM, `journal`
//! ```
//!
//! With [`Names::Short`] fields lose what the above has taken over (`MESSAGE`, `PRIORITY`), and `_SYSTEMD_UNIT`,
//! `SYSLOG_IDENTIFIER`, `_PID`, `SYSLOG_FACILITY` are `unit`, `identifier`, `pid`, `facility` (by its name). With
//! [`Names::Journal`] each stays what it is, but for `MESSAGE`. Where two fields would have one name, the one that
//! journald vouches for (with `_` before it) has it, and the other keeps its own. A field that an entry has several times
//! is a list.
//!
//! Limits: a field is cut after `max_field`, and an entry after [`MOST_BYTES`]; the record is marked `cut`.

use std::ops::Range;

use super::selection::{Names, Selection, Wanted};
use crate::record::{FieldValue, Flags, Level};
use crate::source::kmsg::FacilityNames;

/// Bytes of the fields of one entry.
pub(super) const MOST_BYTES: usize = 16 << 20;

const MESSAGE: &[u8] = b"MESSAGE";
/// Names that Ringward gives itself; a field of a client must not pass for them.
const TAKEN: [&str; 9] = ["msg", "unit", "identifier", "pid", "facility", "cut", "partial", "overlap", "recovered"];

/// The fields of an entry; keeps its memory from one to the next.
#[derive(Default)]
pub(super) struct Fields {
    /// `FIELD=value` one after the other.
    pub(super) bytes: Vec<u8>,
    fields: Vec<Field>,
    pub(super) is_cut: bool,
    /// Fields that could not be read.
    pub(super) damaged: u32,
    names: Vec<String>,
}

struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// What a record is made of.
pub(super) struct Made<'f> {
    pub(super) service: &'f [u8],
    pub(super) text: &'f [u8],
    pub(super) level: Level,
    pub(super) flags: Flags,
    /// When it was written, µs since the epoch.
    pub(super) written_us: Option<u64>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        (self.is_cut, self.damaged) = (false, 0);
    }

    /// What was added to `bytes` behind `start` is one field. `most`: bytes after which its value is cut.
    pub(super) fn end_field(&mut self, start: usize, most: usize) {
        let Some(len) = self.bytes[start..].iter().position(|byte| *byte == b'=') else {
            // No field is without its name: the object is none of a journal's.
            self.bytes.truncate(start);
            self.damaged += 1;
            return;
        };
        let value = start + len + 1;
        let end = self.bytes.len().min(value + most).min(MOST_BYTES.max(value));
        self.is_cut |= end < self.bytes.len();
        self.bytes.truncate(end);
        self.fields.push(Field { name: start..start + len, value: value..end });
    }

    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn name(&self, field: &Field) -> &[u8] {
        &self.bytes[field.name.clone()]
    }

    fn value(&self, field: &Field) -> &[u8] {
        &self.bytes[field.value.clone()]
    }

    fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.iter().find(|field| self.name(field) == name).map(|field| self.value(field))
    }

    fn has(&self, name: &[u8], value: &[u8]) -> bool {
        self.fields.iter().any(|field| self.name(field) == name && self.value(field) == value)
    }

    fn number(&self, name: &[u8]) -> Option<u64> {
        std::str::from_utf8(self.find(name)?).ok()?.parse().ok()
    }

    /// Whether the entry is one of those that are asked for.
    pub(super) fn is_wanted(&self, selection: &Selection) -> bool {
        if selection.without_kernel && self.has(b"_TRANSPORT", b"kernel") {
            return false;
        }
        let fits = |(name, value): (&String, &String)| self.has(name.as_bytes(), value.as_bytes());
        selection.matches.is_empty() || selection.matches.iter().any(|fields| fields.iter().all(fits))
    }

    /// What the record says besides its fields.
    pub(super) fn made(&self) -> Made<'_> {
        let names: [&[u8]; 3] = [b"SYSLOG_IDENTIFIER", b"_SYSTEMD_UNIT", b"_COMM"];
        let service = names.iter().find_map(|name| self.find(name).filter(|value| !value.is_empty()));
        let level = self.number(b"PRIORITY").filter(|priority| *priority < 8);
        Made {
            service: service.unwrap_or(b"journal"),
            text: self.find(MESSAGE).unwrap_or_default(),
            level: Level::from_priority(level.unwrap_or(6) as u32),
            flags: if self.is_cut { Flags::CUT } else { Flags::NONE },
            written_us: self.number(b"_SOURCE_REALTIME_TIMESTAMP"),
        }
    }

    /// Calls `put` with the record's text and fields.
    pub(super) fn with_fields(&mut self, selection: &Selection, put: impl FnOnce(&[u8], &[(&str, FieldValue<'_>)])) {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        let mut values: Vec<(usize, FieldOf<'_>)> = Vec::with_capacity(self.fields.len());
        // Those that journald vouches for choose their names first.
        for trusted in [true, false] {
            for field in &self.fields {
                let name = self.name(field);
                if name.starts_with(b"_") != trusted || !is_kept(selection, name) {
                    continue;
                }
                let same = values.iter_mut().find(|(_, of)| of.name == name);
                if let Some((_, of)) = same {
                    of.more.push(self.value(field));
                    continue;
                }
                let short = self.short_name(selection.names, name);
                let own = String::from_utf8_lossy(name).into_owned();
                let is_free = |name: &String| !names.contains(name);
                let name_in_record = short.filter(is_free).or(Some(own).filter(is_free));
                let Some(name_in_record) = name_in_record else { continue };
                values.push((names.len(), FieldOf { name, value: self.value(field), more: Vec::new() }));
                names.push(name_in_record);
            }
        }
        let lists: Vec<(usize, Vec<u8>)> = values
            .iter()
            .enumerate()
            .filter(|(_, (_, of))| !of.more.is_empty())
            .map(|(index, (_, of))| (index, list(of)))
            .collect();
        let facility;
        let mut fields: Vec<(&str, FieldValue<'_>)> =
            values.iter().map(|(name, of)| (names[*name].as_str(), FieldValue::Text(of.value))).collect();
        for (index, list) in &lists {
            fields[*index].1 = FieldValue::Json(list);
        }
        if selection.names == Names::Short
            && let Some(number) = self.number(b"SYSLOG_FACILITY").and_then(|number| u32::try_from(number).ok())
            && let Some((_, value)) = fields.iter_mut().find(|(name, _)| *name == "facility")
        {
            facility = FacilityNames::Linux.name(number);
            *value = FieldValue::Text(facility.as_bytes());
        }
        if self.damaged > 0 {
            fields.push(("damaged-fields", FieldValue::Integer(i64::from(self.damaged))));
        }
        put(self.find(MESSAGE).unwrap_or_default(), &fields);
        self.names = names;
    }

    /// What a field is called in a record, if the name is free.
    fn short_name(&self, names: Names, name: &[u8]) -> Option<String> {
        if names == Names::Journal {
            return None;
        }
        Some(match name {
            b"_SYSTEMD_UNIT" => "unit".to_owned(),
            b"SYSLOG_IDENTIFIER" => "identifier".to_owned(),
            b"_PID" => "pid".to_owned(),
            b"SYSLOG_FACILITY" => "facility".to_owned(),
            b"SYSLOG_PID" if self.find(b"_PID").is_none() => "pid".to_owned(),
            _ => {
                let name = String::from_utf8_lossy(name);
                let short = name.trim_start_matches('_').to_lowercase();
                if short.is_empty() || TAKEN.contains(&short.as_str()) {
                    return None;
                }
                short
            }
        })
    }
}

/// A field with all its values.
struct FieldOf<'f> {
    name: &'f [u8],
    value: &'f [u8],
    more: Vec<&'f [u8]>,
}

fn is_kept(selection: &Selection, name: &[u8]) -> bool {
    if name == MESSAGE || (selection.names == Names::Short && name == b"PRIORITY") {
        return false;
    }
    match &selection.fields {
        Wanted::All => true,
        Wanted::Only(names) => names.iter().any(|wanted| wanted.as_bytes() == name),
    }
}

/// A list in JSON.
fn list(of: &FieldOf<'_>) -> Vec<u8> {
    let values: Vec<_> =
        std::iter::once(&of.value).chain(&of.more).map(|value| String::from_utf8_lossy(value)).collect();
    serde_json::to_vec(&values).expect("a list of texts is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::ReadFrom;

    fn selection(names: Names) -> Selection {
        Selection {
            folders: Vec::new(),
            read_from: ReadFrom::Beginning,
            matches: Vec::new(),
            fields: Wanted::All,
            names,
            without_kernel: false,
            max_field: 1 << 20,
        }
    }

    fn fields(texts: &[&[u8]]) -> Fields {
        let mut fields = Fields::default();
        for text in texts {
            let start = fields.bytes.len();
            fields.bytes.extend_from_slice(text);
            fields.end_field(start, 100);
        }
        fields
    }

    fn named(fields: &mut Fields, selection: &Selection) -> Vec<(String, String)> {
        let mut out = Vec::new();
        fields.with_fields(selection, |_, fields| {
            let text = |value: &FieldValue<'_>| match value {
                FieldValue::Text(text) | FieldValue::Json(text) => String::from_utf8_lossy(text).into_owned(),
                FieldValue::Integer(number) => number.to_string(),
            };
            out = fields.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
        });
        out
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn fields_become_a_record() {
        let texts: [&[u8]; 9] = [
            b"MESSAGE=a\nb=c",
            b"PRIORITY=3",
            b"SYSLOG_IDENTIFIER=kata-runtime",
            b"_SYSTEMD_UNIT=crio.service",
            b"_PID=7",
            b"SYSLOG_FACILITY=3",
            b"_SOURCE_REALTIME_TIMESTAMP=1582281087810805",
            b"TAG=1",
            b"TAG=2",
        ];
        let mut fields = fields(&texts);
        let made = fields.made();
        assert_eq!((made.text, made.service), (&b"a\nb=c"[..], &b"kata-runtime"[..]));
        assert_eq!((made.level, made.written_us), (Level::Err, Some(1_582_281_087_810_805)));
        let expected = [
            ("unit", "crio.service"),
            ("pid", "7"),
            ("source_realtime_timestamp", "1582281087810805"),
            ("identifier", "kata-runtime"),
            ("facility", "daemon"),
            ("tag", r#"["1","2"]"#),
        ];
        assert_eq!(named(&mut fields, &selection(Names::Short)), pairs(&expected));
        let expected = [
            ("_SYSTEMD_UNIT", "crio.service"),
            ("_PID", "7"),
            ("_SOURCE_REALTIME_TIMESTAMP", "1582281087810805"),
            ("PRIORITY", "3"),
            ("SYSLOG_IDENTIFIER", "kata-runtime"),
            ("SYSLOG_FACILITY", "3"),
            ("TAG", r#"["1","2"]"#),
        ];
        assert_eq!(named(&mut fields, &selection(Names::Journal)), pairs(&expected));
        let only = Selection { fields: Wanted::Only(vec!["_PID".into(), "NONE".into()]), ..selection(Names::Short) };
        assert_eq!(named(&mut fields, &only), pairs(&[("pid", "7")]));
    }

    #[test]
    fn a_client_can_take_nobody_elses_name() {
        let mut fields = fields(&[b"PID=1", b"_PID=2", b"MSG=x", b"UNIT=forged", b"msg=y", b"__=z"]);
        let expected = [("pid", "2"), ("__", "z"), ("PID", "1"), ("MSG", "x"), ("UNIT", "forged"), ("msg", "y")];
        assert_eq!(named(&mut fields, &selection(Names::Short)), pairs(&expected));
    }

    #[test]
    fn an_entry_without_a_text_is_a_record_too() {
        let fields = fields(&[b"PRIORITY=x", b"_COMM=sh"]);
        let made = fields.made();
        assert_eq!((made.text, made.service, made.level), (&b""[..], &b"sh"[..], Level::Info));
        assert_eq!((Fields::default().made().service, made.written_us), (&b"journal"[..], None));
    }

    #[test]
    fn what_is_too_long_or_no_field_is_marked() {
        let long = [b"A=".as_slice(), &[b'x'; 300]].concat();
        let mut fields = fields(&[&long, b"nothing", b"B=1"]);
        assert!(fields.made().flags.contains(Flags::CUT));
        let named = named(&mut fields, &selection(Names::Journal));
        assert_eq!(named[0].1.len(), 100);
        assert_eq!(named[1..], pairs(&[("B", "1"), ("damaged-fields", "1")]));
    }

    #[test]
    fn matches_are_alternatives_of_fields_that_must_all_fit() {
        let one = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let fields = fields(&[b"A=1", b"A=2", b"B=1", b"_TRANSPORT=kernel"]);
        for (matches, wanted) in [
            (vec![], true),
            (vec![one(&[("A", "2"), ("B", "1")])], true),
            (vec![one(&[("A", "1"), ("B", "2")])], false),
            (vec![one(&[("C", "1")]), one(&[("B", "1")])], true),
            (vec![one(&[("A", "3")])], false),
        ] {
            assert_eq!(fields.is_wanted(&Selection { matches, ..selection(Names::Short) }), wanted);
        }
        assert!(!fields.is_wanted(&Selection { without_kernel: true, ..selection(Names::Short) }));
    }
}
