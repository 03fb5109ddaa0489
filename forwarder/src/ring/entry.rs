//! A batch in a file, as the spill and the ring's file have it.
//!
//! ```text
//! salt             u64
//! records before   u32
//! crc32            u32  of these two
//! batch            in its stored form, see record/layout.rs
//! ```
//!
//! All little-endian. The salt is random, one for each file, and stands before every batch: after damage the next entry
//! is found by it, and no log line can hold bytes that pass for one, because nobody who writes log lines knows the salt.
//! "Records before" counts the records of the file's earlier entries: the difference across damage says exactly how many
//! records are gone.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::record::{Batch, HEADER_LEN};

const FRAME_LEN: usize = 16;
/// Bytes of an entry before the part of the batch that is written as it is.
const HEAD_LEN: usize = FRAME_LEN + HEADER_LEN;

/// A batch as it was found in a file.
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) batch: Batch,
    pub(super) records_before: u64,
    /// Offset just after it.
    pub(super) end: u64,
}

/// A number that nobody knows who writes log lines.
pub(super) fn new_salt(first: u64) -> u64 {
    // Seeded by the kernel's random numbers, once per process, and counted on from there.
    RandomState::new().hash_one(first)
}

/// What is written at the end of a file for a batch: this, and what is left of the batch after its header.
pub(super) fn entry_head(salt: u64, records_before: u64, sequence: u64, batch: &Batch) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&salt.to_le_bytes());
    let records = u32::try_from(records_before).expect("a file is smaller than 4 Gi records");
    head[8..12].copy_from_slice(&records.to_le_bytes());
    let crc = crc32fast::hash(&head[..12]);
    head[12..FRAME_LEN].copy_from_slice(&crc.to_le_bytes());
    head[FRAME_LEN..].copy_from_slice(&batch.stamp(sequence));
    head
}

/// Bytes that a batch takes in a file.
pub(super) fn entry_len(batch: &Batch) -> u64 {
    (FRAME_LEN + batch.byte_len()) as u64
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

pub(super) fn u64_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}
