//! The ring: a bounded sequence of batches between all sources and all readers.
//!
//! In: sealed batches from the sources' threads. Out: a [`Cursor`] per reader (destinations, views). The ring
//! never waits for a reader. A reader that falls off its end goes on from its [`Overflow`] (the spill of a
//! destination) or gets one record that says how much it lost, exactly in records.
//!
//! A mutex around a queue of handles: at five million lines a second that is some five thousand appends, so
//! a lock-free structure would save nothing that a profile shows.
//!
//! With [`file::RingFile`] each batch is written to a file before a reader gets it, and the next run begins with what is
//! there.
//!
//! Limits: bytes (as the batches occupy memory) and records, both of [`RingLimits`]; one batch always fits.

mod cursor;
mod door;
mod entry;
pub mod file;
mod folder;
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
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::record::Batch;
use file::{Gap, Recovered, RingFile};

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

    /// What was stored below this survives the end of the process.
    fn safe_below(&self) -> u64;
}

/// Bounded sequence of batches.
pub struct Ring {
    limits: RingLimits,
    state: Mutex<State>,
    appended: Notify,
    /// A reader took a batch, or ended.
    taken: Notify,
    /// Taken before the state, by those who append.
    file: Option<Mutex<RingFile>>,
    /// What stands before it.
    entrance: OnceLock<Arc<dyn Entrance>>,
}

struct State {
    batches: VecDeque<Entry>,
    bytes: usize,
    records: u64,
    /// Sequence of the next batch.
    next_sequence: u64,
    /// Sequence of the first batch of this run.
    run_start: u64,
    /// Records that the ring has had in its life.
    life_records: u64,
    /// Whose numbers these are, where it is kept in files.
    id: Option<u64>,
    /// What an earlier run's files have not, of that life.
    gaps: Vec<Gap>,
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
    /// Of the ring's life.
    records_before: u64,
    /// Whether the ring's files have it, or need not.
    is_kept: bool,
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
    /// Of the batch of this sequence so many records were done in an earlier run.
    done_before: Option<(u64, u64)>,
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
        Self::with(limits, State::new(first_sequence), None)
    }

    /// A ring in files, with what an earlier run has left there: also what is past the bounds, until [`Ring::settle`].
    pub fn with_file(limits: RingLimits, first_sequence: u64, file: RingFile, recovered: Recovered) -> Arc<Self> {
        let mut state = State::new(first_sequence.max(recovered.next_sequence));
        for (sequence, records_before, batch) in recovered.batches {
            state.bytes += batch.capacity();
            state.records += u64::from(batch.record_count());
            state.batches.push_back(Entry { sequence, batch, targets: Targets::All, records_before, is_kept: true });
        }
        state.id = Some(file.id());
        state.gaps = recovered.gaps;
        state.life_records = recovered.records;
        Self::with(limits, state, Some(Mutex::new(file)))
    }

    fn with(limits: RingLimits, state: State, file: Option<Mutex<RingFile>>) -> Arc<Self> {
        let (appended, taken) = (Notify::new(), Notify::new());
        Arc::new(Self { limits, state: Mutex::new(state), appended, taken, file, entrance: OnceLock::new() })
    }

    /// Lets go of what an earlier run has left past the bounds, once the readers are there that may want it.
    pub fn settle(&self) {
        let mut state = self.lock();
        while state.is_over(self.limits) {
            state.evict();
        }
    }

    /// Routes what an earlier run has left, of which the files don't say for whom it is. Before there are readers.
    pub fn route_earlier(&self, mut targets_of: impl FnMut(&Batch) -> Targets) {
        for entry in &mut self.lock().batches {
            entry.targets = targets_of(&entry.batch);
        }
    }

    /// Appends a batch and lets go of the oldest ones past the bounds. Returns its sequence.
    /// An empty batch is ignored.
    pub fn append(&self, batch: Batch) -> u64 {
        self.append_for(batch, Targets::All)
    }

    /// Like [`Ring::append`], of records that are routed.
    pub fn append_for(&self, batch: Batch, targets: Targets) -> u64 {
        if batch.is_empty() {
            return self.next_sequence();
        }
        // Readers don't wait for a file: they need the state only.
        let mut file = self.file.as_ref().map(|file| file.lock().unwrap_or_else(PoisonError::into_inner));
        // Positions of what was discarded are in no file: after a kill it is read again, and discarded again.
        let is_kept = batch.is_discarded()
            || file.as_mut().is_some_and(|file| {
                let (sequence, records) = {
                    let state = self.lock();
                    (state.next_sequence, state.life_records)
                };
                file.append(sequence, records, &batch)
            });
        let mut state = self.lock();
        let sequence = state.next_sequence;
        state.push(batch, targets, is_kept);
        while state.is_over(self.limits) {
            state.evict();
        }
        let needed_from = file.is_some().then(|| state.needed_from());
        drop(state);
        self.appended.notify_waiters();
        if let (Some(file), Some(needed_from)) = (&mut file, needed_from) {
            file.drop_below(needed_from);
        }
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
    fn new(first_sequence: u64) -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            records: 0,
            next_sequence: first_sequence,
            run_start: first_sequence,
            life_records: 0,
            id: None,
            gaps: Vec::new(),
            totals: Totals::default(),
            readers: BTreeMap::new(),
            next_reader: 0,
            corrections: times::Corrections::default(),
            closed: false,
        }
    }

    fn push(&mut self, batch: Batch, targets: Targets, is_kept: bool) {
        let (sequence, records_before) = (self.next_sequence, self.life_records);
        let records = u64::from(records_of(&batch));
        self.next_sequence += 1;
        self.life_records += records;
        self.bytes += batch.capacity();
        self.records += records;
        self.totals.batches += 1;
        self.totals.records += records;
        self.totals.bytes += batch.byte_len() as u64;
        self.batches.push_back(Entry { sequence, batch: Arc::new(batch), targets, records_before, is_kept });
    }

    /// What is below this needs no file any more: the ring has let go of it, and the spills have it.
    fn needed_from(&self) -> u64 {
        let spills = self.readers.values().filter_map(|reader| reader.overflow.as_ref());
        spills.map(|spill| spill.safe_below()).fold(self.first_sequence(), u64::min)
    }

    /// Whether the oldest batch must go. The records bound keeps a batch as long as a part of it is inside.
    fn is_over(&self, limits: RingLimits) -> bool {
        let Some(front) = self.batches.front() else { return false };
        if self.batches.len() == 1 {
            return false;
        }
        self.bytes > limits.bytes || self.records - u64::from(records_of(&front.batch)) >= limits.records
    }

    fn evict(&mut self) {
        let Some(Entry { sequence, batch, targets, .. }) = self.batches.pop_front() else { return };
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
            if kept || is_read {
                continue;
            }
            reader.loss.merge(match reader.done_before {
                Some((partly, done)) if partly == sequence => {
                    let rest = Arc::new(resume::without_first(&batch, done));
                    reader.wanted.of(&rest, &targets.after(done)).map_or_else(Loss::default, |rest| Loss::of(&rest))
                }
                _ => *part.loss.get_or_insert_with(|| Loss::of(wanted)),
            });
        }
    }

    fn first_sequence(&self) -> u64 {
        self.batches.front().map_or(self.next_sequence, |entry| entry.sequence)
    }

    /// Where the first batch of `sequence` or later is. In what an earlier run has left some may be missing.
    fn index_from(&self, sequence: u64) -> usize {
        self.batches.partition_point(|entry| entry.sequence < sequence)
    }

    /// The first batch of `sequence` or later.
    fn batch_from(&self, sequence: u64) -> Option<(BatchRef, Targets)> {
        let entry = self.batches.get(self.index_from(sequence))?;
        let ends_at = entry.records_before + u64::from(records_of(&entry.batch));
        let found = BatchRef { ends_at: Some(ends_at), ..BatchRef::new(entry.sequence, Arc::clone(&entry.batch)) };
        Some((found, entry.targets.clone()))
    }

    /// Sequence of the first batch of `sequence` or later; of the next one, where there is none.
    fn ring_next(&self, sequence: u64) -> u64 {
        self.batches.get(self.index_from(sequence)).map_or(self.next_sequence, |entry| entry.sequence)
    }

    /// Records of the ring's life before the first batch of `sequence` or later.
    fn records_before(&self, sequence: u64) -> u64 {
        self.batches.get(self.index_from(sequence)).map_or(self.life_records, |entry| entry.records_before)
    }

    /// What a reader has missed that goes on after so many records.
    fn missed_after(&self, records: u64) -> Loss {
        let mut missed = Loss::default();
        self.gaps.iter().for_each(|gap| missed.merge(gap.loss_after(records)));
        missed
    }
}
