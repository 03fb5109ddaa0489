//! The first bytes of a journal file.
//!
//! ```text
//!   0  "LPKSHHRH"            56  boot of the last entry       136  offset of the last object
//!   8  compatible flags u32  72  seqnum id                    144  objects
//!  12  incompatible … u32    88  length of the header         152  entries
//!  16  state u8, 7 unused    96  bytes of objects             160  seqnum of the last entry
//!  24  file id              104  data hash table: offset, len 168  seqnum of the first entry
//!  40  machine id           120  field hash table             176  offset of the first entry array
//!                                                             184  realtime of the first entry, µs; 192 of the last
//! ```

use super::{Id, JournalError, id_at, u32_at, u64_at};

/// Bytes that are needed of it; newer ones are longer.
pub const HEADER_LEN: usize = 208;

const MAGIC: &[u8; 8] = b"LPKSHHRH";
const STATE_ARCHIVED: u8 = 2;
const XZ: u32 = 1;
const LZ4: u32 = 1 << 1;
const KEYED_HASH: u32 = 1 << 2;
const ZSTD: u32 = 1 << 3;
const COMPACT: u32 = 1 << 4;
const KNOWN: u32 = XZ | LZ4 | KEYED_HASH | ZSTD | COMPACT;

/// What a journal file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether nothing will be added.
    pub is_archived: bool,
    /// Offsets in arrays have four bytes instead of eight, and data has a little more before it.
    pub compact: bool,
    /// Stays with the file whatever it is called.
    pub file_id: Id,
    /// Numbers of entries can be compared between files that share it.
    pub seqnum_id: Id,
    /// Where objects begin.
    pub len: u64,
    pub entries: u64,
    pub first_seqnum: u64,
    pub last_seqnum: u64,
    /// When the first entry came, µs since the epoch.
    pub first_realtime_us: u64,
    pub(super) first_array: u64,
}

impl Header {
    /// Reads the first [`HEADER_LEN`] bytes of a file.
    ///
    /// # Errors
    /// Where it is no journal file, or one of a kind that is not known.
    pub fn parse(bytes: &[u8]) -> Result<Self, JournalError> {
        if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
            return Err(JournalError::NoJournal);
        }
        let incompatible = u32_at(bytes, 12);
        if incompatible & !KNOWN != 0 {
            return Err(JournalError::Unknown(incompatible & !KNOWN));
        }
        let len = u64_at(bytes, 88);
        if len < HEADER_LEN as u64 || !len.is_multiple_of(8) {
            return Err(JournalError::Damaged { offset: 88, what: "the length of the header" });
        }
        Ok(Self {
            is_archived: bytes[16] == STATE_ARCHIVED,
            compact: incompatible & COMPACT != 0,
            file_id: id_at(bytes, 24),
            seqnum_id: id_at(bytes, 72),
            len,
            entries: u64_at(bytes, 152),
            first_seqnum: u64_at(bytes, 168),
            last_seqnum: u64_at(bytes, 160),
            first_realtime_us: u64_at(bytes, 184),
            first_array: u64_at(bytes, 176),
        })
    }
}
