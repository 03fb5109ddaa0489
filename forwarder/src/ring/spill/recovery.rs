//! Reads what an earlier run left.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::acknowledged;
use super::segment::{SEGMENT_HEADER_LEN, Segment, read_salt};
use crate::ring::entry::{next_entry, read_entry};
use crate::ring::folder::segment_files;

/// What was found at open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillRecovery {
    /// Whole batches that are not acknowledged.
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    /// Bytes at the end of a segment that were not a whole batch: torn by a crash, and cut off.
    pub torn_bytes: u64,
    /// Bytes in the middle of a segment that were no batch: damaged. The records in them are counted as lost when
    /// the place is read.
    pub damaged_bytes: u64,
    /// Files that are no segment of this version: left as they are, under another name.
    pub unreadable_files: u64,
    /// Highest sequence that is or was stored here, 0 where none is.
    pub last_sequence: u64,
}

pub(super) struct Recovered {
    pub(super) segments: VecDeque<Segment>,
    pub(super) acknowledged_below: u64,
    pub(super) report: SpillRecovery,
}

pub(super) fn recover(directory: &Path) -> io::Result<Recovered> {
    let acknowledged_below = acknowledged::read(directory);
    let report = SpillRecovery { last_sequence: acknowledged_below.saturating_sub(1), ..Default::default() };
    let mut recovered = Recovered { segments: VecDeque::new(), acknowledged_below, report };
    // A write that failed is repeated in the next segment: each ends where the next one begins.
    let mut limit = u64::MAX;
    for (id, (first, path)) in (0..).zip(segment_files(directory)?.into_iter().rev()) {
        let segment = recovered.segment(directory, id, first, limit)?;
        let Some(segment) = segment else { continue };
        limit = segment.first;
        if segment.extent.last >= acknowledged_below {
            recovered.segments.push_front(segment);
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(recovered)
}

impl Recovered {
    fn segment(&mut self, directory: &Path, id: u64, first: u64, limit: u64) -> io::Result<Option<Segment>> {
        let mut segment = Segment::new(directory, id, first);
        let file = File::open(&segment.path)?;
        let end = file.metadata()?.len();
        if end < SEGMENT_HEADER_LEN as u64 {
            self.report.torn_bytes += end;
            return fs::remove_file(&segment.path).map(|()| None);
        }
        let Some(salt) = read_salt(&file)? else {
            self.report.unreadable_files += 1;
            let aside = segment.path.with_extension("unreadable");
            tracing::error!("{} is no spill of this version; kept as {}", segment.path.display(), aside.display());
            return fs::rename(&segment.path, aside).map(|()| None);
        };
        segment.salt = salt;
        let mut offset = SEGMENT_HEADER_LEN as u64;
        while offset < end {
            let follows = |sequence| sequence >= if segment.is_empty() { first } else { segment.extent.last + 1 };
            let here = read_entry(&file, salt, offset, end)?;
            let found = match here {
                Some(entry) => Some((offset, entry)),
                None => next_entry(&file, salt, offset + 1, end)?,
            };
            let Some((at, entry)) = found.filter(|(_, entry)| follows(entry.sequence) && entry.sequence < limit) else {
                break;
            };
            self.report.damaged_bytes += at - offset;
            offset = entry.end;
            segment.note_found(&entry);
            self.report.last_sequence = self.report.last_sequence.max(entry.sequence);
            if entry.sequence >= self.acknowledged_below {
                self.report.batches += 1;
                self.report.records += u64::from(entry.batch.record_count());
                self.report.bytes += entry.batch.byte_len() as u64;
            }
        }
        if offset < end {
            self.report.torn_bytes += end - offset;
            OpenOptions::new().write(true).open(&segment.path)?.set_len(offset)?;
        }
        if segment.is_empty() {
            return fs::remove_file(&segment.path).map(|()| None);
        }
        Ok(Some(segment))
    }
}
