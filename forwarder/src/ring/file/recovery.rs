//! Reads what an earlier run left in the ring's files.
//!
//! What is torn at the end of a segment, damaged in the middle, or could not be written at the time, is a gap: how many
//! records are gone there follows from the numbers before and after it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::{Header, SEGMENT_HEADER_LEN};
use super::{Full, RingPosition, new_id};
use crate::record::Batch;
use crate::ring::entry::{next_entry, read_entry};
use crate::ring::folder::segment_files;
use crate::ring::resume::positions;
use crate::ring::{Checkpoint, Loss};

/// What was found at open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingRecovery {
    pub batches: u64,
    pub records: u64,
    /// Records that are missing between others.
    pub missing: u64,
    /// Bytes that were no batch: torn or damaged.
    pub damaged_bytes: u64,
    /// Files that are no segment of this ring: left as they are, under another name.
    pub unreadable_files: u64,
}

/// Records of the ring's life that are not there: from one number to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: u64,
    pub to: u64,
    pub from_ns: i64,
    pub to_ns: i64,
}

/// What an earlier run left.
pub struct Recovered {
    pub id: u64,
    /// With the number of records that the ring has had before each.
    pub(in crate::ring) batches: Vec<(u64, u64, Arc<Batch>)>,
    pub(in crate::ring) gaps: Vec<Gap>,
    /// Records that the ring has had.
    pub(in crate::ring) records: u64,
    /// One past the last batch, 0 where there is none.
    pub next_sequence: u64,
    /// Up to where it has what sources gave that can be read again.
    positions: Checkpoint,
    pub report: RingRecovery,
}

impl Gap {
    /// What a reader has lost here that goes on after `records`.
    pub(in crate::ring) fn loss_after(&self, records: u64) -> Loss {
        let lost = self.to.saturating_sub(self.from.max(records));
        Loss { records: lost, bytes: 0, reported_bytes: 0, from_ns: self.from_ns, to_ns: self.to_ns }
    }
}

impl Recovered {
    /// Up to where sources need not be read again, because everything from there on that one of these readers has not is
    /// here; nothing where that is not so. A reader with a spill needs nothing from before the first batch.
    pub fn continued<'a>(&self, readers: impl Iterator<Item = (Option<&'a RingPosition>, bool)>) -> Checkpoint {
        let first = self.batches.first().map_or(self.records, |(_, before, _)| *before);
        let is_covered = |(position, spills): (Option<&RingPosition>, bool)| {
            position.is_some_and(|position| {
                let is_after = |gap: &Gap| gap.to <= position.records.max(first);
                position.ring == self.id && (position.records >= first || spills) && self.gaps.iter().all(is_after)
            })
        };
        let mut readers = readers;
        if readers.all(is_covered) { self.positions.clone() } else { Checkpoint::new() }
    }

    /// After what else is known of the ring: its sequences and numbers only go up.
    pub fn raise(&mut self, position: &RingPosition) {
        if position.ring == self.id && position.records > self.records {
            let to_ns = self.batches.last().map_or(0, |(_, _, batch)| batch.last_time_ns());
            self.gaps.push(Gap { from: self.records, to: position.records, from_ns: to_ns, to_ns });
            self.records = position.records;
        }
    }

    fn take(&mut self, sequence: u64, before: u64, batch: Batch) {
        if before > self.records && !self.batches.is_empty() {
            let from_ns = self.batches.last().map_or(0, |(_, _, batch)| batch.last_time_ns());
            self.report.missing += before - self.records;
            self.gaps.push(Gap { from: self.records, to: before, from_ns, to_ns: batch.first_time_ns() });
        } else if before > 0 && self.batches.is_empty() {
            // What the earlier run had let go of.
            let ns = batch.first_time_ns();
            self.gaps.push(Gap { from: 0, to: before, from_ns: ns, to_ns: ns });
        }
        self.records = before + u64::from(batch.record_count());
        self.next_sequence = sequence + 1;
        self.report.batches += 1;
        self.report.records += u64::from(batch.record_count());
        if batch.has_positions() {
            for (source, position) in positions(&batch, batch.record_count()) {
                let highest = self.positions.entry(source).or_insert(0);
                *highest = position.max(*highest);
            }
        }
        self.batches.push((sequence, before, Arc::new(batch)));
    }
}

pub(super) fn recover(directory: &Path) -> io::Result<(Recovered, VecDeque<Full>)> {
    let mut recovered = Recovered {
        id: new_id(),
        batches: Vec::new(),
        gaps: Vec::new(),
        records: 0,
        next_sequence: 0,
        positions: Checkpoint::new(),
        report: RingRecovery::default(),
    };
    let mut segments = Vec::new();
    for (first, path) in segment_files(directory)? {
        let file = File::open(&path)?;
        let end = file.metadata()?.len();
        match Header::read(&file)?.filter(|header| header.first == first) {
            Some(header) => segments.push((header, path, file, end)),
            // Cut before anything was in it.
            None if end < SEGMENT_HEADER_LEN as u64 => {
                recovered.report.damaged_bytes += end;
                std::fs::remove_file(&path)?;
            }
            None => set_aside(&mut recovered, &path)?,
        }
    }
    // The newest says which ring this is.
    if let Some((header, ..)) = segments.last() {
        recovered.id = header.ring;
    }
    let mut full = VecDeque::new();
    for (header, path, file, end) in segments {
        if header.ring != recovered.id {
            set_aside(&mut recovered, &path)?;
            continue;
        }
        let known = recovered.batches.len();
        read(&mut recovered, &header, &file, end)?;
        if recovered.batches.len() == known {
            std::fs::remove_file(&path)?;
        } else {
            full.push_back(Full { path, last: recovered.next_sequence - 1 });
        }
    }
    Ok((recovered, full))
}

fn read(recovered: &mut Recovered, header: &Header, file: &File, end: u64) -> io::Result<()> {
    let mut offset = SEGMENT_HEADER_LEN as u64;
    while offset < end {
        let found = match read_entry(file, header.salt, offset, end)? {
            Some(entry) => Some((offset, entry)),
            None => next_entry(file, header.salt, offset + 1, end)?,
        };
        let Some((at, entry)) = found else { break };
        recovered.report.damaged_bytes += at - offset;
        offset = entry.end;
        let before = header.records.saturating_add(entry.records_before);
        // Sequences and numbers only go up: what does not was written by nobody who kept to that.
        let follows =
            recovered.batches.is_empty() || (entry.sequence >= recovered.next_sequence && before >= recovered.records);
        if follows && entry.sequence < u64::MAX && before < u64::MAX / 2 {
            recovered.take(entry.sequence, before, entry.batch);
        } else {
            recovered.report.damaged_bytes += entry.end - at;
        }
    }
    recovered.report.damaged_bytes += end - offset;
    Ok(())
}

/// A file that means nothing to us is not deleted.
fn set_aside(recovered: &mut Recovered, path: &Path) -> io::Result<()> {
    let aside: PathBuf = path.with_extension("unreadable");
    tracing::error!("{} is no part of this ring; kept as {}", path.display(), aside.display());
    recovered.report.unreadable_files += 1;
    std::fs::rename(path, aside)
}
