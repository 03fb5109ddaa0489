//! A sealed batch and the records in it. Reading never allocates.

use std::ops::Range;

use bytes::Bytes;

use super::flags::Flags;
use super::layout::{self, FIELD_LEN, HEADER_LEN, ORIGIN_LEN, RECORD_LEN, i64_at, put, u16_at, u32_at, u64_at};
use super::level::Level;
use super::origin::{OriginId, OriginKind};
use super::validate::{self, BatchError};

/// An immutable batch: one buffer that means the same wherever it lies.
#[derive(Clone)]
pub struct Batch {
    data: Bytes,
    capacity: usize,
    shape: Shape,
}

/// Where the tables are, read once from the header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) records: u32,
    pub(super) fields: u32,
    pub(super) origins: u32,
    pub(super) records_at: usize,
    pub(super) fields_at: usize,
    pub(super) origins_at: usize,
    pub(super) texts_at: usize,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub time_ns: i64,
    pub position: u64,
    pub level: Level,
    pub flags: Flags,
    pub original_len: u32,
    /// Index of the origin in this batch.
    pub origin: u32,
    pub body: &'a [u8],
    batch: &'a Batch,
    first_field: u32,
    field_count: u16,
}

/// Value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// Any bytes; escaped when they are encoded.
    Text(&'a [u8]),
    /// Canonical JSON, copied verbatim.
    Json(&'a [u8]),
    /// A number; read back as [`FieldValue::Json`].
    Integer(i64),
}

impl Batch {
    pub(super) fn assembled(data: Bytes, capacity: usize) -> Self {
        let shape = Shape::of(&data);
        Self { data, capacity, shape }
    }

    /// Reads a stored batch and checks all of it: header, checksum, tables, every offset.
    /// Returns it with the sequence it was stored under. Bytes after the batch are ignored.
    ///
    /// # Errors
    /// [`BatchError`] says what is wrong; nothing of a damaged batch is ever handed out.
    pub fn parse(data: Bytes) -> Result<(u64, Self), BatchError> {
        let total = validate::check(&data)?;
        let sequence = u64_at(&data, layout::AT_SEQUENCE);
        Ok((sequence, Self::assembled(data.slice(..total), total)))
    }

    /// Length of the stored batch that starts with `header`, which may be a prefix of it.
    ///
    /// # Errors
    /// Where the header is not one of a batch of this version.
    pub fn peek_len(header: &[u8]) -> Result<usize, BatchError> {
        validate::header(header)
    }

    /// The header for storage: with `sequence` and a checksum over everything. The stored form is this,
    /// followed by [`Batch::data`] from [`HEADER_LEN`] on.
    pub fn stamp(&self, sequence: u64) -> [u8; HEADER_LEN] {
        let mut header: [u8; HEADER_LEN] = self.data[..HEADER_LEN].try_into().expect("a batch has a header");
        put(&mut header, layout::AT_SEQUENCE, &sequence.to_le_bytes());
        let crc = validate::checksum(&header, &self.data[HEADER_LEN..]);
        put(&mut header, layout::AT_CRC, &crc.to_le_bytes());
        header
    }

    /// The whole buffer. Sequence and checksum in its header are those it was stored with, or 0.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    pub fn byte_len(&self) -> usize {
        self.data.len()
    }

    /// Bytes of memory that the batch occupies; what the ring accounts.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn record_count(&self) -> u32 {
        self.shape.records
    }

    pub fn is_empty(&self) -> bool {
        self.shape.records == 0
    }

    /// Whether some record has a position, so that acknowledging it moves a checkpoint.
    pub fn has_positions(&self) -> bool {
        u32_at(&self.data, layout::AT_FLAGS) & layout::FLAG_POSITIONS != 0
    }

    /// Whether it only says which positions were discarded: nobody is given its records.
    pub fn is_discarded(&self) -> bool {
        u32_at(&self.data, layout::AT_FLAGS) & layout::FLAG_DISCARDED != 0
    }

    /// Whether some record reports a loss ([`Record::lost`]).
    pub fn has_reports(&self) -> bool {
        u32_at(&self.data, layout::AT_FLAGS) & layout::FLAG_REPORTS != 0
    }

    /// Time of the first record in ns since the epoch.
    pub fn first_time_ns(&self) -> i64 {
        i64_at(&self.data, layout::AT_FIRST_TIME)
    }

    /// Time of the last record in ns since the epoch.
    pub fn last_time_ns(&self) -> i64 {
        i64_at(&self.data, layout::AT_LAST_TIME)
    }

    /// # Panics
    /// Where `index` is not below [`Batch::record_count`].
    #[inline]
    pub fn record(&self, index: u32) -> Record<'_> {
        self.decoded(&self.record_table()[index as usize])
    }

    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.records_in(0..self.shape.records)
    }

    /// Some of the records, one after the other: cheaper than each by its index.
    ///
    /// # Panics
    /// Where the batch has fewer.
    #[inline]
    pub fn records_in(&self, range: Range<u32>) -> impl ExactSizeIterator<Item = Record<'_>> {
        let entries = &self.record_table()[range.start as usize..range.end as usize];
        entries.iter().map(|entry| self.decoded(entry))
    }

    /// Origin (its index in this batch) and position of the first `records` records, or of all: cheaper than the
    /// records.
    #[inline]
    pub fn positions(&self, records: u32) -> impl ExactSizeIterator<Item = (u32, u64)> {
        self.record_table().iter().take(records as usize).map(|entry| (u32_at(entry, 32), u64_at(entry, 8)))
    }

    /// The record table: entries of known length, so that nothing in one has to be looked for.
    #[inline]
    fn record_table(&self) -> &[[u8; RECORD_LEN]] {
        self.data[self.shape.records_at..self.shape.fields_at].as_chunks().0
    }

    #[inline]
    fn decoded<'a>(&'a self, entry: &[u8; RECORD_LEN]) -> Record<'a> {
        let body_at = HEADER_LEN + u32_at(entry, 16) as usize;
        Record {
            time_ns: i64_at(entry, 0),
            position: u64_at(entry, 8),
            level: Level::from_priority(u32::from(entry[30])),
            flags: Flags::from_bits(entry[31]).expect("checked when the batch was made or parsed"),
            original_len: u32_at(entry, 36),
            origin: u32_at(entry, 32),
            body: &self.data[body_at..body_at + u32_at(entry, 20) as usize],
            batch: self,
            first_field: u32_at(entry, 24),
            field_count: u16_at(entry, 28),
        }
    }

    pub fn origin_count(&self) -> u32 {
        self.shape.origins
    }

    /// # Panics
    /// Where `local` is not below [`Batch::origin_count`].
    pub fn origin_id(&self, local: u32) -> OriginId {
        OriginId(u64_at(self.origin_entry(local), 0))
    }

    /// The origin's text form, for [`super::Origin::decode`].
    ///
    /// # Panics
    /// Where `local` is not below [`Batch::origin_count`].
    pub fn origin_bytes(&self, local: u32) -> &[u8] {
        let entry = self.origin_entry(local);
        let at = self.shape.texts_at + u32_at(entry, 8) as usize;
        &self.data[at..at + u32_at(entry, 12) as usize]
    }

    /// The kind of an origin, without the rest of it.
    ///
    /// # Panics
    /// Where `local` is not below [`Batch::origin_count`].
    pub fn origin_kind(&self, local: u32) -> Option<OriginKind> {
        self.origin_bytes(local).first().and_then(|byte| OriginKind::from_byte(*byte))
    }

    fn origin_entry(&self, local: u32) -> &[u8] {
        assert!(local < self.shape.origins, "origin {local} of {}", self.shape.origins);
        let at = self.shape.origins_at + local as usize * ORIGIN_LEN;
        &self.data[at..at + ORIGIN_LEN]
    }

    #[inline]
    fn field(&self, index: u32) -> (&[u8], FieldValue<'_>) {
        let entry = entry::<FIELD_LEN>(&self.data, self.shape.fields_at, index);
        let range = |at: usize| {
            let start = HEADER_LEN + u32_at(entry, at) as usize;
            &self.data[start..start + u32_at(entry, at + 4) as usize]
        };
        let value = match u32_at(entry, 16) {
            layout::KIND_TEXT => FieldValue::Text(range(8)),
            _ => FieldValue::Json(range(8)),
        };
        (range(0), value)
    }
}

impl<'a> Record<'a> {
    /// The record's own fields, in the order in which its source gave them.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a [u8], FieldValue<'a>)> + use<'a> {
        let batch = self.batch;
        let first = self.first_field;
        (0..u32::from(self.field_count)).map(move |index| batch.field(first + index))
    }

    /// The value of a field, by its number in [`Record::fields`].
    ///
    /// # Panics
    /// Where the record has fewer fields.
    #[inline]
    pub fn field(&self, number: u32) -> FieldValue<'a> {
        assert!(number < u32::from(self.field_count));
        self.batch.field(self.first_field + number).1
    }

    pub fn has_fields(&self) -> bool {
        self.field_count != 0
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} records, {} bytes)", self.record_count(), self.byte_len())
    }
}

/// An entry of the table at `table`: of known length, so that nothing in it has to be looked for.
#[inline]
fn entry<const N: usize>(data: &[u8], table: usize, index: u32) -> &[u8; N] {
    data[table + index as usize * N..].first_chunk().expect("a table has all of its entries")
}

impl Shape {
    pub(super) fn of(data: &[u8]) -> Self {
        let records = u32_at(data, layout::AT_RECORDS);
        let fields = u32_at(data, layout::AT_FIELDS);
        let origins = u32_at(data, layout::AT_ORIGINS);
        let records_at = HEADER_LEN + u32_at(data, layout::AT_BYTES) as usize;
        let fields_at = records_at + records as usize * RECORD_LEN;
        let origins_at = fields_at + fields as usize * FIELD_LEN;
        let texts_at = origins_at + origins as usize * ORIGIN_LEN;
        Self { records, fields, origins, records_at, fields_at, origins_at, texts_at }
    }
}
