//! A segment of the ring's files.
//!
//! ```text
//! header, 44 bytes
//!    0  magic      8    "RWRING01"
//!    8  salt       u64
//!   16  ring       u64  whose sequences and numbers of records these are
//!   24  records    u64  that the ring has had before this segment
//!   32  sequence   u64  of the first batch, as in the file's name
//!   40  crc32      u32  of all that is before
//! entry, again and again  see ring/entry.rs
//! ```
//!
//! All little-endian.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::record::{Batch, HEADER_LEN};
use crate::ring::entry::{entry_head, entry_len, new_salt, u64_of};
use crate::ring::folder;
use crate::sys::files;

const MAGIC: [u8; 8] = *b"RWRING01";
pub(super) const SEGMENT_HEADER_LEN: usize = 44;
const AT_CRC: usize = 40;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: u64,
    pub(super) ring: u64,
    pub(super) records: u64,
    pub(super) first: u64,
}

/// The segment that is appended to.
pub(super) struct OpenSegment {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    /// Sequence of the last batch.
    pub(super) last: u64,
    header: Header,
    file: File,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        for (index, number) in [self.salt, self.ring, self.records, self.first].into_iter().enumerate() {
            bytes[8 + 8 * index..][..8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..AT_CRC]);
        bytes[AT_CRC..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` where the file does not begin like a segment.
    pub(super) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        if bytes[..8] != MAGIC || crc32fast::hash(&bytes[..AT_CRC]).to_le_bytes() != bytes[AT_CRC..] {
            return Ok(None);
        }
        let number = |index: usize| u64_of(&bytes[8 + 8 * index..]);
        Ok(Some(Self { salt: number(0), ring: number(1), records: number(2), first: number(3) }))
    }
}

impl OpenSegment {
    /// A segment without batches. One of this name that failed half-way is written anew.
    pub(super) fn create(directory: &Path, ring: u64, first: u64, records: u64) -> io::Result<Self> {
        let header = Header { salt: new_salt(first), ring, records, first };
        let path = folder::path(directory, first);
        let file = files::private_file().create(true).truncate(true).open(&path)?;
        let segment = Self { len: SEGMENT_HEADER_LEN as u64, last: first, path, header, file };
        match segment.file.write_all_at(&header.encode(), 0) {
            Ok(()) => Ok(segment),
            Err(error) => {
                segment.cut_off();
                Err(error)
            }
        }
    }

    /// Appends a batch by one call, which the kernel may do in parts where room runs out.
    pub(super) fn write(&mut self, sequence: u64, records_before: u64, batch: &Batch) -> io::Result<()> {
        let head = entry_head(self.header.salt, records_before - self.header.records, sequence, batch);
        let rest = &batch.data()[HEADER_LEN..];
        let mut offset = self.len;
        let mut parts = [IoSlice::new(&head), IoSlice::new(rest)];
        let mut left = parts.as_mut_slice();
        while !left.is_empty() {
            match rustix::io::pwritev(&self.file, left, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        debug_assert_eq!(offset, self.len + entry_len(batch));
        self.len = offset;
        self.last = sequence;
        Ok(())
    }

    /// After a failure: what is half written is cut off. `false`: nothing is left, and the file is gone.
    pub(super) fn cut_off(self) -> bool {
        let is_empty = self.len == SEGMENT_HEADER_LEN as u64;
        let cut = if is_empty { std::fs::remove_file(&self.path) } else { self.file.set_len(self.len) };
        if let Err(error) = cut {
            tracing::error!("{} can't be cut: {error}", self.path.display());
        }
        !is_empty
    }
}
