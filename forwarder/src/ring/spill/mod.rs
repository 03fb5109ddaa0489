//! The spill: what a slow destination still needs when the ring has moved on, on disk.
//!
//! ```text
//!  ring evicts ──store──► queue (memory, bounded) ──writer thread──► 00000000000000000042.seg … (disk, bounded)
//!                              │                                          │
//!                              └──────────── fetch(from) ◄────────────────┘
//!  destination is done ──acknowledge──► `acknowledged` file, then whole segments are deleted
//! ```
//!
//! One spill belongs to one destination and has one directory. A segment is named by the sequence of its first
//! batch (20 digits) and holds batches in their stored form one after the other, nothing between.
//!
//! **Writing.** `store` only pushes to the queue: it is called under the ring's lock. The writer appends and syncs;
//! a batch leaves the queue when it is synced, so what is fetched before that comes from memory.
//!
//! **Full.** As in the ring, the oldest makes room: a whole segment is dropped and what of it was still needed is
//! counted. A queue that is full (the disk is slower than the ring) refuses the newest, which the ring counts. A
//! disk that fails is retried with a pause; nothing is deleted for it.
//!
//! **Acknowledging.** First the position is saved, then segments below it are deleted. After a crash the
//! acknowledgements of the last sync interval may be forgotten: those batches are delivered again.
//!
//! **Recovery** reads every segment. What is torn at the end is cut off; what is damaged in the middle is skipped
//! to the next batch whose checksum holds. Both are counted.

mod counters;
mod reader;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::reader::ReadPlace;
use self::segment::Segment;
use super::{Loss, Overflow};
use crate::record::Batch;
use crate::sys::files;

pub use counters::SpillCounters;
pub use recovery::SpillRecovery;

const ACKNOWLEDGED_FILE: &str = "acknowledged";

/// Where a spill lies and how large it may get.
#[derive(Clone, Debug)]
pub struct SpillOptions {
    pub directory: PathBuf,
    /// Bytes of all segments together.
    pub max_bytes: u64,
    /// Bytes of one segment: what is dropped or deleted at once. At most a quarter of `max_bytes` is used.
    pub segment_bytes: u64,
    /// Bytes of batches that wait in memory to be written and synced.
    pub queue_bytes: usize,
    /// The longest time that a stored batch is not yet safe from a power cut.
    pub sync_interval: Duration,
}

impl SpillOptions {
    pub fn new(directory: impl Into<PathBuf>, max_bytes: u64) -> Self {
        Self {
            directory: directory.into(),
            max_bytes,
            segment_bytes: 8 << 20,
            queue_bytes: 8 << 20,
            sync_interval: Duration::from_millis(200),
        }
    }
}

/// The spill's directory can't be used.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {path}: {source}")]
pub struct SpillError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A destination's batches on disk. Dropping it writes and syncs what waits.
pub struct Spill {
    shared: Arc<Shared>,
    place: Mutex<Option<ReadPlace>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    options: SpillOptions,
    state: Mutex<State>,
    /// Something for the writer to do.
    work: Condvar,
    /// The writer has synced.
    synced: Condvar,
    counters: SpillCounters,
}

struct State {
    /// Not synced yet, oldest first; the first `written` of them are in the last segment already.
    queue: VecDeque<(u64, Arc<Batch>)>,
    queue_bytes: usize,
    written: usize,
    segments: VecDeque<Segment>,
    acknowledged_below: u64,
    /// Batches below were given to the reader: dropping them loses nothing.
    fetched_below: u64,
    loss: Loss,
    closing: bool,
}

impl Spill {
    /// Opens the directory, recovers what is in it and starts the writer thread.
    ///
    /// # Errors
    /// Where the directory can't be created, read or written. Damaged content is not an error: it is counted.
    pub fn open(options: SpillOptions) -> Result<(Self, SpillRecovery), SpillError> {
        let fail = |what| {
            let path = options.directory.clone();
            move |source| SpillError { what, path, source }
        };
        files::create_private_directory(&options.directory).map_err(fail("create"))?;
        let (segments, acknowledged_below, recovery) =
            recovery::recover(&options.directory).map_err(fail("recover"))?;
        let shared = Arc::new(Shared {
            options: options.clone(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                queue_bytes: 0,
                written: 0,
                segments,
                acknowledged_below,
                fetched_below: acknowledged_below,
                loss: Loss::default(),
                closing: false,
            }),
            work: Condvar::new(),
            synced: Condvar::new(),
            counters: SpillCounters::default(),
        });
        let own = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("spill".into()).spawn(move || writer::run(&own));
        let writer = spawned.map_err(fail("start the writer of"))?;
        Ok((Self { shared, place: Mutex::new(None), writer: Some(writer) }, recovery))
    }

    pub fn counters(&self) -> &SpillCounters {
        &self.shared.counters
    }

    /// Waits until everything stored before is safe from a power cut. Blocks on the disk.
    pub fn sync(&self) {
        let mut state = self.shared.lock();
        let Some(last) = state.queue.back().map(|(sequence, _)| *sequence) else { return };
        self.shared.work.notify_one();
        while state.queue.front().is_some_and(|(sequence, _)| *sequence <= last) {
            state = self.shared.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Overflow for Spill {
    fn store(&self, sequence: u64, batch: &Arc<Batch>) -> bool {
        let mut state = self.shared.lock();
        let newest = state.queue.back().map(|(sequence, _)| *sequence);
        let newest = newest.or_else(|| state.segments.back().map(|segment| segment.last));
        if newest.is_some_and(|newest| newest >= sequence) || state.closing {
            // Already there: a batch is stored when the ring lets go of it, or at the end, whichever comes first.
            return newest.is_some_and(|newest| newest >= sequence);
        }
        if state.queue_bytes + batch.capacity() > self.shared.options.queue_bytes && !state.queue.is_empty() {
            self.shared.counters.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return false;
        }
        state.queue_bytes += batch.capacity();
        state.queue.push_back((sequence, Arc::clone(batch)));
        self.shared.counters.stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.shared.work.notify_one();
        true
    }

    fn fetch(&self, from_sequence: u64) -> Option<(u64, Arc<Batch>)> {
        let found = reader::fetch(&self.shared, &self.place, from_sequence)?;
        let mut state = self.shared.lock();
        state.fetched_below = state.fetched_below.max(found.0 + 1);
        Some(found)
    }

    fn acknowledge(&self, sequence: u64) {
        let mut state = self.shared.lock();
        if sequence >= state.acknowledged_below {
            state.acknowledged_below = sequence + 1;
            // What is not written yet need not be.
            while state.queue.len() > state.written && state.queue[state.written].0 <= sequence {
                let written = state.written;
                if let Some((_, batch)) = state.queue.remove(written) {
                    state.queue_bytes -= batch.capacity();
                }
            }
            self.shared.work.notify_one();
        }
    }

    fn take_loss(&self) -> Option<Loss> {
        let mut state = self.shared.lock();
        let loss = std::mem::take(&mut state.loss);
        (!loss.is_empty()).then_some(loss)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
