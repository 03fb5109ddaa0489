//! The spill: what a slow destination still needs when the ring has moved on, on disk.
//!
//! ```text
//!  ring evicts ──store──► queue (memory, bounded) ──writer──► 00000000000000000042.seg … (disk, bounded)
//!                              │                                          │
//!                              │                                        reader
//!                              │                                          ▼
//!                              └──────────── fetch(from) ◄──── read ahead (memory, bounded)
//!  destination is done ──acknowledge──► keeper: `acknowledged` file, then whole segments are deleted
//! ```
//!
//! One spill belongs to one destination and has one directory. A segment is named by the sequence of its first
//! batch (20 digits); its form is in `segment.rs`. Neither `store` nor `fetch` waits for a disk.
//!
//! **Writing.** `store` only pushes to the queue: it is called under the ring's lock. A batch leaves the queue when it
//! is written, and is then safe from the end of the process; another thread, the keeper, syncs what was written once
//! in a sync interval, and then it is safe from a power cut.
//!
//! **Full.** As in the ring, the oldest makes room: a whole segment is dropped and what of it was still needed is
//! counted. A queue that is full (the disk is slower than the ring) refuses the newest, which the ring counts. A
//! disk that fails is retried with a pause; nothing is deleted for it.
//!
//! **Acknowledging.** First the position is saved, then segments below it are deleted, at most once in a sync
//! interval and only while something is on disk. After a crash the acknowledgements of the last interval may be
//! forgotten: those batches are delivered again.
//!
//! **Recovery** reads every segment. What is torn at the end is cut off; what is damaged in the middle is skipped
//! to the next batch, and the records in it are counted exactly.

mod acknowledged;
mod counters;
mod keeper;
mod read_ahead;
mod recovery;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::read_ahead::{Ahead, ReadAhead};
use self::recovery::Recovered;
use self::segment::Segment;
use super::{Fetched, Loss, OnReady, Overflow};
use crate::record::Batch;
use crate::sys::files;

pub use counters::SpillCounters;
pub use recovery::SpillRecovery;

/// How long the end of the program waits for a disk that is slow, for all batches together.
const STORE_PATIENCE: Duration = Duration::from_secs(3);

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
    threads: Vec<JoinHandle<()>>,
    /// When the first of the last batches came.
    last_stores: OnceLock<Instant>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    options: SpillOptions,
    state: Mutex<State>,
    /// Something for the writer to do.
    to_write: Condvar,
    /// Something for the keeper to do.
    to_keep: Condvar,
    /// Something for the reader to do.
    to_read: Condvar,
    /// Something was written, synced or acknowledged.
    progress: Condvar,
    counters: SpillCounters,
    on_ready: OnceLock<OnReady>,
}

struct State {
    /// Not written yet, oldest first.
    queue: VecDeque<(u64, Arc<Batch>)>,
    queue_bytes: usize,
    /// What is written, oldest first; none is empty.
    segments: VecDeque<Segment>,
    /// Files with something that is not synced.
    unsynced: VecDeque<Unsynced>,
    synced_below: u64,
    ahead: ReadAhead,
    acknowledged_below: u64,
    /// Batches below were read by the destination before they came here: dropping them loses nothing.
    read_below: u64,
    /// Highest sequence that was ever stored.
    newest: Option<u64>,
    loss: Loss,
    closing: bool,
    writer_has_ended: bool,
}

struct Unsynced {
    segment: u64,
    file: Arc<File>,
    /// The last batch in it.
    last: u64,
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
        let Recovered { segments, acknowledged_below, report } =
            recovery::recover(&options.directory).map_err(fail("recover"))?;
        let next_id = segments.iter().map(|segment| segment.id + 1).max().unwrap_or(0);
        let shared = Arc::new(Shared {
            options: options.clone(),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                queue_bytes: 0,
                unsynced: VecDeque::new(),
                synced_below: 0,
                newest: segments.back().map(|segment| segment.extent.last),
                segments,
                ahead: ReadAhead::default(),
                acknowledged_below,
                read_below: 0,
                loss: Loss::default(),
                closing: false,
                writer_has_ended: false,
            }),
            to_write: Condvar::new(),
            to_keep: Condvar::new(),
            to_read: Condvar::new(),
            progress: Condvar::new(),
            counters: SpillCounters::default(),
            on_ready: OnceLock::new(),
        });
        let mut spill = Self { shared, threads: Vec::new(), last_stores: OnceLock::new(), reader: Mutex::new(None) };
        let (writer, keeper) = (Arc::clone(&spill.shared), Arc::clone(&spill.shared));
        let writer =
            spawn("spill-write", move || writer::run(&writer, next_id)).map_err(fail("start the writer of"))?;
        spill.threads.push(writer);
        let keep = move || keeper::run(&keeper, acknowledged_below);
        spill.threads.push(spawn("spill-keep", keep).map_err(fail("start the keeper of"))?);
        Ok((spill, report))
    }

    pub fn counters(&self) -> &SpillCounters {
        &self.shared.counters
    }

    /// Waits until everything stored before is safe from a power cut, or acknowledged. Blocks on the disk.
    pub fn sync(&self) {
        let mut state = self.shared.lock();
        let Some(newest) = state.newest else { return };
        let is_waited_for = |state: &mut State| {
            let is_recovered = state.unsynced.is_empty() && state.queue.is_empty() && state.synced_below == 0;
            state.synced_below.max(state.acknowledged_below) <= newest && !is_recovered
        };
        state = self.shared.progress.wait_while(state, is_waited_for).unwrap_or_else(PoisonError::into_inner);
        drop(state);
    }

    /// `false`: there is no thread; it is tried again at the next fetch.
    fn start_reader(&self) -> bool {
        let own = Arc::clone(&self.shared);
        match spawn("spill-read", move || read_ahead::run(&own)) {
            Ok(thread) => {
                *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
                true
            }
            Err(error) => {
                tracing::error!("no thread to read the spill in {}: {error}", self.shared.options.directory.display());
                false
            }
        }
    }
}

impl Overflow for Spill {
    fn store(&self, sequence: u64, batch: &Arc<Batch>, is_read: bool) -> bool {
        let mut state = self.shared.lock();
        if is_read {
            state.read_below = state.read_below.max(sequence + 1);
        }
        if state.newest.is_some_and(|newest| newest >= sequence) {
            // Already there: a batch is stored when the ring lets go of it, or at the end, whichever comes first.
            return true;
        }
        let is_full = state.queue_bytes + batch.capacity() > self.shared.options.queue_bytes;
        if state.closing || (is_full && !state.queue.is_empty()) {
            self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        state.newest = Some(sequence);
        state.queue_bytes += batch.capacity();
        state.queue.push_back((sequence, Arc::clone(batch)));
        self.shared.counters.stored.fetch_add(1, Ordering::Relaxed);
        self.shared.to_write.notify_one();
        true
    }

    fn store_last(&self, sequence: u64, batch: &Arc<Batch>, is_read: bool) -> bool {
        let state = self.shared.lock();
        let has_no_room = |state: &mut State| {
            !state.queue.is_empty() && state.queue_bytes + batch.capacity() > self.shared.options.queue_bytes
        };
        let left = STORE_PATIENCE.saturating_sub(self.last_stores.get_or_init(Instant::now).elapsed());
        drop(self.shared.progress.wait_timeout_while(state, left, has_no_room));
        self.store(sequence, batch, is_read)
    }

    fn fetch(&self, from_sequence: u64) -> Fetched {
        let mut state = self.shared.lock();
        let from = from_sequence.max(state.acknowledged_below);
        // What is on disk lies below the queue.
        match state.take_ahead(from) {
            Ahead::Batch(sequence, batch) => {
                self.shared.to_read.notify_one();
                Fetched::Batch(sequence, batch)
            }
            Ahead::Pending => {
                if !state.ahead.started {
                    state.ahead.started = self.start_reader();
                }
                self.shared.to_read.notify_one();
                Fetched::Pending
            }
            Ahead::Nothing => match state.queue.iter().find(|(sequence, _)| *sequence >= from) {
                Some((sequence, batch)) => Fetched::Batch(*sequence, Arc::clone(batch)),
                None => Fetched::Nothing,
            },
        }
    }

    fn acknowledge(&self, sequence: u64) {
        let mut state = self.shared.lock();
        if sequence < state.acknowledged_below {
            return;
        }
        state.acknowledged_below = sequence + 1;
        // What is not written yet need not be.
        while let Some((_, batch)) = state.queue.pop_front_if(|(queued, _)| *queued <= sequence) {
            state.queue_bytes -= batch.capacity();
        }
        if !state.segments.is_empty() {
            self.shared.to_keep.notify_one();
        }
        self.shared.progress.notify_all();
    }

    fn take_loss(&self) -> Option<Loss> {
        let mut state = self.shared.lock();
        let loss = std::mem::take(&mut state.loss);
        (!loss.is_empty()).then_some(loss)
    }

    fn safe_below(&self) -> u64 {
        // What is not in the queue any more is written.
        self.shared.lock().queue.front().map_or(u64::MAX, |(sequence, _)| *sequence)
    }

    fn on_ready(&self, notify: OnReady) {
        let _ = self.shared.on_ready.set(notify);
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.to_write.notify_one();
        self.shared.to_read.notify_one();
        let reader = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        for thread in self.threads.drain(..).chain(reader) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a fetch was waiting for may be there.
    fn on_ready(&self) {
        if let Some(notify) = self.on_ready.get() {
            notify();
        }
    }
}
