//! The ring: a bounded sequence of batches between all sources and all readers.
//!
//! In: sealed batches from the sources' threads. Out: a [`Cursor`] per reader (destinations, views). The ring
//! never waits for a reader. A reader that falls off its end goes on from its [`Overflow`] (the spill of a
//! destination) or gets one record that says how much it lost, exactly in records.
//!
//! A mutex around a queue of handles: at five million lines a second that is some five thousand appends, so
//! a lock-free structure would save nothing that a profile shows.
//!
//! Limits: bytes (as the batches occupy memory) and records, both of [`RingLimits`]; one batch always fits.

mod cursor;
mod door;
mod loss;
mod passed;
mod resume;
mod room;
mod selection;
pub mod spill;
mod targets;
#[cfg(test)]
mod tests;
mod times;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::record::Batch;

pub use cursor::{BatchRef, Cursor, Lag, Persisted, ReaderOptions, Start};
pub use door::{Door, Entrance};
pub use loss::Loss;
pub use selection::{Selection, Wanted};
pub use targets::{MOST_TARGETS, Targets};

use targets::records_of;

/// Position per source key: what a destination has acknowledged.
pub type Checkpoint = BTreeMap<String, u64>;

/// Bounds of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Bytes of memory that the batches may occupy.
    pub bytes: usize,
    /// Records; readers that start at the oldest record get exactly so many at most.
    pub records: u64,
}

/// What [`Overflow::fetch`] finds.
#[derive(Clone, Debug)]
pub enum Fetched {
    Batch(u64, Arc<Batch>),
    /// There is one, and it is being read: [`Overflow::on_ready`] tells when to ask again.
    Pending,
    Nothing,
}

/// Called when a fetch that was pending may be repeated.
pub type OnReady = Box<dyn Fn() + Send + Sync>;

/// Keeps on disk what a slow reader still needs when the ring has to let go of it. None of its calls but
/// `store_last` waits for a disk: `store` is called under the ring's lock, and `fetch` by a thread that serves other
/// readers too.
pub trait Overflow: Send + Sync {
    /// Takes over a batch; `is_read`: its reader has it already, in case it is not acknowledged before the end.
    /// `false`: it could not be kept, the ring counts it lost for this reader.
    fn store(&self, sequence: u64, batch: &Arc<Batch>, is_read: bool) -> bool;

    /// Like `store`, at the end of the program: waits for room, for a bounded time.
    fn store_last(&self, sequence: u64, batch: &Arc<Batch>, is_read: bool) -> bool;

    /// The first stored batch of `from_sequence` or later.
    fn fetch(&self, from_sequence: u64) -> Fetched;

    /// Everything up to and including `sequence` is done and may be deleted.
    fn acknowledge(&self, sequence: u64);

    /// What was stored and could not be kept since the last call: dropped when full, or damaged.
    fn take_loss(&self) -> Option<Loss>;

    /// Called once, before anything is fetched.
    fn on_ready(&self, notify: OnReady);
}

/// Bounded sequence of batches.
pub struct Ring {
    limits: RingLimits,
    state: Mutex<State>,
    appended: Notify,
    /// A reader took a batch, or ended.
    taken: Notify,
    /// What stands before it.
    entrance: OnceLock<Arc<dyn Entrance>>,
}

struct State {
    batches: VecDeque<Entry>,
    bytes: usize,
    records: u64,
    /// Sequence of the next batch.
    next_sequence: u64,
    totals: Totals,
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
    corrections: times::Corrections,
    closed: bool,
}

struct Entry {
    sequence: u64,
    batch: Arc<Batch>,
    targets: Targets,
}

/// What readers of one selection lose with a batch: found out once, however many of them have not read it.
struct Part {
    wanted: Option<Arc<Batch>>,
    loss: Option<Loss>,
}

/// What the ring knows of a reader.
struct Reader {
    next_sequence: u64,
    /// Everything below is acknowledged.
    acknowledged_below: u64,
    overflow: Option<Arc<dyn Overflow>>,
    loss: Loss,
    wanted: Wanted,
    sets_pace: bool,
}

/// What passed through the ring since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

/// What the ring holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub batches: usize,
    pub records: u64,
    pub bytes: usize,
}

/// Where the fastest of the readers is that set a pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastestReader {
    pub next_sequence: u64,
    /// Memory of the batches that it has not read.
    pub lag_bytes: usize,
}

impl Ring {
    /// A ring whose first batch gets `first_sequence`: after a restart, one past the last that was stored.
    pub fn new(limits: RingLimits, first_sequence: u64) -> Arc<Self> {
        Arc::new(Self {
            limits,
            state: Mutex::new(State {
                batches: VecDeque::new(),
                bytes: 0,
                records: 0,
                next_sequence: first_sequence,
                totals: Totals::default(),
                readers: BTreeMap::new(),
                next_reader: 0,
                corrections: times::Corrections::default(),
                closed: false,
            }),
            appended: Notify::new(),
            taken: Notify::new(),
            entrance: OnceLock::new(),
        })
    }

    /// Appends a batch and lets go of the oldest ones past the bounds. Returns its sequence.
    /// An empty batch is ignored.
    pub fn append(&self, batch: Batch) -> u64 {
        self.append_for(batch, Targets::All)
    }

    /// Like [`Ring::append`], of records that are routed.
    pub fn append_for(&self, batch: Batch, targets: Targets) -> u64 {
        let mut state = self.lock();
        let sequence = state.next_sequence;
        if batch.is_empty() {
            return sequence;
        }
        state.next_sequence += 1;
        state.bytes += batch.capacity();
        state.records += u64::from(records_of(&batch));
        state.totals.batches += 1;
        state.totals.records += u64::from(records_of(&batch));
        state.totals.bytes += batch.byte_len() as u64;
        state.batches.push_back(Entry { sequence, batch: Arc::new(batch), targets });
        while state.is_over(self.limits) {
            state.evict();
        }
        drop(state);
        self.appended.notify_waiters();
        sequence
    }

    /// No batch will be appended any more: readers end when they have read everything.
    pub fn close(&self) {
        self.lock().closed = true;
        self.appended.notify_waiters();
    }

    /// Sequence that the next batch will get.
    pub fn next_sequence(&self) -> u64 {
        self.lock().next_sequence
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    pub fn held(&self) -> Held {
        let state = self.lock();
        Held { batches: state.batches.len(), records: state.records, bytes: state.bytes }
    }

    /// The reader that is least behind: sources that can pause without loss read no further while that is much.
    pub fn fastest_reader(&self) -> Option<FastestReader> {
        let state = self.lock();
        let pacing = state.readers.values().filter(|reader| reader.sets_pace);
        let next_sequence = pacing.map(|reader| reader.next_sequence).max()?;
        let unread = state.batches.iter().rev().take_while(|entry| entry.sequence >= next_sequence);
        Some(FastestReader { next_sequence, lag_bytes: unread.map(|entry| entry.batch.capacity()).sum() })
    }

    pub fn limits(&self) -> RingLimits {
        self.limits
    }

    /// Completes when a batch was appended after this call.
    pub fn appended(&self) -> Notified<'_> {
        self.appended.notified()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the ring's lock")
    }
}

impl State {
    /// Whether the oldest batch must go. The records bound keeps a batch as long as a part of it is inside.
    fn is_over(&self, limits: RingLimits) -> bool {
        let Some(front) = self.batches.front() else { return false };
        if self.batches.len() == 1 {
            return false;
        }
        self.bytes > limits.bytes || self.records - u64::from(records_of(&front.batch)) >= limits.records
    }

    fn evict(&mut self) {
        let Some(Entry { sequence, batch, targets }) = self.batches.pop_front() else { return };
        self.bytes -= batch.capacity();
        self.records -= u64::from(records_of(&batch));
        let mut parts: Vec<(Wanted, Part)> = Vec::new();
        for reader in self.readers.values_mut().filter(|reader| reader.acknowledged_below <= sequence) {
            let index = parts.iter().position(|(wanted, _)| *wanted == reader.wanted).unwrap_or_else(|| {
                let wanted = reader.wanted.of(&batch, &targets);
                parts.push((reader.wanted, Part { wanted, loss: None }));
                parts.len() - 1
            });
            let part = &mut parts[index].1;
            let Some(wanted) = &part.wanted else { continue };
            // A batch that was read and is in flight is held by its reader: it is not lost yet.
            let is_read = reader.next_sequence > sequence;
            let kept = reader.overflow.as_ref().is_some_and(|overflow| overflow.store(sequence, wanted, is_read));
            if !kept && !is_read {
                reader.loss.merge(*part.loss.get_or_insert_with(|| Loss::of(wanted)));
            }
        }
    }

    fn first_sequence(&self) -> u64 {
        self.batches.front().map_or(self.next_sequence, |entry| entry.sequence)
    }

    /// The first batch of `sequence` or later.
    fn batch_from(&self, sequence: u64) -> Option<(BatchRef, Targets)> {
        let index = usize::try_from(sequence.saturating_sub(self.first_sequence())).ok()?;
        let entry = self.batches.get(index)?;
        let found = BatchRef { sequence: entry.sequence, batch: Arc::clone(&entry.batch) };
        Some((found, entry.targets.clone()))
    }
}
