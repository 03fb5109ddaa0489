//! A record while it is shaped: spans over its bytes in the batch, and over what was made beside them.
//!
//! Nothing of the record is copied before it is known to change: [`Draft::load`] notes where its pieces lie, and steps
//! move, add and take away spans. One draft serves all records of a thread and keeps its memory.
//!
//! A record that has changed is copied as it lies, with what is between its pieces ([`Draft::parts`]): two copies are
//! cheaper than two for each field. Where something was taken out of it that nobody is to see any more, not even on the
//! disk on which the ring may lie, the pieces are copied that are left ([`Draft::pieces`]).
//!
//! Limits: [`MOST_FIELDS`] fields, and [`MOST_BYTES`] of what is made for one record. What would go beyond them is not
//! added, and the step says so.

use std::ops::Range;

use bytes::Bytes;

use crate::record::{Batch, FieldSpan, FieldValue, Flags, Level, Parts, Record, RecordMeta, Span, bytes};

/// As a record carries, with room for what formats add.
const MOST_FIELDS: usize = 65_000;
/// Of what is made for one record.
const MOST_BYTES: usize = 16 << 20;
/// A longer record is copied by its pieces.
const MOST_COPIED: usize = 1 << 20;
/// Memory that is kept from one record to the next.
const KEPT_BYTES: usize = 64 << 10;

/// The record at hand.
#[derive(Default)]
pub(super) struct Draft {
    /// The batch that it lies in.
    base: Bytes,
    /// What does not stand there.
    made: Vec<u8>,
    pub(super) meta: Option<RecordMeta>,
    /// Its origin's number in the batch.
    pub(super) origin: u32,
    /// Where its pieces lie in the batch, with what is between them.
    lies: Range<usize>,
    pub(super) body: Span,
    pub(super) fields: Vec<FieldSpan>,
    /// A bit for each name among the fields, by [`name_bit`]; and for some that are gone.
    names: u64,
    /// Bytes of the fields, as far as they are not those of the batch.
    copied: usize,
    pub(super) changed: bool,
    /// Something was taken out of it, and must not lie anywhere any more.
    hides: bool,
}

impl Draft {
    /// Begins with a batch.
    pub(super) fn enter(&mut self, batch: &Batch) {
        self.base = batch.data().clone();
    }

    /// Lets go of the batch.
    pub(super) fn leave(&mut self) {
        (self.base, self.lies) = (Bytes::new(), 0..0);
        self.made.clear();
        self.made.shrink_to(KEPT_BYTES);
        self.fields.clear();
        self.fields.shrink_to(KEPT_BYTES / size_of::<FieldSpan>());
    }

    /// Takes a record of the batch.
    #[inline]
    pub(super) fn load(&mut self, record: &Record<'_>) {
        self.made.clear();
        self.fields.clear();
        (self.copied, self.changed, self.hides) = (0, false, false);
        self.origin = record.origin;
        self.meta = Some(RecordMeta {
            time_ns: record.time_ns,
            position: record.position,
            level: record.level,
            flags: record.flags,
            original_len: record.original_len,
        });
        let base = self.base.as_ptr() as usize;
        let place = |piece: &[u8]| {
            let at = piece.as_ptr() as usize - base;
            at..at + piece.len()
        };
        self.lies = record.fields().fold(place(record.body), |lies, (key, value)| {
            let key = place(key);
            let lies = lies.start.min(key.start)..lies.end.max(key.end);
            match value {
                FieldValue::Text(value) | FieldValue::Json(value) => {
                    let value = place(value);
                    lies.start.min(value.start)..lies.end.max(value.end)
                }
                FieldValue::Integer(_) => lies,
            }
        });
        let begin = base + self.lies.start;
        let span = |piece: &[u8]| Span::new(piece.as_ptr() as usize - begin, piece.len());
        self.body = span(record.body);
        self.names = 0;
        self.fields.extend(record.fields().map(|(key, value)| {
            let (value, is_json) = match value {
                FieldValue::Text(text) => (span(text), false),
                FieldValue::Json(json) => (span(json), true),
                // Numbers are read back as JSON.
                FieldValue::Integer(_) => (Span::new(0, 0), true),
            };
            self.names |= name_bit(key);
            FieldSpan { key: span(key), value, is_json }
        }));
    }

    #[inline]
    pub(super) fn meta(&self) -> RecordMeta {
        self.meta.expect("a record is loaded before it is shaped")
    }

    #[inline]
    pub(super) fn meta_mut(&mut self) -> &mut RecordMeta {
        self.meta.as_mut().expect("a record is loaded before it is shaped")
    }

    pub(super) fn is_report(&self) -> bool {
        self.meta().flags.contains(Flags::LOSS)
    }

    #[inline]
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        bytes(self.line(), &self.made, span)
    }

    /// The record as it lies in its batch.
    #[inline]
    fn line(&self) -> &[u8] {
        &self.base[self.lies.clone()]
    }

    /// The field of that name: of several the last, which is the one that is sent.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        if self.names & name_bit(key) == 0 {
            return None;
        }
        self.find_among(self.fields.len(), key)
    }

    /// The same among the first `count` fields.
    #[inline]
    pub(super) fn find_among(&self, count: usize, key: &[u8]) -> Option<usize> {
        // Most names differ in their first byte already.
        let is_near = |other: &[u8]| other.first() == key.first() && other == key;
        let is = |field: &FieldSpan| field.key.len as usize == key.len() && is_near(self.bytes(field.key));
        self.fields[..count].iter().rposition(is)
    }

    pub(super) fn value(&self, index: usize) -> FieldValue<'_> {
        value_of(self.fields[index].is_json, self.bytes(self.fields[index].value))
    }

    /// All fields, as they would be sent.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&[u8], FieldValue<'_>)> {
        self.fields.iter().map(|field| (self.bytes(field.key), value_of(field.is_json, self.bytes(field.value))))
    }

    /// Bytes of the pieces that it has.
    pub(super) fn byte_len(&self) -> usize {
        let fields = self.fields.iter().map(|field| (field.key.len + field.value.len) as usize);
        self.body.len as usize + fields.sum::<usize>()
    }

    /// Says that something is taken out of it: see the module's text.
    #[inline]
    pub(super) fn hide(&mut self) {
        (self.changed, self.hides) = (true, true);
    }

    /// The record as it lies, if it may be copied so.
    #[inline]
    pub(super) fn parts(&self) -> Option<Parts<'_>> {
        if self.hides || self.lies.len() + self.made.len() > MOST_COPIED {
            return None;
        }
        Some(Parts { line: self.line(), more: &self.made, body: self.body, fields: &self.fields })
    }

    /// Writes something beside the record; `None` where that is too much.
    #[inline]
    pub(super) fn make(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Span> {
        let start = self.made.len();
        write(&mut self.made);
        if self.made.len() > MOST_BYTES {
            self.made.truncate(start);
            return None;
        }
        Some(Span::new(self.lies.len() + start, self.made.len() - start))
    }

    /// A copy of some of it beside the record: what is rewritten must not change under other fields.
    pub(super) fn make_from(&mut self, pieces: &[Span]) -> Option<Span> {
        let start = self.made.len();
        for piece in pieces {
            let (at, len) = (piece.start as usize, piece.len as usize);
            match at.checked_sub(self.lies.len()) {
                None => self.made.extend_from_slice(&self.base[self.lies.clone()][at..at + len]),
                Some(at) => self.made.extend_from_within(at..at + len),
            }
            if self.made.len() > MOST_BYTES {
                self.made.truncate(start);
                return None;
            }
        }
        Some(Span::new(self.lies.len() + start, self.made.len() - start))
    }

    /// Sets the field of that name; whether there was room.
    pub(super) fn set(&mut self, key: &[u8], value: Span, is_json: bool) -> bool {
        if let Some(index) = self.find(key) {
            self.fields[index].value = value;
            self.fields[index].is_json = is_json;
            self.hide();
            return true;
        }
        let Some(key) = self.make(|made| made.extend_from_slice(key)) else { return false };
        self.push(FieldSpan { key, value, is_json })
    }

    /// Adds a field, whatever else has its name; whether there was room.
    pub(super) fn push(&mut self, field: FieldSpan) -> bool {
        // What is copied from elsewhere in the record is bounded, too: it may be copied again and again.
        self.copied += field.value.len as usize;
        if self.fields.len() >= MOST_FIELDS || self.copied > MOST_BYTES {
            return false;
        }
        self.names |= name_bit(self.bytes(field.key));
        self.fields.push(field);
        self.changed = true;
        true
    }

    /// Whether so many more fields go into the record, with at most so many bytes.
    #[inline]
    pub(super) fn has_room(&self, fields: usize, bytes: usize) -> bool {
        // No more than this can be in it now: pieces that it has several times are counted as copied.
        let most = self.lies.len() + self.made.len() + self.copied;
        self.fields.len() + fields < MOST_FIELDS && most + bytes < MOST_BYTES
    }

    /// Makes these its fields, for which there is room, where it has none.
    pub(super) fn set_fields(&mut self, fields: &[FieldSpan]) {
        self.copied += fields.iter().map(|field| field.value.len as usize).sum::<usize>();
        self.names = fields.iter().fold(0, |names, field| names | name_bit(self.bytes(field.key)));
        self.fields.extend_from_slice(fields);
        self.changed = true;
    }

    /// Gives a field another name.
    pub(super) fn rename(&mut self, index: usize, key: Span) {
        self.names |= name_bit(self.bytes(key));
        self.fields[index].key = key;
        self.changed = true;
    }

    /// Adds `key: text` to the field of that name, as a mark that may come several times.
    pub(super) fn mark(&mut self, key: &str, text: &str) {
        let before = self.find(key.as_bytes()).map(|index| self.fields[index].value);
        let value = match before {
            None => self.make(|made| made.extend_from_slice(text.as_bytes())),
            Some(before) => self.make(|made| made.push(b',')).and_then(|comma| {
                let text = self.make(|made| made.extend_from_slice(text.as_bytes()))?;
                self.make_from(&[before, comma, text])
            }),
        };
        if let Some(value) = value {
            self.set(key.as_bytes(), value, false);
        }
    }

    pub(super) fn set_level(&mut self, level: Level) {
        self.changed |= self.meta().level != level;
        self.meta_mut().level = level;
    }

    pub(super) fn set_time(&mut self, time_ns: i64) {
        self.changed |= self.meta().time_ns != time_ns;
        self.meta_mut().time_ns = time_ns;
    }

    pub(super) fn set_body(&mut self, body: Span) {
        self.changed = true;
        self.body = body;
        self.meta_mut().original_len = body.len;
    }
}

/// Names of one bit may be the same; others are not.
#[inline]
fn name_bit(name: &[u8]) -> u64 {
    let byte = |at: usize| usize::from(name.get(at).copied().unwrap_or_default());
    1 << ((byte(0) + 7 * name.len() + 13 * byte(name.len() / 2)) % 64)
}

#[inline]
pub(super) fn value_of(is_json: bool, value: &[u8]) -> FieldValue<'_> {
    if is_json { FieldValue::Json(value) } else { FieldValue::Text(value) }
}
