//! A record while it is shaped: spans over the bytes of its batch, and over what was made beside them.
//!
//! Nothing of the record is copied before it is known to change: [`Draft::load`] notes where its pieces lie, and steps
//! move, add and take away spans. One draft serves all records of a thread and keeps its memory.
//!
//! Limits: [`MOST_FIELDS`] fields, and [`MOST_BYTES`] of what is made for one record. What would go beyond them is not
//! added, and the step says so.

use bytes::Bytes;

use crate::record::{Batch, FieldSpan, FieldValue, Flags, Level, Record, RecordMeta, Span, bytes};

/// As a record carries, with room for what formats add.
pub(super) const MOST_FIELDS: usize = 65_000;
/// Of what is made for one record.
pub(super) const MOST_BYTES: usize = 16 << 20;
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
    pub(super) body: Span,
    pub(super) fields: Vec<FieldSpan>,
    /// Bytes of the fields, as far as they are not those of the batch.
    copied: usize,
    pub(super) changed: bool,
}

impl Draft {
    /// Begins with a batch.
    pub(super) fn enter(&mut self, batch: &Batch) {
        self.base = batch.data().clone();
    }

    /// Lets go of the batch.
    pub(super) fn leave(&mut self) {
        self.base = Bytes::new();
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
        (self.copied, self.changed) = (0, false);
        self.origin = record.origin;
        self.meta = Some(RecordMeta {
            time_ns: record.time_ns,
            position: record.position,
            level: record.level,
            flags: record.flags,
            original_len: record.original_len,
        });
        let base = self.base.as_ptr() as usize;
        let span = |piece: &[u8]| Span::new(piece.as_ptr() as usize - base, piece.len());
        self.body = span(record.body);
        self.fields.extend(record.fields().map(|(key, value)| {
            let (value, is_json) = match value {
                FieldValue::Text(text) => (span(text), false),
                FieldValue::Json(json) => (span(json), true),
                // Numbers are read back as JSON.
                FieldValue::Integer(_) => (Span::new(0, 0), true),
            };
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
        bytes(&self.base, &self.made, span)
    }

    /// The field of that name: of several the last, which is the one that is sent.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        self.fields.iter().rposition(|field| field.key.len as usize == key.len() && self.bytes(field.key) == key)
    }

    /// The same among the first `count` fields, of a name that lies in the record.
    pub(super) fn find_among(&self, count: usize, key: Span) -> Option<usize> {
        let key = self.bytes(key);
        self.fields[..count]
            .iter()
            .rposition(|field| field.key.len as usize == key.len() && self.bytes(field.key) == key)
    }

    pub(super) fn value(&self, index: usize) -> FieldValue<'_> {
        value_of(self.fields[index].is_json, self.bytes(self.fields[index].value))
    }

    /// All fields, as they would be sent.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&[u8], FieldValue<'_>)> {
        self.fields.iter().map(|field| (self.bytes(field.key), value_of(field.is_json, self.bytes(field.value))))
    }

    /// Bytes that the record takes in a batch, besides its entry in the table.
    pub(super) fn byte_len(&self) -> usize {
        let fields =
            self.fields.iter().map(|field| (field.key.len + field.value.len) as usize + size_of::<FieldSpan>());
        self.body.len as usize + fields.sum::<usize>()
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
        Some(Span::new(self.base.len() + start, self.made.len() - start))
    }

    /// A copy of some of it beside the record: what is rewritten must not change under other fields.
    pub(super) fn make_from(&mut self, pieces: &[Span]) -> Option<Span> {
        let start = self.made.len();
        for piece in pieces {
            let (at, len) = (piece.start as usize, piece.len as usize);
            match at.checked_sub(self.base.len()) {
                None => self.made.extend_from_slice(&self.base[at..at + len]),
                Some(at) => self.made.extend_from_within(at..at + len),
            }
            if self.made.len() > MOST_BYTES {
                self.made.truncate(start);
                return None;
            }
        }
        Some(Span::new(self.base.len() + start, self.made.len() - start))
    }

    /// Sets the field of that name; whether there was room.
    pub(super) fn set(&mut self, key: &[u8], value: Span, is_json: bool) -> bool {
        if let Some(index) = self.find(key) {
            self.fields[index].value = value;
            self.fields[index].is_json = is_json;
            self.changed = true;
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
        self.fields.push(field);
        self.changed = true;
        true
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

#[inline]
pub(super) fn value_of(is_json: bool, value: &[u8]) -> FieldValue<'_> {
    if is_json { FieldValue::Json(value) } else { FieldValue::Text(value) }
}
