//! An object with holes in it: everything that is the same in all records of one shape, rendered once.
//!
//! The shape of a record is its origin, its flags and the keys of its fields, in their order. Lines of one program
//! repeat a few shapes, so that a record is its shape's text with the values between; which member goes where, and
//! which is overruled, is found out once for each shape and not for each record.
//!
//! Limits: a shape is kept if its keys have at most [`KEPT_BYTES`] and there are at most [`KEPT_FIELDS`] of them.

use super::template::{Claim, Member};
use crate::encode::simd::{EscapeStyle, Escaper, Padded, Sink, escape_into};
use crate::encode::time::TimeWriter;
use crate::record::{FieldValue, Flags, Level, Record};

const KEPT_FIELDS: usize = 64;
const KEPT_BYTES: usize = 2048;

/// What differs from record to record of one shape.
pub(super) struct Slots<'a, 't> {
    pub(super) record: &'a Record<'a>,
    /// The record's body, or the part of it that fits.
    pub(super) body: &'a [u8],
    pub(super) time: &'t mut TimeWriter,
}

/// A value that is taken from the record.
#[derive(Clone, Copy)]
pub(super) enum Hole {
    /// These three have their quotes in the text around them.
    Msg,
    Level,
    Time,
    /// The value of a field, by its number in the record.
    Field(u32),
}

#[derive(Default)]
pub(super) struct Shape {
    flags: Flags,
    /// The keys of the fields one after the other, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    /// The constant bytes of the object, `{` to the newline.
    text: Padded,
    /// Where values go into `text`, in order.
    holes: Vec<(usize, Hole)>,
    /// Numbers of the fields by their keys, needed while it is built.
    order: Vec<u32>,
}

/// The members that flags make, by their keys. [`Flags::LOSS`] makes none: the record's text says what was lost.
const FLAGS: [(Flags, &[u8]); 4] = [
    (Flags::CUT, b"cut"),
    (Flags::OVERLAP, b"overlap"),
    (Flags::PARTIAL, b"partial"),
    (Flags::RECOVERED, b"recovered"),
];

impl Shape {
    /// The shape of records without fields and flags.
    pub(super) fn plain(members: &[Member], newline: bool) -> Self {
        let mut shape = Self::default();
        shape.render(members, false, newline, &[]);
        shape
    }

    /// Whether it is the shape of a record of the same origin.
    #[inline]
    pub(super) fn fits(&self, record: &Record<'_>, flags: Flags) -> bool {
        let fields = record.fields();
        if self.flags != flags || self.ends.len() != fields.len() {
            return false;
        }
        let mut from = 0;
        fields.zip(&self.ends).all(|((key, _), end)| {
            let same = self.keys[from..*end] == *key;
            from = *end;
            same
        })
    }

    /// Whether the shape of a record is small enough to be kept.
    pub(super) fn is_kept(record: &Record<'_>) -> bool {
        record.fields().len() <= KEPT_FIELDS && record.fields().map(|(key, _)| key.len()).sum::<usize>() <= KEPT_BYTES
    }

    /// Makes it the shape of a record of the origin that has `members`; with `fields_first` the fields overrule all of
    /// them but tags. Fields that are marked in `left_out`, by their numbers, are as if they were not there: such a shape
    /// is of this record alone.
    pub(super) fn rebuild(
        &mut self,
        record: &Record<'_>,
        flags: Flags,
        members: &[Member],
        fields_first: bool,
        newline: bool,
        left_out: &[bool],
    ) {
        self.flags = flags;
        self.keys.clear();
        self.ends.clear();
        for (key, _) in record.fields() {
            self.keys.extend_from_slice(key);
            self.ends.push(self.keys.len());
        }
        self.render(members, fields_first, newline, left_out);
    }

    /// Merges members, flags and fields, each of them sorted, to `text` and `holes`.
    fn render(&mut self, members: &[Member], fields_first: bool, newline: bool, left_out: &[bool]) {
        let Self { flags, keys, ends, text, holes, order } = self;
        let key_of = |field: u32| {
            let field = field as usize;
            &keys[field.checked_sub(1).map_or(0, |before| ends[before])..ends[field]]
        };
        order.clear();
        order.extend((0..ends.len() as u32).filter(|field| !left_out.get(*field as usize).is_some_and(|left| *left)));
        order.sort_unstable_by(|a, b| key_of(*a).cmp(key_of(*b)).then(a.cmp(b)));
        holes.clear();

        let mut members = members.iter().peekable();
        let mut flags = FLAGS.iter().filter(|(flag, _)| flags.contains(*flag)).peekable();
        let mut fields = order.iter().copied().peekable();
        text.rewrite(|text| {
            loop {
                let next = [
                    members.peek().map(|member| member.key()),
                    flags.peek().map(|(_, key)| *key),
                    fields.peek().map(|field| key_of(*field)),
                ];
                let Some(key) = next.into_iter().flatten().min() else { break };
                let member = members.next_if(|member| member.key() == key);
                let flag = flags.next_if(|(_, flag)| *flag == key);
                let mut field = None;
                while let Some(later) = fields.next_if(|field| key_of(*field) == key) {
                    field = Some(later);
                }
                let member = member.filter(|member| !fields_first || field.is_none() || member.claim == Claim::Tag);
                match (member, flag, field) {
                    // A flag is one of the things that Ringward says itself.
                    (Some(member), flag, _) if flag.is_none() || member.claim > Claim::Own => {
                        member.put(text, holes);
                    }
                    (_, Some(_), _) => {
                        put_key(text, key);
                        text.extend_from_slice(b"true");
                    }
                    (_, None, field) => {
                        put_key(text, key);
                        holes.extend(field.map(|field| (text.len(), Hole::Field(field))));
                    }
                }
            }
            // Every object has members: `msg` and others, or tags in their place.
            text[0] = b'{';
            text.push(b'}');
            if newline {
                text.push(b'\n');
            }
        });
    }

    /// Appends a record's object. Inlined, so that the position of `out` is in a register all along.
    #[inline(always)]
    pub(super) fn write(&self, slots: &mut Slots<'_, '_>, out: &mut Sink<'_>, escaper: impl Escaper) {
        let mut from = 0;
        for (until, hole) in &self.holes {
            out.put_part(&self.text, from, *until);
            hole.write(slots, out, escaper);
            from = *until;
        }
        out.put_part(&self.text, from, self.text.len());
    }
}

impl Hole {
    #[inline(always)]
    fn write(self, slots: &mut Slots<'_, '_>, out: &mut Sink<'_>, escaper: impl Escaper) {
        match self {
            Self::Msg => out.put_escaped(slots.body, EscapeStyle::Html, escaper),
            Self::Level => {
                let (name, len) = talos_level(slots.record.level);
                out.put_first(name, len);
            }
            Self::Time => slots.time.write(slots.record.time_ns, out),
            Self::Field(field) => match slots.record.field(field) {
                FieldValue::Json(json) => out.put(json),
                FieldValue::Integer(number) => out.put(number.to_string().as_bytes()),
                FieldValue::Text(text) => {
                    out.put_first(b"\"", 1);
                    out.put_escaped(text, EscapeStyle::Html, escaper);
                    out.put_first(b"\"", 1);
                }
            },
        }
    }
}

/// Bytes that a field takes in an object.
pub(super) fn field_len(key: &[u8], value: FieldValue<'_>) -> usize {
    let mut member = Vec::new();
    put_key(&mut member, key);
    match value {
        FieldValue::Json(json) => return member.len() + json.len(),
        FieldValue::Integer(number) => member.extend_from_slice(number.to_string().as_bytes()),
        FieldValue::Text(text) => put_quoted(&mut member, text),
    }
    member.len()
}

/// Talos' name of a severity, and its length.
#[inline]
fn talos_level(level: Level) -> (&'static [u8; 8], usize) {
    match level {
        Level::Emerg | Level::Alert | Level::Crit | Level::Err => (b"error   ", 5),
        Level::Warning => (b"warn    ", 4),
        Level::Notice | Level::Info => (b"info    ", 4),
        Level::Debug => (b"debug   ", 5),
    }
}

/// `,"key":`
pub(super) fn put_key(out: &mut Vec<u8>, key: &[u8]) {
    out.push(b',');
    put_quoted(out, key);
    out.push(b':');
}

pub(super) fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    escape_into(out, text, EscapeStyle::Html);
    out.push(b'"');
}
