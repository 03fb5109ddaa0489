//! A container's log file with the rotated files beside it, read as one: oldest first, and on across rotations.
//!
//! Rotated siblings are `<n>.log.<timestamp>` of kubelet and `<id>-json.log.<n>` of Docker, where the highest number is
//! the oldest. Compressed ones are not read. A line that is not finished is left for a later call.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::reader::{Chunk, ReadError, Reader};
use crate::source::container::LogFile;

/// A file that was last written so long before a time may still have a line of that time: stamps are of the runtime, file
/// times of the kernel's last tick.
const STAMP_SLACK: Duration = Duration::from_secs(1);

pub struct Series {
    log: LogFile,
    /// Oldest first, never empty. The last one grows.
    files: VecDeque<Reader>,
}

impl Series {
    /// Opens the files that may have lines of `since_ns` and later, in all at most the newest `most` bytes, and goes near
    /// the first of these lines: older ones may come first.
    ///
    /// # Errors
    /// Where the newest file can't be read. Rotated files that vanish meanwhile are no error.
    pub fn open(log: &LogFile, since_ns: i64, most: u64) -> Result<Self, ReadError> {
        // Opened before the siblings are listed: rotated meanwhile, it would be read twice or not at all otherwise.
        let newest = Reader::open(&log.path, log.format, 0)?;
        let mut total = newest.length();
        let mut files = VecDeque::from([newest]);
        for sibling in rotated(&log.path).into_iter().rev() {
            if total >= most {
                break;
            }
            let Ok(reader) = Reader::open(&sibling, log.format, 0) else { continue };
            if files.iter().any(|file| file.inode() == reader.inode()) {
                continue;
            }
            if is_older(&sibling, since_ns) {
                break;
            }
            total += reader.length();
            files.push_front(reader);
        }
        let mut series = Self { log: log.clone(), files };
        let excess = total.saturating_sub(most);
        let oldest = &mut series.files[0];
        if since_ns > 0 {
            oldest.seek_time(since_ns)?;
        }
        if excess > oldest.offset() {
            oldest.seek_near(excess)?;
        }
        Ok(series)
    }

    /// The next piece, or `None` at the present end.
    ///
    /// # Errors
    /// Where a file can't be read any more.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        loop {
            if let Some(chunk) = self.files[0].next_chunk()? {
                return Ok(Some(chunk));
            }
            if self.files.len() == 1 && !self.follow_rotation()? {
                return Ok(None);
            }
            // Looked at again: what was written before the next file was begun.
            if let Some(chunk) = self.files[0].next_chunk()? {
                return Ok(Some(chunk));
            }
            self.files.pop_front();
        }
    }

    /// Whether the runtime has begun another file, which is opened then. One that is still empty doesn't count: the last
    /// line may go into the old one.
    fn follow_rotation(&mut self) -> Result<bool, ReadError> {
        let read = self.files[0].inode();
        let is_begun = fs::metadata(&self.log.path).is_ok_and(|file| file.ino() != read && file.len() > 0);
        if !is_begun {
            return Ok(false);
        }
        let newest = Reader::open(&self.log.path, self.log.format, 0)?;
        let mut between = VecDeque::new();
        for sibling in rotated(&self.log.path).into_iter().rev() {
            let Ok(reader) = Reader::open(&sibling, self.log.format, 0) else { continue };
            match reader.inode() {
                inode if inode == read => break,
                inode if inode == newest.inode() => {}
                _ => between.push_front(reader),
            }
        }
        self.files.extend(between);
        self.files.push_back(newest);
        Ok(true)
    }
}

fn is_older(path: &Path, since_ns: i64) -> bool {
    let since = UNIX_EPOCH + Duration::from_nanos(u64::try_from(since_ns).unwrap_or(0));
    let written = fs::metadata(path).and_then(|file| file.modified());
    written.is_ok_and(|written| written + STAMP_SLACK < since)
}

/// Rotated files beside `path`, oldest first.
fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(suffix) = file_name.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.')) else {
            continue;
        };
        if suffix.bytes().all(|b| b.is_ascii_digit() || b == b'-') && !suffix.is_empty() {
            found.push((suffix.to_owned(), entry.path()));
        }
    }
    // `20060102-150405` sorts as text, oldest first; Docker's `1`, `2` count up with age.
    found.sort_by(|(a, _), (b, _)| match (a.parse::<u16>(), b.parse::<u16>()) {
        (Ok(a), Ok(b)) => b.cmp(&a),
        _ => a.cmp(b),
    });
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
