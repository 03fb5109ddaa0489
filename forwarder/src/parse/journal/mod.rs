//! Journal files as systemd-journald writes them: bytes of a file → entries and their fields.
//!
//! ```text
//!  header ──► entry array ──► entry array ──► …        offsets of entries, in the order in which they were added
//!                 │
//!                 ▼
//!               entry       seqnum, times, boot, offsets of its fields
//!                 │
//!                 ▼
//!               data        FIELD=value, plain or compressed (LZ4, zstd, XZ); shared by all entries that have it
//! ```
//!
//! Format: <https://systemd.io/JOURNAL_FILE_FORMAT>, which its authors promise to keep: keyed hashes, compact files and
//! all three ways of compression. Numbers are little-endian, objects begin at multiples of 8.
//!
//! Why it is read here: libsystemd can't be linked to a static binary that runs in a container beside the host's
//! /var/log/journal. The crates that read journals in Rust map files into memory (a file that journald shortens under
//! the map ends the process by SIGBUS), or give neither an entry's number for a checkpoint nor what is damaged.
//!
//! In: [`Bytes`], whatever can give a range of the file. Out: [`Head`]s and the bytes of fields. Hash tables are not
//! needed to read everything in order, and are not looked at. Every offset and length is checked: whatever the bytes
//! are, reading comes to an end and says what was wrong. No sum covers an entry, so a changed letter of a text is not seen.
//!
//! Limits: [`MOST_FIELDS`] fields in an entry; of a field, [`LONGEST_FIELD`] bytes are read and the rest is cut (by LZ4,
//! which can't be read in part, it is refused).

mod compressed;
pub mod export;
mod header;
mod object;
#[cfg(test)]
mod tests;
mod walk;

use std::io;

pub use header::{HEADER_LEN, Header};
pub use object::{Field, Head, data, entry};
pub use walk::Walk;

/// Fields of an entry; journald itself takes 1024.
pub const MOST_FIELDS: usize = 4096;
/// Bytes of a field, its name included.
pub const LONGEST_FIELD: usize = 16 << 20;

/// A number that is given to one file, boot or machine.
pub type Id = [u8; 16];

/// The content of a journal file.
pub trait Bytes {
    /// The `len` bytes at `offset`.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] where the file ends before; [`JournalError::Read`] where it can't be read.
    fn at(&mut self, offset: u64, len: usize) -> Result<&[u8], JournalError>;
}

impl Bytes for &[u8] {
    fn at(&mut self, offset: u64, len: usize) -> Result<&[u8], JournalError> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        rest.and_then(|rest| rest.get(..len)).ok_or(JournalError::Damaged { offset, what: "the file ends here" })
    }
}

/// Why something of a journal can't be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("no journal file")]
    NoJournal,
    #[error("its features are not known (incompatible flags {0:#x})")]
    Unknown(u32),
    #[error("damaged at offset {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
    #[error("{0}")]
    Read(#[from] io::Error),
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn id_at(bytes: &[u8], at: usize) -> Id {
    bytes[at..at + 16].try_into().expect("sixteen bytes")
}
