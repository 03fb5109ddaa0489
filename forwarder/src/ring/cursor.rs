//! A reader's place in the ring.

use std::sync::Arc;

use super::loss::Loss;
use super::passed::Passed;
use super::resume::{Resume, retain};
use super::times::corrected;
use super::{Checkpoint, Fetched, Overflow, Reader, Ring, Selection, Targets, Wanted};
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
    pub selection: Selection,
    /// Its bit, where records are routed to it.
    pub target: Option<u64>,
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
            selection: Selection::All,
            target: None,
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
    wanted: Wanted,
    resume: Resume,
    passed: Passed,
    /// Batches below this were given or passed over, and those below the next are acknowledged.
    given_below: u64,
    acknowledged_below: u64,
    on_checkpoint: Option<OnCheckpoint>,
}

/// What comes next, of [`Cursor::take`].
enum Taken {
    /// For whom its records are, and by how much the times of the kernel's among them are to be moved.
    Batch(BatchRef, Targets, i64),
    /// What this reader has lost.
    Report(BatchRef),
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
        let wanted = Wanted { selection: options.selection, bits: options.target.unwrap_or(u64::MAX) };
        let reader = Reader {
            next_sequence,
            acknowledged_below: next_sequence,
            overflow: options.overflow.clone(),
            loss: Loss::default(),
            wanted,
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
            wanted,
            resume: Resume::new(options.resume),
            passed: Passed::default(),
            given_below: next_sequence,
            acknowledged_below: next_sequence,
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
            let taken = self.take()?;
            self.ring.taken.notify_waiters();
            let (found, targets) = match taken {
                Taken::Batch(BatchRef { sequence, batch }, targets, by_ns) if sequence >= self.run_start => {
                    (BatchRef { sequence, batch: corrected(batch, by_ns) }, targets)
                }
                Taken::Batch(found, targets, _) => (found, targets),
                Taken::Report(report) => {
                    self.given_below = self.given_below.max(report.sequence + 1);
                    return Some(report);
                }
            };
            let before = self.given_below;
            let given = self.part(&found, &targets);
            let is_whole = given.as_ref().is_some_and(|given| Arc::ptr_eq(given, &found.batch));
            if given.is_some() {
                self.given_below = found.sequence + 1;
            }
            if !is_whole {
                // What is left out counts as read with the rest, or with what was given before.
                let after = if given.is_some() { self.given_below } else { before };
                self.passed.note(after, found.sequence, &found.batch);
                self.acknowledge_passed();
            }
            if let Some(batch) = given {
                return Some(BatchRef { batch, ..found });
            }
        }
    }

    /// The part of a batch that this reader is to be given, if any.
    fn part(&mut self, found: &BatchRef, targets: &Targets) -> Option<Arc<Batch>> {
        if self.skip > 0 {
            // Of all records, whoever they are for: what is routed elsewhere is passed over there.
            let skip = std::mem::take(&mut self.skip);
            let (mut index, bits) = (0, self.wanted.bits);
            let rest = retain(&found.batch, |_| {
                index += 1;
                index > skip && targets.is_for(index as usize - 1, bits)
            });
            return self.wanted.of(&Arc::new(rest), &Targets::All).filter(|rest| !rest.is_empty());
        }
        if found.sequence < self.run_start {
            self.resume.note(&found.batch);
            return self.wanted.of_earlier(&found.batch);
        }
        let wanted = self.wanted.of(&found.batch, targets)?;
        match self.resume.unseen(&wanted) {
            None => Some(wanted),
            Some(rest) if rest.is_empty() => None,
            Some(rest) => Some(Arc::new(rest)),
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
        self.acknowledge_through(done.sequence);
        self.acknowledge_passed();
    }

    fn acknowledge_passed(&mut self) {
        while let Some(passed) = self.passed.take(self.acknowledged_below) {
            if let Some(on_checkpoint) = &self.on_checkpoint {
                passed.positions.iter().for_each(|(source, position)| on_checkpoint(source, *position));
            }
            self.acknowledge_through(passed.through);
        }
    }

    fn acknowledge_through(&mut self, sequence: u64) {
        self.acknowledged_below = self.acknowledged_below.max(sequence + 1);
        {
            let mut state = self.ring.lock();
            let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
            reader.acknowledged_below = self.acknowledged_below;
        }
        if let Some(overflow) = &self.overflow {
            overflow.acknowledge(sequence);
        }
    }

    /// What of the ring this reader gets.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// How much this reader has not read yet; what waits in the overflow is not counted.
    pub fn lag(&self) -> Lag {
        let state = self.ring.lock();
        let next = state.readers[&self.id].next_sequence;
        let behind = state.batches.iter().rev().take_while(|entry| entry.sequence >= next);
        behind.fold(Lag::default(), |lag, entry| match self.wanted.count(&entry.batch, &entry.targets) {
            0 => lag,
            records => Lag { records: lag.records + u64::from(records), bytes: lag.bytes + entry.batch.capacity() },
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
            let wanted = entries.filter_map(|entry| {
                let batch = self.wanted.of(&entry.batch, &entry.targets)?;
                let batch = corrected(batch, state.corrections.of(entry.sequence));
                Some((entry.sequence, batch, entry.sequence < next))
            });
            let mut left: Vec<_> = wanted.collect();
            if !loss.is_empty() {
                left.push((sequence, Arc::new(loss.report(&self.name)), false));
            }
            (left, loss)
        };
        let Some(overflow) = &self.overflow else { return Persisted::Nowhere { unreported: loss.records } };
        let refused = left.iter().filter(|(sequence, batch, is_read)| !overflow.store_last(*sequence, batch, *is_read));
        Persisted::Kept { refused: refused.map(|(_, batch, _)| u64::from(batch.record_count())).sum() }
    }

    fn take(&mut self) -> Option<Taken> {
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
                return Some(Taken::Report(BatchRef { sequence, batch: Arc::new(loss.report(&self.name)) }));
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
                // What is in the overflow is what this reader wants.
                Some(Taken::Batch(BatchRef { sequence, batch }, Targets::All, state.corrections.of(sequence)))
            }
            Fetched::Batch(..) | Fetched::Nothing => state.advance(self.id),
        }
    }
}

impl super::State {
    fn advance(&mut self, id: u64) -> Option<Taken> {
        let next = self.readers[&id].next_sequence;
        let (found, targets) = self.batch_from(next)?;
        let reader = self.readers.get_mut(&id).expect("looked up above");
        reader.next_sequence = found.sequence + 1;
        let by_ns = self.corrections.of(found.sequence);
        Some(Taken::Batch(found, targets, by_ns))
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.ring.lock().readers.remove(&self.id);
        self.ring.taken.notify_waiters();
    }
}
