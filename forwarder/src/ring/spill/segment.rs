//! A segment file: its form, and what is known of it without reading it.
//!
//! ```text
//! header, 16 bytes        magic "RWSPILL1", salt u64
//! entry, again and again  see ring/entry.rs
//! ```
//!
//! All little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::record::Batch;
use crate::ring::Loss;
use crate::ring::entry::{Entry, entry_len, new_salt, u64_of};
use crate::ring::folder;

const MAGIC: [u8; 8] = *b"RWSPILL1";
pub(super) const SEGMENT_HEADER_LEN: usize = 16;
/// Segment bytes per entry of the index: one per batch would be 80 MB for a GiB of small batches.
const INDEX_BYTES: u64 = 64 << 10;

/// What is written of a segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Unique within the spill; a file of the same name may be another segment.
    pub(super) id: u64,
    pub(super) path: Arc<Path>,
    pub(super) salt: u64,
    /// Sequence of the first batch, and the file's name.
    pub(super) first: u64,
    pub(super) extent: Extent,
    index: Vec<Place>,
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Bytes, the header included.
    pub(super) len: u64,
    /// Sequence of the last batch.
    pub(super) last: u64,
    pub(super) records: u64,
    pub(super) from_ns: i64,
    pub(super) to_ns: i64,
}

/// An entry's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) offset: u64,
    /// Records of the segment before it.
    pub(super) records: u64,
}

impl Segment {
    /// A segment without batches; its file is not made.
    pub(super) fn new(directory: &Path, id: u64, first: u64) -> Self {
        Self {
            id,
            path: folder::path(directory, first).into(),
            salt: new_salt(first),
            first,
            extent: Extent { len: SEGMENT_HEADER_LEN as u64, last: first, records: 0, from_ns: 0, to_ns: 0 },
            index: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.extent.len <= SEGMENT_HEADER_LEN as u64
    }

    pub(super) fn header(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut header = [0; SEGMENT_HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..].copy_from_slice(&self.salt.to_le_bytes());
        header
    }

    /// A batch was appended.
    pub(super) fn note(&mut self, sequence: u64, batch: &Batch) {
        let offset = self.extent.len;
        if self.index.last().is_none_or(|place| offset - place.offset >= INDEX_BYTES) {
            self.index.push(Place { sequence, offset, records: self.extent.records });
        }
        let (from_ns, to_ns) = (batch.first_time_ns(), batch.last_time_ns());
        let is_first = self.is_empty();
        self.extent = Extent {
            len: offset + entry_len(batch),
            last: sequence,
            records: self.extent.records + u64::from(batch.record_count()),
            from_ns: if is_first { from_ns } else { from_ns.min(self.extent.from_ns) },
            to_ns: if is_first { to_ns } else { to_ns.max(self.extent.to_ns) },
        };
    }

    /// The batch at `entry` is there, whatever is before it.
    pub(super) fn note_found(&mut self, entry: &Entry) {
        self.extent.len = entry.end - entry_len(&entry.batch);
        self.extent.records = entry.records_before;
        self.note(entry.sequence, &entry.batch);
    }

    /// An entry at or before the first one of `sequence` or later.
    pub(super) fn place_before(&self, sequence: u64) -> Place {
        let index = self.index.partition_point(|place| place.sequence <= sequence);
        let start = Place { sequence: self.first, offset: SEGMENT_HEADER_LEN as u64, records: 0 };
        index.checked_sub(1).map_or(start, |index| self.index[index])
    }

    /// All of it.
    pub(super) fn as_loss(&self) -> Loss {
        let Extent { len, records, from_ns, to_ns, .. } = self.extent;
        Loss { records, bytes: len, reported_bytes: 0, from_ns, to_ns }
    }
}

/// The salt of a segment file; `None` where it does not begin like one.
pub(super) fn read_salt(file: &File) -> io::Result<Option<u64>> {
    let mut header = [0; SEGMENT_HEADER_LEN];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) if header[..8] == MAGIC => Ok(Some(u64_of(&header[8..]))),
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
