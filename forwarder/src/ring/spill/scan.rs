//! Reads a segment in order, over damage.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::segment::{Extent, Place, Segment};
use crate::record::Batch;
use crate::ring::Loss;
use crate::ring::entry::{Entry, next_entry, read_entry};

/// A place in a segment that moves on with each step.
pub(super) struct Scan {
    pub(super) segment: u64,
    file: File,
    salt: u64,
    place: Place,
    /// Batches below were passed.
    passed_below: u64,
    /// Time of the last record that was read: what is lost next was written after it.
    last_ns: i64,
}

pub(super) enum Step {
    Batch(u64, Arc<Batch>),
    /// Bytes that are no batches were passed, and with them so many records.
    Damage(Loss),
    End,
}

impl Scan {
    /// At the first batch of `from` or later.
    pub(super) fn open(segment: &Segment, from: u64) -> io::Result<Self> {
        Ok(Self {
            segment: segment.id,
            file: File::open(&segment.path)?,
            salt: segment.salt,
            place: segment.place_before(from),
            passed_below: from,
            last_ns: segment.extent.from_ns,
        })
    }

    /// Whether a batch of `from` may lie behind.
    pub(super) fn is_past(&self, from: u64) -> bool {
        from < self.passed_below
    }

    /// The next batch of `from` or later, within `extent`.
    pub(super) fn step(&mut self, extent: &Extent, from: u64) -> io::Result<Step> {
        self.passed_below = self.passed_below.max(from);
        while self.place.offset < extent.len {
            let offset = self.place.offset;
            let entry = read_entry(&self.file, self.salt, offset, extent.len)?;
            let Some(entry) = entry.filter(|entry| self.follows(entry)) else {
                return self.pass_damage(extent).map(Step::Damage);
            };
            self.place = Place {
                sequence: entry.sequence + 1,
                offset: entry.end,
                records: entry.records_before + u64::from(entry.batch.record_count()),
            };
            self.last_ns = entry.batch.last_time_ns();
            if entry.sequence >= from {
                self.passed_below = entry.sequence + 1;
                return Ok(Step::Batch(entry.sequence, Arc::new(entry.batch)));
            }
        }
        Ok(Step::End)
    }

    /// What is left of the segment can't be read.
    pub(super) fn give_up(&mut self, extent: &Extent) -> Loss {
        self.move_to(extent.len, extent.records, extent.to_ns)
    }

    fn pass_damage(&mut self, extent: &Extent) -> io::Result<Loss> {
        let mut from = self.place.offset + 1;
        while let Some((offset, entry)) = next_entry(&self.file, self.salt, from, extent.len)? {
            if self.follows(&entry) {
                return Ok(self.move_to(offset, entry.records_before, entry.batch.first_time_ns()));
            }
            from = offset + 1;
        }
        Ok(self.give_up(extent))
    }

    fn move_to(&mut self, offset: u64, records: u64, to_ns: i64) -> Loss {
        let loss = Loss {
            records: records.saturating_sub(self.place.records),
            bytes: offset - self.place.offset,
            reported_bytes: 0,
            from_ns: self.last_ns,
            to_ns,
        };
        self.place.offset = offset;
        self.place.records = records.max(self.place.records);
        loss
    }

    fn follows(&self, entry: &Entry) -> bool {
        entry.sequence >= self.place.sequence && entry.records_before >= self.place.records
    }
}
