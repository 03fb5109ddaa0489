//! A reader's place in the ring.

use std::sync::Arc;

use super::file::RingPosition;
use super::loss::Loss;
use super::passed::Passed;
use super::resume::{Resume, without_first};
use super::times::corrected;
use super::{Checkpoint, Entry, Fetched, Overflow, Reader, Ring, Selection, Targets, Wanted};
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

/// Called with where a reader goes on, of a ring that is kept in files.
pub type OnPosition = Box<dyn Fn(RingPosition) + Send>;

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
    /// Where this reader goes on in what an earlier run has left of the ring. One of another ring says nothing.
    pub position: Option<RingPosition>,
    pub on_position: Option<OnPosition>,
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
            position: None,
            on_position: None,
            sets_pace: true,
        }
    }
}

/// A batch and its place in the ring. Holding it keeps the batch alive, also past the ring's end.
#[derive(Clone, Debug)]
pub struct BatchRef {
    pub sequence: u64,
    pub batch: Arc<Batch>,
    /// Records of the ring's life up to its end; `None` where that is not known.
    pub(super) ends_at: Option<u64>,
    /// Records of the whole batch, where this is all of it, or its end: then what is left of it is a place in the ring.
    pub(super) whole: Option<u32>,
}

impl BatchRef {
    pub fn new(sequence: u64, batch: Arc<Batch>) -> Self {
        Self { sequence, batch, ends_at: None, whole: None }
    }
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
    /// The batch of this sequence begins with so many records that are not to be given: the records bound has cut them
    /// off, or they were acknowledged in an earlier run.
    skip: Option<(u64, u64)>,
    /// Whose records the ring's positions count.
    ring_id: Option<u64>,
    wanted: Wanted,
    resume: Resume,
    passed: Passed,
    /// Batches below this were given or passed over, and those below the next are acknowledged.
    given_below: u64,
    acknowledged_below: u64,
    on_checkpoint: Option<OnCheckpoint>,
    on_position: Option<OnPosition>,
}

/// What comes next, of [`Cursor::take`].
enum Taken {
    /// For whom its records are, and by how much the times of the kernel's among them are to be moved.
    Batch(BatchRef, Targets, i64),
    /// Of the overflow: all of it is what this reader wants.
    Stored(BatchRef, i64),
    /// What this reader has lost.
    Report(BatchRef),
}

impl Ring {
    /// A new reader.
    pub fn reader(self: &Arc<Self>, options: ReaderOptions) -> Cursor {
        let mut state = self.lock();
        let id = state.next_reader;
        state.next_reader += 1;
        let position = options.position.filter(|position| Some(position.ring) == state.id);
        let (next_sequence, skip) = match (options.start, position) {
            (Start::Newest, _) => (state.next_sequence, 0),
            (Start::Oldest, Some(position)) => (position.sequence.min(state.next_sequence), u64::from(position.done)),
            // What an earlier run left in the overflow comes first.
            (Start::Oldest, None) if options.overflow.is_some() => (0, 0),
            (Start::Oldest, None) => (state.first_sequence(), state.records.saturating_sub(self.limits.records)),
        };
        let wanted = Wanted { selection: options.selection, bits: options.target.unwrap_or(u64::MAX) };
        let first_records = state.records_before(0);
        // Who begins at the oldest, or has a spill, has missed nothing before it.
        let known = position.filter(|_| options.overflow.is_none()).map_or(first_records, |position| position.records);
        let loss = if options.start == Start::Newest {
            Loss::default()
        } else {
            state.missed_after(known.max(position.map_or(0, |position| position.records)))
        };
        let skip = (skip > 0).then_some((next_sequence, skip));
        let reader = Reader {
            next_sequence,
            acknowledged_below: next_sequence,
            done_before: skip.filter(|_| position.is_some()),
            overflow: options.overflow.clone(),
            loss,
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
            run_start: state.run_start,
            skip,
            ring_id: state.id,
            wanted,
            resume: Resume::new(options.resume),
            passed: Passed::default(),
            given_below: next_sequence,
            acknowledged_below: next_sequence,
            on_checkpoint: options.on_checkpoint,
            on_position: options.on_position,
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
            let (found, targets, is_stored) = match taken {
                Taken::Batch(found, targets, by_ns) => (self.corrected(found, by_ns), targets, false),
                Taken::Stored(found, by_ns) => (self.corrected(found, by_ns), Targets::All, true),
                Taken::Report(report) => {
                    self.given_below = self.given_below.max(report.sequence + 1);
                    return Some(report);
                }
            };
            let before = self.given_below;
            let (given, whole) = self.part(&found, targets, is_stored);
            let is_whole = given.as_ref().is_some_and(|given| Arc::ptr_eq(given, &found.batch));
            if given.is_some() {
                self.given_below = found.sequence + 1;
            }
            if !is_whole {
                // What is left out counts as read with the rest, or with what was given before.
                let after = if given.is_some() { self.given_below } else { before };
                self.passed.note(after, &found);
                self.acknowledge_passed();
            }
            if let Some(batch) = given {
                return Some(BatchRef { batch, whole, ..found });
            }
        }
    }

    fn corrected(&self, found: BatchRef, by_ns: i64) -> BatchRef {
        if found.sequence < self.run_start {
            return found;
        }
        BatchRef { batch: corrected(found.batch, by_ns), ..found }
    }

    /// The part of a batch that this reader is to be given, if any; and the records of all of it, where the part goes up to
    /// its end.
    fn part(&mut self, found: &BatchRef, targets: Targets, is_stored: bool) -> (Option<Arc<Batch>>, Option<u32>) {
        let of_earlier_run = found.sequence < self.run_start;
        if of_earlier_run {
            self.resume.note(&found.batch);
        }
        let (mut batch, mut targets) = (Arc::clone(&found.batch), targets);
        if let Some((sequence, skip)) = self.skip.take_if(|(sequence, _)| *sequence <= found.sequence)
            && sequence == found.sequence
        {
            (batch, targets) = (Arc::new(without_first(&batch, skip)), targets.after(skip));
        }
        let end = Arc::clone(&batch);
        // By the numbers of the records, before any of them is left out.
        let Some(mut batch) = self.wanted.routed(&batch, &targets) else { return (None, None) };
        let unseen = match (of_earlier_run, is_stored) {
            (true, true) => None,
            (true, false) => self.resume.unacknowledged(&batch),
            (false, _) => self.resume.unseen(&batch),
        };
        if let Some(unseen) = unseen {
            batch = Arc::new(unseen);
        }
        if batch.is_empty() {
            return (None, None);
        }
        let part = if of_earlier_run && is_stored {
            self.wanted.of_earlier(&batch)
        } else {
            self.wanted.of(&batch, &Targets::All)
        };
        // What was selected and stored is a batch of its own.
        let is_of_ring = !is_stored || self.wanted == Wanted::from(Selection::All);
        let is_end = is_of_ring && part.as_ref().is_some_and(|part| Arc::ptr_eq(part, &end));
        (part, is_end.then(|| found.batch.record_count()))
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
        let count = done.batch.record_count();
        if records < count {
            if let (Some(ends_at), Some(whole)) = (done.ends_at, done.whole) {
                let left = count - records;
                self.tell_position(done.sequence, whole - left, Some(ends_at - u64::from(left)));
            }
            return;
        }
        self.acknowledge_through(done.sequence);
        self.tell_position(done.sequence + 1, 0, done.ends_at);
        self.acknowledge_passed();
    }

    fn tell_position(&self, sequence: u64, done: u32, records: Option<u64>) {
        if let (Some(on_position), Some(ring), Some(records)) = (&self.on_position, self.ring_id, records) {
            on_position(RingPosition { ring, sequence, done, records });
        }
    }

    fn acknowledge_passed(&mut self) {
        while let Some(passed) = self.passed.take(self.acknowledged_below) {
            if let Some(on_checkpoint) = &self.on_checkpoint {
                passed.positions.iter().for_each(|(source, position)| on_checkpoint(source, *position));
            }
            self.acknowledge_through(passed.through);
            self.tell_position(passed.through + 1, 0, passed.ends_at);
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

    /// Hands everything that is not acknowledged, and that the ring's files have not, to the overflow, for the next run of
    /// the program, and with it the report of what was lost and not reported yet. May wait for a disk.
    pub fn persist(self) -> Persisted {
        let (left, loss, in_files) = {
            let mut state = self.ring.lock();
            // Other readers may go on: the number stays theirs. In this reader's overflow nothing else will have it.
            let sequence = state.next_sequence;
            let in_files = state.id.is_some() && self.on_position.is_some();
            let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
            let (next, from) = (reader.next_sequence, reader.acknowledged_below);
            let mut loss = std::mem::take(&mut reader.loss);
            loss.merge(self.overflow.as_ref().and_then(|overflow| overflow.take_loss()).unwrap_or_default());
            let entries = state.batches.iter().filter(|entry| entry.sequence >= from);
            // All of them, if there is a reason for any: what the overflow has must be without a gap.
            let all_kept = in_files && loss.is_empty() && entries.clone().all(|entry| entry.is_kept);
            let is_needed = |entry: &&Entry| !all_kept && (self.overflow.is_some() || !(in_files && entry.is_kept));
            let wanted = entries.filter(is_needed).filter_map(|entry| {
                let batch = self.wanted.of(&entry.batch, &entry.targets)?;
                let batch = corrected(batch, state.corrections.of(entry.sequence));
                Some((entry.sequence, batch, entry.sequence < next))
            });
            let mut left: Vec<_> = wanted.collect();
            if !loss.is_empty() && self.overflow.is_some() {
                left.push((sequence, Arc::new(loss.report(&self.name)), false));
            }
            (left, loss, in_files)
        };
        let records = |batch: &Arc<Batch>| u64::from(batch.record_count());
        match &self.overflow {
            Some(overflow) => {
                let refused =
                    left.iter().filter(|(sequence, batch, is_read)| !overflow.store_last(*sequence, batch, *is_read));
                Persisted::Kept { refused: refused.map(|(_, batch, _)| records(batch)).sum() }
            }
            // What was lost and not reported follows from the position, for the next run.
            None if in_files => Persisted::Kept { refused: left.iter().map(|(_, batch, _)| records(batch)).sum() },
            None => Persisted::Nowhere { unreported: loss.records },
        }
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
                let next = reader.next_sequence;
                let report = BatchRef::new(next.saturating_sub(1), Arc::new(loss.report(&self.name)));
                let ends_at = Some(state.records_before(next));
                return Some(Taken::Report(BatchRef { ends_at, ..report }));
            }
            let next = reader.next_sequence;
            // What an earlier run has left may have gaps that the overflow fills.
            let is_there = next >= first && (next >= state.run_start || state.ring_next(next) == next);
            if is_there || self.overflow.is_none() {
                return state.advance(self.id);
            }
            next
        };
        let Some(overflow) = &self.overflow else { return None };
        let stored = overflow.fetch(next);
        let mut state = self.ring.lock();
        match stored {
            Fetched::Pending => None,
            Fetched::Batch(sequence, batch) if sequence < state.ring_next(next) => {
                let reader = state.readers.get_mut(&self.id).expect("a reader lives as long as its cursor");
                reader.next_sequence = sequence + 1;
                // Rather too far than not far enough: who has an overflow is told of gaps when it begins.
                let ends_at = Some(state.records_before(sequence + 1));
                let stored = BatchRef { ends_at, ..BatchRef::new(sequence, batch) };
                Some(Taken::Stored(stored, state.corrections.of(sequence)))
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
