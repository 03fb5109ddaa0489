//! Objects: what is behind the header.
//!
//! ```text
//!  every      0  type u8 · flags u8 · 6 unused    8  length, these 16 bytes included
//!  data      16  hash, and offsets of tables …   64  FIELD=value; 72 in compact files
//!  entry     16  seqnum   24  realtime µs   32  monotonic µs   40  boot id   56  hash
//!            64  offset u64 · hash u64 of each field; in compact files, offset u32
//!  array     16  offset of the next one     24  offsets of entries: u64; in compact files, u32; 0 where none is yet
//! ```

use super::compressed::{Compression, decompress};
use super::{Bytes, Header, Id, JournalError, LONGEST_FIELD, MOST_FIELDS, id_at, u32_at, u64_at};

const HEAD_LEN: usize = 16;
const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ARRAY: u8 = 6;
const ENTRY_LEN: usize = 64;
const ARRAY_LEN: usize = 24;

/// What an entry says besides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Grows from entry to entry of a file.
    pub seqnum: u64,
    /// When journald took it, µs since the epoch.
    pub realtime_us: u64,
    /// The same, µs since the boot.
    pub monotonic_us: u64,
    pub boot_id: Id,
    /// Of all its fields; stays when journald copies an entry to another file.
    pub hash: u64,
}

/// How much of a field was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes that were added.
    pub len: usize,
    /// Bytes that it has, where that is more and known; else the same.
    pub original_len: u64,
}

/// An object's flags and length; it begins at a place where one can, and is of the type that is expected.
fn object(
    bytes: &mut impl Bytes,
    header: &Header,
    offset: u64,
    kind: u8,
    least: usize,
) -> Result<(u8, u64), JournalError> {
    let damaged = |what| Err(JournalError::Damaged { offset, what });
    if offset < header.len || !offset.is_multiple_of(8) {
        return damaged("no object can begin here");
    }
    let head = bytes.at(offset, HEAD_LEN)?;
    let (found, flags, len) = (head[0], head[1], u64_at(head, 8));
    if found != kind {
        return damaged("an object of another type");
    }
    if len < least as u64 || offset.checked_add(len).is_none() {
        return damaged("the length of an object");
    }
    Ok((flags, len))
}

/// Reads the entry at `offset`; `fields` gets the offsets of its fields.
///
/// # Errors
/// Where there is none, or it can't be read.
pub fn entry(
    bytes: &mut impl Bytes,
    header: &Header,
    offset: u64,
    fields: &mut Vec<u64>,
) -> Result<Head, JournalError> {
    let (_, len) = object(bytes, header, offset, ENTRY, ENTRY_LEN)?;
    let item = if header.compact { 4 } else { 16 };
    let items = (len - ENTRY_LEN as u64) / item as u64;
    if items > MOST_FIELDS as u64 {
        return Err(JournalError::Damaged { offset, what: "more fields than an entry can have" });
    }
    let object = bytes.at(offset, ENTRY_LEN + items as usize * item)?;
    fields.clear();
    let offset_at = |item: &[u8]| if header.compact { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) };
    fields.extend(object[ENTRY_LEN..].chunks_exact(item).map(offset_at));
    Ok(Head {
        seqnum: u64_at(object, 16),
        realtime_us: u64_at(object, 24),
        monotonic_us: u64_at(object, 32),
        boot_id: id_at(object, 40),
        hash: u64_at(object, 56),
    })
}

/// Adds the `FIELD=value` at `offset` to `out`.
///
/// # Errors
/// Where there is none, or it can't be read; `out` is as it was.
pub fn data(bytes: &mut impl Bytes, header: &Header, offset: u64, out: &mut Vec<u8>) -> Result<Field, JournalError> {
    let before = if header.compact { 72 } else { 64 };
    let (flags, len) = object(bytes, header, offset, DATA, before)?;
    let len = len - before as u64;
    let compression = Compression::of(flags).ok_or(JournalError::Damaged { offset, what: "its compression" })?;
    let at = offset + before as u64;
    let taken = usize::try_from(len).unwrap_or(usize::MAX).min(LONGEST_FIELD);
    let Some(compression) = compression else {
        out.extend_from_slice(bytes.at(at, taken)?);
        return Ok(Field { len: taken, original_len: len });
    };
    let start = out.len();
    let original_len = decompress(compression, bytes.at(at, taken)?, out).map_err(|what| {
        out.truncate(start);
        JournalError::Damaged { offset, what }
    })?;
    Ok(Field { len: out.len() - start, original_len })
}

/// An array of entries' offsets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    pub(super) offset: u64,
    /// Offsets that it has room for.
    pub(super) room: u64,
    /// Offset of the next one; 0 where there is none yet.
    pub(super) next: u64,
}

impl Array {
    pub(super) fn read(bytes: &mut impl Bytes, header: &Header, offset: u64) -> Result<Self, JournalError> {
        let (_, len) = object(bytes, header, offset, ARRAY, ARRAY_LEN)?;
        let next = u64_at(bytes.at(offset, ARRAY_LEN)?, 16);
        // The writer only ever adds at the end of the file: one that leads back would lead in circles.
        if next != 0 && next <= offset {
            return Err(JournalError::Damaged { offset, what: "an array of entries that leads back" });
        }
        let item = if header.compact { 4 } else { 8 };
        Ok(Self { offset, room: (len - ARRAY_LEN as u64) / item, next })
    }

    /// The offset at `index`, which is less than the room.
    pub(super) fn item(&self, bytes: &mut impl Bytes, header: &Header, index: u64) -> Result<u64, JournalError> {
        let (first, item) = (self.offset + ARRAY_LEN as u64, if header.compact { 4 } else { 8 });
        let bytes = bytes.at(first + index * item, item as usize)?;
        Ok(if header.compact { u64::from(u32_at(bytes, 0)) } else { u64_at(bytes, 0) })
    }
}
