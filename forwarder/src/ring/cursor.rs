//! A reader's place in the ring.

use std::sync::Arc;

use super::loss::Loss;
use super::resume::Resume;
use super::{Checkpoint, Fetched, Overflow, Reader, Ring};
use crate::record::Batch;

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is held.
    Oldest,
    /// At the next record that is appended.
    Newest,
}

/// Called with (source key, position) when records up to that position were acknowledged.
pub type OnCheckpoint = Box<dyn Fn(&str, u64) + Send>;

/// How a reader wants to read.
pub struct ReaderOptions {
    /// Name for reports, such as the destination's.
    pub name: String,
    pub start: Start,
    pub overflow: Option<Arc<dyn Overflow>>,
    /// What this reader acknowledged in an earlier run: those records are not given again.
    pub resume: Checkpoint,
    pub on_checkpoint: Option<OnCheckpoint>,
    /// Whether sources that can pause may read as fast as this reader does. A view that is looked at now and then must
    /// not have them run away from a destination that is down.
    pub sets_pace: bool,
}

impl ReaderOptions {
    /// A reader from the oldest record on that keeps nothing beyond the ring.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            start: Start::Oldest,
            overflow: None,
            resume: Checkpoint::new(),
            on_checkpoint: None,
            sets_pace: true,
        }
    }
}

/// A batch and its place in the ring. Holding it keeps the batch alive, also past the ring's end.
#[derive(Clone, Debug)]
pub struct BatchRef {
    pub sequence: u64,
    pub batch: Arc<Batch>,
}

/// How far a reader is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    pub records: u64,
    pub bytes: usize,
}

/// What became of the records that a reader left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persisted {
    /// All but so many are in the overflow.
    Kept { refused: u64 },
    /// There is no overflow; besides what is unread, so many were lost and the reader was not told.
    Nowhere { unreported: u64 },
}

/// Reads the ring in order. Dropping it ends the reader.
pub struct Cursor {
    ring: Arc<Ring>,
    id: u64,
    name: String,
    overflow: Option<Arc<dyn Overflow>>,
    /// Batches of earlier sequences are of an earlier run.
    run_start: u64,
    /// Records of the first batch that the records bound has cut off.
    skip: u64,
    resume: Resume,
    on_checkpoint: Option<OnCheckpoint>,
}

impl Ring {
    /// A new reader.
    pub fn reader(self: &Arc<Self>, options: ReaderOptions) -> Cursor {
        let mut state = self.lock();
        let id = state.next_reader;
        state.next_reader += 1;
        let (next_sequence, skip) = match options.start {
            Start::Newest => (state.next_sequence, 0),
            // What an earlier run left in the overflow comes first.
            Start::Oldest if options.overflow.is_some() => (0, 0),
            Start::Oldest => (state.first_sequence(), state.records.saturating_sub(self.limits.records)),
        };
        let reader = Reader {
            next_sequence,
            acknowledged_below: next_sequence,
            overflow: options.overflow.clone(),
            loss: Loss::default(),
            sets_pace: options.sets_pace,
        };
        state.readers.insert(id, reader);
        if let Some(overflow) = &options.overflow {
            let ring = Arc::downgrade(self);
            overflow.on_ready(Box::new(move || {
                if let Some(ring) = ring.upgrade() {
                    ring.appended.notify_waiters();
                }
            }));
        }
        Cursor {
            ring: Arc::clone(self),
            id,
            name: options.name,
            overflow: options.overflow,
            run_start: state.first_sequence(),
            skip,
            resume: Resume::new(options.resume),
            on_checkpoint: options.on_checkpoint,
        }
    }
}

impl Cursor {
    /// The next batch; waits for one. `None` when the ring was closed and everything has been read.
    ///
    /// # Cancellation
    /// Safe: a batch is taken only when it is returned.
    pub async fn next(&mut self) -> Option<BatchRef> {
        let ring = Arc::clone(&self.ring);
        loop {
            let mut appended = std::pin::pin!(ring.appended.notified());
            // Registered before looking, so that an append in between is not missed.
            appended.as_mut().enable();
            if let Some(batch) = self.try_next() {
                return Some(batch);
            }
            if self.is_closed_and_drained() {
                return None;
            }
            appended.await;
        }
    }

    /// The next batch, if there is one now. One that is being read from the overflow is not there yet.
    pub fn try_next(&mut self) -> Option<BatchRef> {
        loop {
            let found = self.take()?;
            self.ring.taken.notify_waiters();
            if self.skip > 0 {
                let skip = std::mem::take(&mut self.skip);
                let mut index = 0;
                let rest = self.resume.retain(&found.batch, |_| {
                    index += 1;
                    index > skip
                });
                return Some(BatchRef { batch: Arc::new(rest), ..found });
            }
            if found.sequence < self.run_start {
                self.resume.note(&found.batch);
                return Some(found);
            }
            match self.resume.unseen(&found.batch) {
                None => return Some(found),
                Some(rest) if rest.is_empty() => self.acknowledge(&found, found.batch.record_count()),
                Some(rest) => return Some(BatchRef { batch: Arc::new(rest), ..found }),
            }
        }
    }

    /// The first `records` records of a batch are done. Batches are acknowledged in order.
    pub fn acknowledge(&mut self, done: &BatchRef, records: u32) {
        if let Some(on_checkpoint) = &self.on_checkpoint
            && done.batch.has_positions()
        {
            for (source, position) in super::resume::positions(&done.batch, records) {
                on_checkpoint(&source, position);
            }
        }
        if records < done.batch.record_count() {
            return;
        }
        {
            let mut state = self.ring.lock();
            let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
            reader.acknowledged_below = reader.acknowledged_below.max(done.sequence + 1);
        }
        if let Some(overflow) = &self.overflow {
            overflow.acknowledge(done.sequence);
        }
    }

    /// How much this reader has not read yet; what waits in the overflow is not counted.
    pub fn lag(&self) -> Lag {
        let state = self.ring.lock();
        let next = state.readers[&self.id].next_sequence;
        let behind = state.batches.iter().rev().take_while(|entry| entry.sequence >= next);
        behind.fold(Lag::default(), |lag, entry| Lag {
            records: lag.records + u64::from(entry.batch.record_count()),
            bytes: lag.bytes + entry.batch.capacity(),
        })
    }

    /// Whether the ring was closed and this reader has read everything.
    pub fn is_closed_and_drained(&self) -> bool {
        let state = self.ring.lock();
        let reader = &state.readers[&self.id];
        state.closed && reader.next_sequence >= state.next_sequence && reader.loss.is_empty()
    }

    /// Hands everything that is not acknowledged to the overflow, for the next run of the program, and with it the
    /// report of what was lost and not reported yet. May wait for a disk.
    pub fn persist(self) -> Persisted {
        let (left, loss) = {
            let mut state = self.ring.lock();
            // Other readers may go on: the number stays theirs. In this reader's overflow nothing else will have it.
            let sequence = state.next_sequence;
            let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
            let (next, from) = (reader.next_sequence, reader.acknowledged_below);
            let mut loss = std::mem::take(&mut reader.loss);
            loss.merge(self.overflow.as_ref().and_then(|overflow| overflow.take_loss()).unwrap_or_default());
            let entries = state.batches.iter().filter(|entry| entry.sequence >= from);
            let mut left: Vec<_> =
                entries.map(|entry| (entry.sequence, Arc::clone(&entry.batch), entry.sequence < next)).collect();
            if !loss.is_empty() {
                left.push((sequence, Arc::new(loss.report(&self.name)), false));
            }
            (left, loss)
        };
        let Some(overflow) = &self.overflow else { return Persisted::Nowhere { unreported: loss.records } };
        let refused = left.iter().filter(|(sequence, batch, is_read)| !overflow.store_last(*sequence, batch, *is_read));
        Persisted::Kept { refused: refused.map(|(_, batch, _)| u64::from(batch.record_count())).sum() }
    }

    fn take(&mut self) -> Option<BatchRef> {
        let overflow_loss = self.overflow.as_ref().and_then(|overflow| overflow.take_loss());
        let next = {
            let mut state = self.ring.lock();
            let first = state.first_sequence();
            let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
            if let Some(loss) = overflow_loss {
                reader.loss.merge(loss);
            }
            if !reader.loss.is_empty() {
                let loss = std::mem::take(&mut reader.loss);
                // One below what comes next: acknowledging the report acknowledges nothing else.
                let sequence = reader.next_sequence.saturating_sub(1);
                return Some(BatchRef { sequence, batch: Arc::new(loss.report(&self.name)) });
            }
            if reader.next_sequence >= first || self.overflow.is_none() {
                return state.advance(self.id);
            }
            reader.next_sequence
        };
        let Some(overflow) = &self.overflow else { return None };
        let stored = overflow.fetch(next);
        let mut state = self.ring.lock();
        match stored {
            Fetched::Pending => None,
            Fetched::Batch(sequence, batch) if sequence < state.first_sequence() => {
                let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
                reader.next_sequence = sequence + 1;
                Some(BatchRef { sequence, batch })
            }
            Fetched::Batch(..) | Fetched::Nothing => state.advance(self.id),
        }
    }
}

impl super::State {
    fn advance(&mut self, id: u64) -> Option<BatchRef> {
        let next = self.readers[&id].next_sequence;
        let found = self.batch_from(next)?;
        let reader = self.readers.get_mut(&id).expect("looked up above");
        reader.next_sequence = found.sequence + 1;
        Some(found)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.ring.lock().readers.remove(&self.id);
        self.ring.taken.notify_waiters();
    }
}
