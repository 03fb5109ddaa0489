//! An origin's object with holes in it: everything that is the same in all its records, rendered once.
//!
//! A record without fields and flags is the template's constants with body, level and time between them. The
//! others are merged member by member, from the same list.

use std::collections::BTreeMap;

use crate::encode::simd::{EscapeStyle, escape_into};
use crate::encode::time::TimeWriter;
use crate::record::{FieldValue, Flags, Level, Origin, OriginKind, Record};

/// What differs from record to record.
pub(super) struct Slots<'a, 't> {
    pub(super) record: &'a Record<'a>,
    /// The record's body, or the part of it that fits.
    pub(super) body: &'a [u8],
    pub(super) flags: Flags,
    pub(super) time: &'t mut TimeWriter,
}

pub(super) struct Template {
    /// Sorted by key, each key once.
    members: Vec<Member>,
    /// The constant bytes of an object without fields and flags, `{` to the newline.
    text: Vec<u8>,
    /// Where values go into `text`, in order.
    holes: Vec<(usize, Hole)>,
    newline: bool,
}

struct Member {
    key: Vec<u8>,
    claim: Claim,
    value: Value,
}

enum Value {
    /// JSON.
    Constant(Vec<u8>),
    Hole(Hole),
}

/// A value that is taken from the record; `text` has the quotes.
#[derive(Clone, Copy)]
enum Hole {
    Msg,
    Level,
    Time,
}

/// Who wants a key; the greatest gets it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    Field,
    Attribute,
    Own,
    Tag,
}

/// The members that flags make. [`Flags::LOSS`] makes none: the record's text says what was lost.
const FLAGS: [(Flags, &[u8]); 4] = [
    (Flags::CUT, b"cut"),
    (Flags::OVERLAP, b"overlap"),
    (Flags::PARTIAL, b"partial"),
    (Flags::RECOVERED, b"recovered"),
];

impl Template {
    pub(super) fn new(origin: &Origin, extra_tags: &BTreeMap<String, String>, newline: bool) -> Self {
        let constant = |claim, key: &str, value: &str| Member {
            key: key.into(),
            claim,
            value: Value::Constant(quoted(value.as_bytes())),
        };
        let hole = |key: &str, hole| Member { key: key.into(), claim: Claim::Own, value: Value::Hole(hole) };
        let mut members: Vec<Member> =
            origin.attributes.iter().map(|(key, value)| constant(Claim::Attribute, key, value)).collect();
        members.extend([hole("msg", Hole::Msg), hole("talos-level", Hole::Level), hole("talos-time", Hole::Time)]);
        if origin.kind != OriginKind::Kernel {
            members.push(constant(Claim::Own, "talos-service", &origin.name));
        }
        members.extend(origin.stream.name().map(|name| constant(Claim::Own, "stream", name)));
        members.extend(extra_tags.iter().map(|(key, value)| constant(Claim::Tag, key, value)));
        members.sort_by(|a, b| (&a.key, a.claim).cmp(&(&b.key, b.claim)));
        keep_last_of_each(&mut members, |a, b| a.key == b.key);

        let mut template = Self { text: vec![b'{'], holes: Vec::new(), members, newline };
        for (index, member) in template.members.iter().enumerate() {
            put_key(&mut template.text, index == 0, &member.key);
            match &member.value {
                Value::Constant(json) => template.text.extend_from_slice(json),
                Value::Hole(hole) => {
                    template.text.push(b'"');
                    template.holes.push((template.text.len(), *hole));
                    template.text.push(b'"');
                }
            }
        }
        put_end(&mut template.text, newline);
        template
    }

    /// Appends a record's object.
    #[inline]
    pub(super) fn write(&self, slots: &mut Slots<'_, '_>, out: &mut Vec<u8>) {
        if slots.record.has_fields() || FLAGS.iter().any(|(flag, _)| slots.flags.contains(*flag)) {
            return self.write_merged(slots, out);
        }
        let mut from = 0;
        for (until, hole) in &self.holes {
            out.extend_from_slice(&self.text[from..*until]);
            hole.write(slots, out);
            from = *until;
        }
        out.extend_from_slice(&self.text[from..]);
    }

    /// Appends the object of a record that has members besides the template's.
    fn write_merged(&self, slots: &mut Slots<'_, '_>, out: &mut Vec<u8>) {
        enum Source<'a> {
            Template(&'a Value),
            Field(FieldValue<'a>),
            Flag,
        }
        let record = slots.record;
        let fields = record.fields().map(|(key, value)| (key, Claim::Field, Source::Field(value)));
        let flags = FLAGS.iter().filter(|(flag, _)| slots.flags.contains(*flag));
        let flags = flags.map(|(_, key)| (*key, Claim::Own, Source::Flag));
        let own = self.members.iter().map(|member| (&member.key[..], member.claim, Source::Template(&member.value)));
        let mut members: Vec<_> = own.chain(fields).chain(flags).collect();
        // Stable: of a record's fields of one name, the last stays the last.
        members.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        keep_last_of_each(&mut members, |a, b| a.0 == b.0);

        out.push(b'{');
        for (index, (key, _, source)) in members.iter().enumerate() {
            put_key(out, index == 0, key);
            match source {
                Source::Template(Value::Constant(json)) => out.extend_from_slice(json),
                Source::Template(Value::Hole(hole)) => {
                    out.push(b'"');
                    hole.write(slots, out);
                    out.push(b'"');
                }
                Source::Field(FieldValue::Json(json)) => out.extend_from_slice(json),
                Source::Field(FieldValue::Text(text)) => put_quoted(out, text),
                Source::Field(FieldValue::Integer(number)) => out.extend_from_slice(number.to_string().as_bytes()),
                Source::Flag => out.extend_from_slice(b"true"),
            }
        }
        put_end(out, self.newline);
    }
}

impl Hole {
    #[inline]
    fn write(self, slots: &mut Slots<'_, '_>, out: &mut Vec<u8>) {
        match self {
            Self::Msg => escape_into(out, slots.body, EscapeStyle::Html),
            Self::Level => out.extend_from_slice(talos_level(slots.record.level)),
            Self::Time => slots.time.write(slots.record.time_ns, out),
        }
    }
}

/// Talos' name of a severity.
fn talos_level(level: Level) -> &'static [u8] {
    match level {
        Level::Emerg | Level::Alert | Level::Crit | Level::Err => b"error",
        Level::Warning => b"warn",
        Level::Notice | Level::Info => b"info",
        Level::Debug => b"debug",
    }
}

fn put_key(out: &mut Vec<u8>, first: bool, key: &[u8]) {
    if !first {
        out.push(b',');
    }
    put_quoted(out, key);
    out.push(b':');
}

fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escape_into(out, text, EscapeStyle::Html);
    out.push(b'"');
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_quoted(&mut out, text);
    out.shrink_to_fit();
    out
}

fn put_end(out: &mut Vec<u8>, newline: bool) {
    out.push(b'}');
    if newline {
        out.push(b'\n');
    }
}

/// Of neighbours that are `same`, keeps the last.
fn keep_last_of_each<T>(items: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    // `dedup_by` keeps the first: it is given the later one first, so take its place before it goes.
    items.dedup_by(|later, kept| {
        let equal = same(later, kept);
        if equal {
            std::mem::swap(later, kept);
        }
        equal
    });
}
