//! Reads what an earlier run left.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::ACKNOWLEDGED_FILE;
use super::reader::{next_valid, read_batch};
use super::segment::Segment;

/// What was found at open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillRecovery {
    /// Whole batches that are not acknowledged.
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
    /// Bytes at the end of a segment that were not a whole batch: torn by a crash, and cut off.
    pub torn_bytes: u64,
    /// Bytes in the middle of a segment that were no batch: damaged, and skipped.
    pub damaged_bytes: u64,
    /// Highest sequence that is or was stored here, 0 where none is.
    pub last_sequence: u64,
}

pub(super) fn recover(directory: &Path) -> io::Result<(VecDeque<Segment>, u64, SpillRecovery)> {
    let acknowledged_below = read_acknowledged(&directory.join(ACKNOWLEDGED_FILE));
    let mut recovery = SpillRecovery { last_sequence: acknowledged_below.saturating_sub(1), ..Default::default() };
    let mut segments = VecDeque::new();
    for (first, path) in segment_files(directory)? {
        let segment = recover_segment(directory, first, &path, acknowledged_below, &mut recovery)?;
        match segment {
            Some(segment) if segment.last >= acknowledged_below => segments.push_back(segment),
            _ => fs::remove_file(&path)?,
        }
    }
    Ok((segments, acknowledged_below, recovery))
}

fn recover_segment(
    directory: &Path,
    first: u64,
    path: &Path,
    acknowledged_below: u64,
    recovery: &mut SpillRecovery,
) -> io::Result<Option<Segment>> {
    let file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut segment = Segment::new(directory, first);
    let mut offset = 0;
    let mut is_empty = true;
    while offset < end {
        let Some((sequence, batch)) = read_batch(&file, offset, end)? else {
            let next = next_valid(&file, offset + 1, end)?;
            if next == end {
                recovery.torn_bytes += end - offset;
                OpenOptions::new().write(true).open(path)?.set_len(offset)?;
                break;
            }
            recovery.damaged_bytes += next - offset;
            offset = next;
            continue;
        };
        let bytes = batch.byte_len() as u64;
        segment.note(sequence, offset, bytes);
        is_empty = false;
        recovery.last_sequence = recovery.last_sequence.max(sequence);
        if sequence >= acknowledged_below {
            recovery.batches += 1;
            recovery.records += u64::from(batch.record_count());
            recovery.bytes += bytes;
        }
        offset += bytes;
    }
    Ok((!is_empty).then_some(segment))
}

/// Segment files by the sequence in their names, ascending.
fn segment_files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).filter(|_| is_segment);
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A position that can't be read is forgotten: batches are delivered again, none is lost.
fn read_acknowledged(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
