//! A segment file and its sparse index.

use std::path::{Path, PathBuf};

use crate::record::{Batch, HEADER_LEN};

/// Segment bytes per entry of the index: one per batch would be 80 MB for a GiB of small batches.
const INDEX_BYTES: u64 = 64 << 10;

/// A segment: batches of ascending sequences, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Bytes that are batches; the file may be longer while one is being written.
    pub(super) len: u64,
    /// (sequence, offset) of some batches, ascending; the first one always.
    index: Vec<(u64, u64)>,
}

impl Segment {
    pub(super) fn new(directory: &Path, first: u64) -> Self {
        Self { path: directory.join(format!("{first:020}.seg")), first, last: first, len: 0, index: Vec::new() }
    }

    /// A batch of `bytes` was appended.
    pub(super) fn note(&mut self, sequence: u64, offset: u64, bytes: u64) {
        if self.index.last().is_none_or(|(_, before)| offset - before >= INDEX_BYTES) {
            self.index.push((sequence, offset));
        }
        self.last = sequence;
        self.len = offset + bytes;
    }

    /// Offset of a batch at or before the first one of `sequence` or later.
    pub(super) fn offset_before(&self, sequence: u64) -> u64 {
        let index = self.index.partition_point(|(known, _)| *known <= sequence);
        self.index.get(index.saturating_sub(1)).map_or(0, |(_, offset)| *offset)
    }
}

/// The stored form of a batch: the header with sequence and checksum, and the rest.
pub(super) fn stored_form(sequence: u64, batch: &Batch) -> ([u8; HEADER_LEN], &[u8]) {
    (batch.stamp(sequence), &batch.data()[HEADER_LEN..])
}
