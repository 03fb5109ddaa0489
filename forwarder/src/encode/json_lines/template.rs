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
    /// Where values go into `text`, in order; the quotes are in `text`.
    holes: Vec<(usize, Hole)>,
    /// What a record's own fields claim.
    fields: Claim,
    newline: bool,
}

struct Member {
    key: Box<[u8]>,
    claim: Claim,
    /// `,"key":"value"`, or `,"key":` before a hole. An object's first comma becomes its brace.
    text: Box<[u8]>,
    hole: Option<Hole>,
}

/// A value that is taken from the record and has quotes around it.
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
    /// A field of a record that came ready: see [`OriginKind::Peer`].
    ReadyField,
    Flag,
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
        let constant = |claim, key: &str, value: &str| {
            let mut text = Vec::new();
            put_key(&mut text, key.as_bytes());
            put_quoted(&mut text, value.as_bytes());
            Member { key: key.as_bytes().into(), claim, text: text.into(), hole: None }
        };
        let hole = |key: &str, hole| {
            let mut text = Vec::new();
            put_key(&mut text, key.as_bytes());
            Member { key: key.as_bytes().into(), claim: Claim::Own, text: text.into(), hole: Some(hole) }
        };
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

        let (mut text, mut holes) = (Vec::new(), Vec::new());
        for member in &members {
            text.extend_from_slice(&member.text);
            if let Some(hole) = member.hole {
                text.push(b'"');
                holes.push((text.len(), hole));
                text.push(b'"');
            }
        }
        text[0] = b'{';
        put_end(&mut text, newline);
        text.shrink_to_fit();
        let fields = if origin.kind == OriginKind::Peer { Claim::ReadyField } else { Claim::Field };
        Self { members, text, holes, fields, newline }
    }

    /// Appends a record's object.
    #[inline]
    pub(super) fn write(&self, slots: &mut Slots<'_, '_>, out: &mut Vec<u8>) {
        if slots.record.has_fields() || slots.flags != Flags::NONE {
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
        let flags = FLAGS.iter().filter(|(flag, _)| slots.flags.contains(*flag));
        let flags = flags.map(|(_, key)| Extra { key, claim: Claim::Flag, value: FieldValue::Json(b"true") });
        let fields = slots.record.fields().map(|(key, value)| Extra { key, claim: self.fields, value });
        let mut extras: Vec<Extra<'_>> = fields.chain(flags).collect();
        // Stable: of a record's fields of one name, the last stays the last.
        extras.sort_by(|a, b| (a.key, a.claim).cmp(&(b.key, b.claim)));
        keep_last_of_each(&mut extras, |a, b| a.key == b.key);

        let start = out.len();
        let mut extras = extras.iter().peekable();
        for member in &self.members {
            while let Some(extra) = extras.next_if(|extra| extra.key < &member.key[..]) {
                extra.write(out);
            }
            if let Some(extra) = extras.next_if(|extra| extra.key == &member.key[..])
                && extra.claim > member.claim
            {
                extra.write(out);
                continue;
            }
            out.extend_from_slice(&member.text);
            if let Some(hole) = member.hole {
                out.push(b'"');
                hole.write(slots, out);
                out.push(b'"');
            }
        }
        extras.for_each(|extra| extra.write(out));
        out[start] = b'{';
        put_end(out, self.newline);
    }
}

/// A member that the record brings with it.
struct Extra<'a> {
    key: &'a [u8],
    claim: Claim,
    value: FieldValue<'a>,
}

impl Extra<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        put_key(out, self.key);
        match self.value {
            FieldValue::Json(json) => out.extend_from_slice(json),
            FieldValue::Text(text) => put_quoted(out, text),
            FieldValue::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        }
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

fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    out.push(b',');
    put_quoted(out, key);
    out.push(b':');
}

fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escape_into(out, text, EscapeStyle::Html);
    out.push(b'"');
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
