//! A segment file: its form, and what is known of it without reading it.
//!
//! ```text
//! header, 16 bytes        magic "RWSPILL1", salt u64
//! entry, again and again  salt u64, records before u32, crc32 u32 of these two, batch in its stored form
//! ```
//!
//! All little-endian. The salt is random and stands before every batch: after damage the next entry is found by
//! it, and no log line can hold bytes that pass for one, because nobody who writes log lines knows the salt.
//! "Records before" counts the records of the segment's earlier entries: the difference across damage says
//! exactly how many records are gone.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::record::{Batch, HEADER_LEN};
use crate::ring::Loss;

const MAGIC: [u8; 8] = *b"RWSPILL1";
pub(super) const SEGMENT_HEADER_LEN: usize = 16;
const FRAME_LEN: usize = 16;
/// Bytes of an entry before the part of the batch that is written as it is.
const HEAD_LEN: usize = FRAME_LEN + HEADER_LEN;
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

/// A batch as it was found on disk.
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) batch: Batch,
    pub(super) records_before: u64,
    /// Offset just after it.
    pub(super) end: u64,
}

impl Segment {
    /// A segment without batches; its file is not made.
    pub(super) fn new(directory: &Path, id: u64, first: u64) -> Self {
        Self {
            id,
            path: path(directory, first).into(),
            // Seeded by the kernel's random numbers, once per process, and counted on from there.
            salt: RandomState::new().hash_one(first),
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

/// What is written at the end of a segment for a batch: this, and what is left of the batch after its header.
pub(super) fn entry_head(segment: &Segment, sequence: u64, batch: &Batch) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&segment.salt.to_le_bytes());
    let records = u32::try_from(segment.extent.records).expect("a segment is smaller than 4 Gi records");
    head[8..12].copy_from_slice(&records.to_le_bytes());
    let crc = crc32fast::hash(&head[..12]);
    head[12..FRAME_LEN].copy_from_slice(&crc.to_le_bytes());
    head[FRAME_LEN..].copy_from_slice(&batch.stamp(sequence));
    head
}

/// Bytes that a batch takes in a segment.
pub(super) fn entry_len(batch: &Batch) -> u64 {
    (FRAME_LEN + batch.byte_len()) as u64
}

/// The file of the segment that begins with `first`.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.seg"))
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

/// The entry at `offset`; `None` where the bytes up to `end` are not a whole one.
pub(super) fn read_entry(file: &File, salt: u64, offset: u64, end: u64) -> io::Result<Option<Entry>> {
    let left = end.saturating_sub(offset);
    let mut head = [0; HEAD_LEN];
    if left < HEAD_LEN as u64 || !read_whole(file, &mut head, offset)? {
        return Ok(None);
    }
    let is_ours = head[..8] == salt.to_le_bytes() && crc32fast::hash(&head[..12]).to_le_bytes() == head[12..FRAME_LEN];
    let Some(len) = Batch::peek_len(&head[FRAME_LEN..]).ok().filter(|_| is_ours) else { return Ok(None) };
    if (FRAME_LEN + len) as u64 > left {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    if !read_whole(file, &mut bytes, offset + FRAME_LEN as u64)? {
        return Ok(None);
    }
    let Ok((sequence, batch)) = Batch::parse(Bytes::from(bytes)) else { return Ok(None) };
    let records_before = u64::from(u32::from_le_bytes([head[8], head[9], head[10], head[11]]));
    Ok(Some(Entry { sequence, records_before, end: offset + entry_len(&batch), batch }))
}

/// The first whole entry at `from` or later and its offset; `None` where there is none before `end`.
pub(super) fn next_entry(file: &File, salt: u64, from: u64, end: u64) -> io::Result<Option<(u64, Entry)>> {
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    for found in memchr::memmem::find_iter(&bytes[..filled], &salt.to_le_bytes()) {
        let offset = from + found as u64;
        if let Some(entry) = read_entry(file, salt, offset, end)? {
            return Ok(Some((offset, entry)));
        }
    }
    Ok(None)
}

/// `false` where the file ends before.
fn read_whole(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}
