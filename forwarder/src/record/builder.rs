//! Fills one batch. Owned by one thread; sealed when full or when its sources have nothing more to give.
//!
//! Batches lie one after the other in blocks of one size, and a block is freed when the last of its batches is. A buffer
//! for each batch, as large as that happens to be, would cost a copy, and several times the memory: an allocator keeps
//! each size apart, and for each as much as was ever needed of it.

use std::collections::HashMap;

use bytes::{BufMut, BytesMut};

use super::batch::{Batch, FieldValue};
use super::flags::Flags;
use super::layout::{self, FIELD_LEN, HEADER_LEN, MAX_BATCH_BYTES, ORIGIN_LEN, RECORD_LEN, i64_at, put};
use super::level::Level;
use super::origin::{OriginHandle, OriginId};
use super::parts::{Parts, Span};

/// Room at the end of a block for what is known only when a batch is sealed (its origins), as a part of the capacity.
const SLACK: usize = 16;
/// A rest of a block that is smaller than this part of the capacity is left over.
const LEAST_REST: usize = 8;
const LEAST_BLOCK: usize = 1024;
/// A body that would take a batch further is cut.
const MOST_BYTES: usize = MAX_BATCH_BYTES - (1 << 20);

/// What a record says besides its body and its fields.
#[derive(Clone, Copy, Debug)]
pub struct RecordMeta {
    /// Nanoseconds since the epoch, taken when the record was written.
    pub time_ns: i64,
    /// Position in the origin's source just after this record; 0 where the source can't be read again.
    pub position: u64,
    pub level: Level,
    pub flags: Flags,
    /// Bytes of the body before it was cut; the body's length where it was not.
    pub original_len: u32,
}

impl RecordMeta {
    /// A whole line of severity info, from a source that can't be read again.
    #[inline]
    pub fn line(time_ns: i64, body: &[u8]) -> Self {
        Self {
            time_ns,
            position: 0,
            level: Level::Info,
            flags: Flags::NONE,
            original_len: u32::try_from(body.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Collects records for one batch.
pub struct BatchBuilder {
    /// The rest of the block. Header, then the byte arena; the tables are appended by [`BatchBuilder::seal`].
    data: BytesMut,
    records: Vec<[u8; RECORD_LEN]>,
    fields: Vec<[u8; FIELD_LEN]>,
    origins: Vec<OriginHandle>,
    local: HashMap<OriginId, u32>,
    last_origin: Option<(OriginId, u32)>,
    capacity: usize,
    has_positions: bool,
    has_reports: bool,
    is_discarded: bool,
}

impl BatchBuilder {
    /// A builder of batches of up to about `capacity` bytes, its tables included.
    pub fn new(capacity: usize) -> Self {
        Self {
            data: block(capacity),
            records: Vec::new(),
            fields: Vec::new(),
            origins: Vec::new(),
            local: HashMap::new(),
            last_origin: None,
            capacity,
            has_positions: false,
            has_reports: false,
            is_discarded: false,
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// Bytes that the sealed batch would have now, less its origin table.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.data.len() + self.records.len() * RECORD_LEN + self.fields.len() * FIELD_LEN
    }

    /// Whether a record of so many bytes still belongs into this batch: within its capacity, and its block. One that does
    /// not fit into the block takes the whole batch into a larger one, so the batch is to be sealed before.
    #[inline]
    pub fn fits(&self, bytes: usize) -> bool {
        let end = self.capacity.min(self.data.capacity()).min(MOST_BYTES);
        self.byte_len() + bytes + RECORD_LEN + self.capacity / SLACK <= end
    }

    /// Appends a record without fields of its own.
    #[inline]
    pub fn push(&mut self, origin: &OriginHandle, meta: RecordMeta, body: &[u8]) {
        if !self.fits(body.len()) {
            return self.push_with_fields(origin, meta, body, &[]);
        }
        let body_at = self.data.len() - HEADER_LEN;
        self.data.extend_from_slice(body);
        self.push_entry(origin, meta, Span::new(body_at, body.len()), 0);
    }

    /// Appends a record with fields.
    ///
    /// A body that would take the batch past its upper bound is cut and marked: a single record can be as
    /// large as the batch, never larger.
    pub fn push_with_fields(
        &mut self,
        origin: &OriginHandle,
        mut meta: RecordMeta,
        body: &[u8],
        fields: &[(&str, FieldValue<'_>)],
    ) {
        let room = MOST_BYTES.saturating_sub(self.byte_len());
        let body = if body.len() > room {
            meta.flags = meta.flags | Flags::CUT;
            &body[..room]
        } else {
            body
        };
        self.make_room(body.len() + RECORD_LEN);
        for (key, value) in fields {
            self.push_field(key.as_bytes(), value);
        }
        let body_at = self.data.len() - HEADER_LEN;
        self.data.extend_from_slice(body);
        self.push_entry(origin, meta, Span::new(body_at, body.len()), fields.len());
    }

    /// Appends a record whose body and fields are copied piece by piece from other records: as
    /// [`BatchBuilder::push_with_fields`], with keys that were checked when those were made.
    #[inline]
    pub fn push_pieces<'a>(
        &mut self,
        origin: &OriginHandle,
        mut meta: RecordMeta,
        body: &[u8],
        fields: impl Iterator<Item = (&'a [u8], FieldValue<'a>)>,
    ) {
        let first = self.fields.len();
        for (key, value) in fields {
            self.push_field(key, &value);
        }
        let room = MOST_BYTES.saturating_sub(self.byte_len());
        let body = if body.len() > room {
            meta.flags = meta.flags | Flags::CUT;
            &body[..room]
        } else {
            body
        };
        let body_at = self.data.len() - HEADER_LEN;
        self.data.extend_from_slice(body);
        self.push_entry(origin, meta, Span::new(body_at, body.len()), self.fields.len() - first);
    }

    /// A batch of nothing but positions: each record stands for those of its origin up to there, which were discarded.
    /// Nobody is given them, but they count as read.
    pub fn seal_discarded(&mut self) -> Batch {
        self.is_discarded = true;
        let batch = self.seal();
        self.is_discarded = false;
        batch
    }

    /// Appends a record whose bytes are copied as they lie in its line, punctuation and all: cheaper than piece by
    /// piece. A record has fewer than 65,536 fields, and line and `more` together far less than a batch.
    pub fn push_parts(&mut self, origin: &OriginHandle, meta: RecordMeta, parts: &Parts<'_>) {
        self.make_room(parts.byte_len() + RECORD_LEN);
        let base = to_u32(self.data.len() - HEADER_LEN);
        self.data.extend_from_slice(parts.line);
        self.data.extend_from_slice(parts.more);
        for field in parts.fields {
            let kind = if field.is_json { layout::KIND_JSON } else { layout::KIND_TEXT };
            let (key, value) = (field.key, field.value);
            self.fields.push(field_entry(base + key.start, key.len, base + value.start, value.len, kind));
        }
        let body = Span { start: base + parts.body.start, len: parts.body.len };
        self.push_entry(origin, meta, body, parts.fields.len());
    }

    /// Appends the entry of a record whose bytes are there and whose `fields` are the last ones.
    #[inline]
    fn push_entry(&mut self, origin: &OriginHandle, meta: RecordMeta, body: Span, fields: usize) {
        self.has_positions |= meta.position != 0;
        self.has_reports |= meta.flags.contains(Flags::LOSS);
        let first_field = to_u32(self.fields.len() - fields);
        let field_count = u16::try_from(fields).expect("a record has fewer than 65,536 fields");
        let mut entry = [0u8; RECORD_LEN];
        put(&mut entry, 0, &meta.time_ns.to_le_bytes());
        put(&mut entry, 8, &meta.position.to_le_bytes());
        put(&mut entry, 16, &body.start.to_le_bytes());
        put(&mut entry, 20, &body.len.to_le_bytes());
        put(&mut entry, 24, &first_field.to_le_bytes());
        put(&mut entry, 28, &field_count.to_le_bytes());
        entry[30] = meta.level as u8;
        entry[31] = meta.flags.bits();
        put(&mut entry, 32, &self.local_origin(origin).to_le_bytes());
        put(&mut entry, 36, &meta.original_len.to_le_bytes());
        self.records.push(entry);
    }

    /// The finished batch; the builder is empty afterwards and can be filled again.
    pub fn seal(&mut self) -> Batch {
        self.seal_before(0)
    }

    /// Like [`BatchBuilder::seal`], where a record of so many bytes comes next.
    pub fn seal_before(&mut self, bytes: usize) -> Batch {
        self.assemble();
        let data = self.data.split().freeze();
        let mut occupied = data.len();
        let next = HEADER_LEN + RECORD_LEN + bytes + self.capacity / SLACK;
        if self.data.capacity() < next.max(self.capacity / LEAST_REST) {
            // The ring accounts what a batch occupies: what it leaves over at the end of the block, too.
            occupied += self.data.capacity();
            self.data = block(self.capacity);
        } else {
            self.data.resize(HEADER_LEN, 0);
        }
        let batch = Batch::assembled(data, occupied);
        self.records.clear();
        self.fields.clear();
        self.origins.clear();
        self.local.clear();
        self.last_origin = None;
        self.has_positions = false;
        self.has_reports = false;
        batch
    }

    /// Puts the tables behind the arena and fills the header.
    fn assemble(&mut self) {
        let mut data = std::mem::take(&mut self.data);
        let arena = data.len() - HEADER_LEN;
        let texts: usize = self.origins.iter().map(|origin| origin.text().len()).sum();
        let tables = self.records.len() * RECORD_LEN + self.fields.len() * FIELD_LEN + self.origins.len() * ORIGIN_LEN;
        data.reserve(tables + texts);
        data.extend_from_slice(self.records.as_flattened());
        data.extend_from_slice(self.fields.as_flattened());
        let mut at = 0u32;
        for origin in &self.origins {
            let len = to_u32(origin.text().len());
            data.extend_from_slice(&origin.id().0.to_le_bytes());
            data.extend_from_slice(&at.to_le_bytes());
            data.extend_from_slice(&len.to_le_bytes());
            at += len;
        }
        for origin in &self.origins {
            data.extend_from_slice(origin.text());
        }
        let total = to_u32(data.len());
        let mut flags = if self.has_positions { layout::FLAG_POSITIONS } else { 0 };
        if self.has_reports {
            flags |= layout::FLAG_REPORTS;
        }
        if self.is_discarded {
            flags |= layout::FLAG_DISCARDED;
        }
        put(&mut data, 0, &layout::MAGIC);
        put(&mut data, layout::AT_VERSION, &layout::VERSION.to_le_bytes());
        put(&mut data, layout::AT_HEADER_LEN, &(HEADER_LEN as u16).to_le_bytes());
        put(&mut data, layout::AT_FLAGS, &flags.to_le_bytes());
        put(&mut data, layout::AT_TOTAL, &total.to_le_bytes());
        put(&mut data, layout::AT_RECORDS, &to_u32(self.record_count()).to_le_bytes());
        put(&mut data, layout::AT_FIELDS, &to_u32(self.fields.len()).to_le_bytes());
        put(&mut data, layout::AT_ORIGINS, &to_u32(self.origins.len()).to_le_bytes());
        put(&mut data, layout::AT_BYTES, &to_u32(arena).to_le_bytes());
        let time = |entry: Option<&[u8; RECORD_LEN]>| entry.map_or(0, |entry| i64_at(entry, 0));
        put(&mut data, layout::AT_FIRST_TIME, &time(self.records.first()).to_le_bytes());
        put(&mut data, layout::AT_LAST_TIME, &time(self.records.last()).to_le_bytes());
        self.data = data;
    }

    /// Another block where `more` bytes don't fit into this one, and everything into it: for a record that is larger than
    /// others. Who has many records seals before it comes to that ([`BatchBuilder::fits`]).
    fn make_room(&mut self, more: usize) {
        let needed = self.byte_len() + more + self.capacity / SLACK;
        if needed > self.data.capacity() {
            let mut larger = BytesMut::with_capacity(needed.next_power_of_two().max(self.capacity));
            larger.extend_from_slice(&self.data);
            self.data = larger;
        }
    }

    fn push_field(&mut self, key: &[u8], value: &FieldValue<'_>) {
        let key_at = self.data.len() - HEADER_LEN;
        self.data.extend_from_slice(key);
        let value_at = self.data.len() - HEADER_LEN;
        let kind = match value {
            FieldValue::Text(text) => {
                self.data.extend_from_slice(text);
                layout::KIND_TEXT
            }
            FieldValue::Json(json) => {
                self.data.extend_from_slice(json);
                layout::KIND_JSON
            }
            FieldValue::Integer(number) => {
                use std::io::Write;
                write!((&mut self.data).writer(), "{number}").expect("writing to memory does not fail");
                layout::KIND_JSON
            }
        };
        let value_len = self.data.len() - HEADER_LEN - value_at;
        let [key_at, value_at] = [key_at, value_at].map(to_u32);
        self.fields.push(field_entry(key_at, to_u32(key.len()), value_at, to_u32(value_len), kind));
    }

    /// Index of `origin` in this batch. The one of the previous record is found without hashing.
    #[inline]
    fn local_origin(&mut self, origin: &OriginHandle) -> u32 {
        match self.last_origin {
            Some((last, local)) if last == origin.id() => local,
            _ => self.find_origin(origin),
        }
    }

    #[inline(never)]
    fn find_origin(&mut self, origin: &OriginHandle) -> u32 {
        let next = to_u32(self.origins.len());
        let local = *self.local.entry(origin.id()).or_insert(next);
        if local == next {
            self.origins.push(origin.clone());
        }
        self.last_origin = Some((origin.id(), local));
        local
    }
}

fn field_entry(key_at: u32, key_len: u32, value_at: u32, value_len: u32, kind: u32) -> [u8; FIELD_LEN] {
    let mut entry = [0u8; FIELD_LEN];
    for (index, number) in [key_at, key_len, value_at, value_len, kind].into_iter().enumerate() {
        put(&mut entry, index * 4, &number.to_le_bytes());
    }
    entry
}

/// A block with the header of its first batch.
fn block(capacity: usize) -> BytesMut {
    let mut data = BytesMut::with_capacity(capacity.max(LEAST_BLOCK));
    data.resize(HEADER_LEN, 0);
    data
}

#[inline]
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a batch is bounded far below 4 GiB")
}
