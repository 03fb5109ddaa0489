//! The ring in files: its batches survive the end of the process, kill -9 and `switch_root`.
//!
//! ```text
//!  append ──one pwritev a batch──► 00000000000000000042.seg … ──recovery at the next start──► the ring
//!  the ring lets go ──drop_below──► whole segments are deleted
//! ```
//!
//! A batch is written before any reader gets it: so what a reader has acknowledged is always known to the next run, and
//! what is in the ring is in the kernel's hands. Nothing is synced: the files are meant for a tmpfs or pmem; on a disk they
//! survive a kill, and not a power cut. Each run begins a segment of its own; what an earlier one has torn is left to
//! the recovery. Segments go when the ring has let go of all that is in them, and the spills have it.
//!
//! A position is ([`RingPosition`]) the sequence of a batch, and how many records the ring had before in its life: so a
//! reader that comes again is told exactly how many it has missed.
//!
//! **Full, or failing.** What can't be written is in memory only and counted; it is tried again once a second, in a new
//! segment. After a restart those who had not read it are told how much it was.
//!
//! Limits: the ring's bytes and a segment more, or two where spills are slow. One process has the folder, by a lock.

mod recovery;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::segment::OpenSegment;
use crate::record::Batch;
use crate::sys::files::{self, Holder, LockError};

pub use recovery::{Gap, Recovered, RingRecovery};

const LOCK_FILE: &str = "lock";
/// After a write that failed.
const RETRY: Duration = Duration::from_secs(1);
/// What is deleted at once: this part of the ring, within bounds.
const SEGMENTS: usize = 8;
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(8 << 20);

/// The ring's files can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RingFileError {
    #[error("{path} is in use by another Ringward{holder}")]
    Locked { path: PathBuf, holder: Holder },
    #[error("could not {what} {path}: {source}")]
    Failed { what: &'static str, path: PathBuf, source: io::Error },
}

/// How far a reader is in a ring that is kept in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingPosition {
    /// Whose numbers these are.
    pub ring: u64,
    /// The batch where it goes on.
    pub sequence: u64,
    /// Records of that batch that are done.
    pub done: u32,
    /// Records that the ring has had before the one with which it goes on.
    pub records: u64,
}

/// What became of batches since the start.
#[derive(Debug, Default)]
pub struct RingFileCounters {
    pub written: AtomicU64,
    /// Could not be written: a restart would lose them.
    pub unwritten: AtomicU64,
}

/// The files, as the ring writes them.
pub struct RingFile {
    folder: PathBuf,
    id: u64,
    segment_bytes: u64,
    /// Full ones, oldest first.
    full: VecDeque<Full>,
    open: Option<OpenSegment>,
    failed: Option<Failed>,
    counters: Arc<RingFileCounters>,
    _lock: File,
}

struct Full {
    path: PathBuf,
    /// Sequence of the last batch.
    last: u64,
}

/// Since when nothing can be written.
struct Failed {
    retry_at: Instant,
    batches: u64,
}

impl RingFile {
    /// Opens the folder, which is made, and reads what an earlier run left. `ring_bytes`: the ring's bound.
    ///
    /// # Errors
    /// Where the folder can't be made, read or locked. Damaged content is none: it is counted.
    pub fn open(folder: &Path, ring_bytes: usize) -> Result<(Self, Recovered), RingFileError> {
        let fail = |what| move |source| RingFileError::Failed { what, path: folder.to_owned(), source };
        files::create_private_directory(folder).map_err(fail("create"))?;
        let lock = files::lock(&folder.join(LOCK_FILE)).map_err(|error| match error {
            LockError::Held { holder } => RingFileError::Locked { path: folder.to_owned(), holder },
            LockError::Failed(source) => fail("lock")(source),
        })?;
        let (recovered, full) = recovery::recover(folder).map_err(fail("recover"))?;
        let bytes = (ring_bytes / SEGMENTS) as u64;
        let file = Self {
            folder: folder.to_owned(),
            id: recovered.id,
            segment_bytes: bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()),
            full,
            open: None,
            failed: None,
            counters: Arc::default(),
            _lock: lock,
        };
        Ok((file, recovered))
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn counters(&self) -> Arc<RingFileCounters> {
        Arc::clone(&self.counters)
    }

    /// Writes a batch. `records_before`: of the ring's life. `false`: it could not be written.
    pub(super) fn append(&mut self, sequence: u64, records_before: u64, batch: &Batch) -> bool {
        if let Some(failed) = &mut self.failed
            && Instant::now() < failed.retry_at
        {
            failed.batches += 1;
            self.counters.unwritten.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        match self.write(sequence, records_before, batch) {
            Ok(()) => {
                self.counters.written.fetch_add(1, Ordering::Relaxed);
                if let Some(failed) = self.failed.take() {
                    tracing::info!("the ring's files are written again; {} batches are only in memory", failed.batches);
                }
                true
            }
            Err(error) => {
                self.counters.unwritten.fetch_add(1, Ordering::Relaxed);
                let retry_at = Instant::now() + RETRY;
                match &mut self.failed {
                    Some(failed) => *failed = Failed { retry_at, batches: failed.batches + 1 },
                    none => {
                        let folder = self.folder.display();
                        tracing::error!(
                            "the ring's files in {folder} can't be written: {error}; the ring goes on in memory, where a \
                             restart loses what comes until they can"
                        );
                        *none = Some(Failed { retry_at, batches: 1 });
                    }
                }
                false
            }
        }
    }

    /// The ring has let go of all batches below `sequence`.
    pub(super) fn drop_below(&mut self, sequence: u64) {
        while let Some(segment) = self.full.pop_front_if(|segment| segment.last < sequence) {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                tracing::warn!("{} can't be removed: {error}", segment.path.display());
            }
        }
    }

    fn write(&mut self, sequence: u64, records_before: u64, batch: &Batch) -> io::Result<()> {
        if let Some(open) = self.open.take_if(|open| open.len >= self.segment_bytes) {
            self.full.push_back(Full { last: open.last, path: open.path });
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(OpenSegment::create(&self.folder, self.id, sequence, records_before)?),
        };
        let written = open.write(sequence, records_before, batch);
        if written.is_err()
            && let Some(open) = self.open.take()
        {
            // The next try begins a new one: what it can't write would else be missing in the middle of this.
            let (path, last) = (open.path.clone(), open.last);
            if open.cut_off() {
                self.full.push_back(Full { path, last });
            }
        }
        written
    }
}

/// A number for a ring that is new.
fn new_id() -> u64 {
    RandomState::new().hash_one("ring")
}
