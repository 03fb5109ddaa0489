//! Byte layout of a batch, version 1. All integers are little-endian; nothing is aligned.
//!
//! ```text
//! header, 64 bytes
//!   0  magic         8   "RINGWARD"
//!   8  version       u16
//!  10  header length u16  64
//!  12  flags         u32  bit 0: some record has a position; bit 1: the records are positions of discarded ones, and
//!                         no more (never stored)
//!  16  total length  u32  header to end of the origin texts
//!  20  crc32         u32  IEEE, over all other bytes; 0 in a batch that was never stored
//!  24  sequence      u64  position in the ring; 0 in a batch that was never stored
//!  32  records       u32  count
//!  36  fields        u32  count
//!  40  origins       u32  count
//!  44  bytes length  u32  length of the byte arena
//!  48  first time    i64  ns since the epoch, of the first record
//!  56  last time     i64  ns since the epoch, of the last record
//! byte arena          bytes of bodies, field keys and values
//! record table        40 bytes a record
//!   0  time          i64  ns since the epoch, when it was written
//!   8  position      u64  in the origin's source, just after this record
//!  16  body offset   u32  into the arena
//!  20  body length   u32
//!  24  first field   u32  index into the field table
//!  28  field count   u16
//!  30  level         u8   syslog severity, 0..=7
//!  31  flags         u8
//!  32  origin        u32  index into the origin table
//!  36  original len  u32  length of the body before a cut
//! field table         20 bytes a field
//!   0  key offset    u32, 4 key length u32, 8 value offset u32, 12 value length u32
//!  16  kind          u32  0 text, 1 canonical JSON
//! origin table        16 bytes an origin
//!   0  id            u64  hash of the text: equal origins have equal ids, also after a restart
//!   8  offset        u32  into the origin texts
//!  12  length        u32
//! origin texts        see origin.rs
//! ```
//!
//! The arena comes first so that a source appends to the final buffer; the tables are small and are put
//! behind it when the batch is sealed. The checksum is made when a batch is stored, not when it is sealed:
//! batches that only pass through the heap never pay for it.

/// First bytes of a stored batch; recovery looks for them.
pub const MAGIC: [u8; 8] = *b"RINGWARD";
/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// Upper bound of a batch, header and tables included. Four times the largest accepted line.
pub const MAX_BATCH_BYTES: usize = 64 << 20;

pub(super) const VERSION: u16 = 1;
pub(super) const RECORD_LEN: usize = 40;
pub(super) const FIELD_LEN: usize = 20;
pub(super) const ORIGIN_LEN: usize = 16;
pub(super) const FLAG_POSITIONS: u32 = 1;
pub(super) const FLAG_DISCARDED: u32 = 2;
/// Some record reports a loss.
pub(super) const FLAG_REPORTS: u32 = 4;

pub(super) const AT_VERSION: usize = 8;
pub(super) const AT_HEADER_LEN: usize = 10;
pub(super) const AT_FLAGS: usize = 12;
pub(super) const AT_TOTAL: usize = 16;
pub(super) const AT_CRC: usize = 20;
pub(super) const AT_SEQUENCE: usize = 24;
pub(super) const AT_RECORDS: usize = 32;
pub(super) const AT_FIELDS: usize = 36;
pub(super) const AT_ORIGINS: usize = 40;
pub(super) const AT_BYTES: usize = 44;
pub(super) const AT_FIRST_TIME: usize = 48;
pub(super) const AT_LAST_TIME: usize = 56;

pub(super) const KIND_TEXT: u32 = 0;
pub(super) const KIND_JSON: u32 = 1;

#[inline]
pub(super) fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(data, at))
}

#[inline]
pub(super) fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(data, at))
}

#[inline]
pub(super) fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(data, at))
}

#[inline]
pub(super) fn i64_at(data: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(array_at(data, at))
}

#[inline]
pub(super) fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
    data[at..at + bytes.len()].copy_from_slice(bytes);
}

#[inline]
fn array_at<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data[at..at + N].try_into().expect("the slice has the array's length")
}
