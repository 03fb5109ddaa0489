//! The thread that reads from disk before it is asked, so that whoever fetches never waits for a disk.
//!
//! It is started by the first fetch that finds something on disk: a spill that is not used has none.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::scan::{Scan, Step};
use super::segment::Segment;
use super::{Shared, State};
use crate::record::Batch;

/// Bytes of batches that are read ahead.
const AHEAD_BYTES: usize = 1 << 20;
/// Pause after a read that failed and may succeed later.
const RETRY: Duration = Duration::from_secs(1);

/// What was read and not fetched.
#[derive(Default)]
pub(super) struct ReadAhead {
    queue: VecDeque<(u64, Arc<Batch>)>,
    bytes: usize,
    /// Sequence from which on the queue has everything that is on disk …
    from: u64,
    /// … up to this one, which is not in it.
    pub(super) to: u64,
    /// Somebody wants what is at `to`.
    wanted: bool,
    /// Counts how often another place was asked for.
    generation: u64,
    pub(super) started: bool,
}

pub(super) enum Ahead {
    Batch(u64, Arc<Batch>),
    /// It is on disk and is being read.
    Pending,
    Nothing,
}

impl State {
    /// The first batch on disk of `from` or later, where it has been read already.
    pub(super) fn take_ahead(&mut self, from: u64) -> Ahead {
        let ahead = &mut self.ahead;
        if from < ahead.from || from > ahead.to {
            let generation = ahead.generation + 1;
            *ahead = ReadAhead { from, to: from, generation, started: ahead.started, ..ReadAhead::default() };
        }
        while let Some((sequence, batch)) = ahead.queue.pop_front() {
            ahead.bytes -= batch.capacity();
            ahead.from = sequence + 1;
            if sequence >= from {
                ahead.wanted |= ahead.bytes < AHEAD_BYTES / 2;
                return Ahead::Batch(sequence, batch);
            }
        }
        let is_there = self.segments.back().is_some_and(|segment| segment.extent.last >= self.ahead.to);
        self.ahead.wanted = is_there;
        if is_there { Ahead::Pending } else { Ahead::Nothing }
    }

    /// What to read next.
    fn wanted(&mut self) -> Option<Wanted> {
        if !self.ahead.wanted || self.ahead.bytes >= AHEAD_BYTES {
            return None;
        }
        let from = self.ahead.to.max(self.acknowledged_below);
        let segment = self.segments.iter().find(|segment| segment.extent.last >= from);
        self.ahead.wanted = segment.is_some();
        segment.map(|segment| Wanted { segment: segment.clone(), from, generation: self.ahead.generation })
    }

    fn has(&self, segment: &Segment) -> bool {
        self.segments.iter().any(|known| known.id == segment.id)
    }
}

struct Wanted {
    segment: Segment,
    from: u64,
    generation: u64,
}

pub(super) fn run(shared: &Shared) {
    let mut scan = None;
    while let Some(wanted) = wait(shared) {
        let step = step(&mut scan, &wanted);
        let mut state = shared.lock();
        // Dropped to make room while it was read: that was counted then.
        if !state.has(&wanted.segment) {
            continue;
        }
        let path = wanted.segment.path.display();
        let next = match step {
            Ok(Step::Batch(sequence, batch)) => {
                // Another place may be asked for now; then the batch is read again.
                if state.ahead.generation == wanted.generation {
                    state.ahead.bytes += batch.capacity();
                    state.ahead.queue.push_back((sequence, batch));
                }
                sequence + 1
            }
            Ok(Step::Damage(loss)) => {
                shared.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::error!("{path}: {} bytes are damaged, {} records are lost", loss.bytes, loss.records);
                state.loss.merge(loss);
                wanted.from
            }
            Ok(Step::End) => wanted.from.max(wanted.segment.extent.last + 1),
            Err(error) if is_final(&error) => {
                shared.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::error!("{path} can't be read: {error}");
                let extent = &wanted.segment.extent;
                state.loss.merge(scan.as_mut().map_or_else(|| wanted.segment.as_loss(), |scan| scan.give_up(extent)));
                wanted.from.max(extent.last + 1)
            }
            Err(error) => {
                tracing::warn!("{path} can't be read now: {error}");
                let waited = shared.to_read.wait_timeout_while(state, RETRY, |state| !state.closing);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            }
        };
        if state.ahead.generation == wanted.generation {
            state.ahead.to = next;
        }
        drop(state);
        shared.on_ready();
    }
}

/// Waits until something is to be read; `None` at the end.
fn wait(shared: &Shared) -> Option<Wanted> {
    let mut state = shared.lock();
    loop {
        if state.closing {
            return None;
        }
        if let Some(wanted) = state.wanted() {
            return Some(wanted);
        }
        state = shared.to_read.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn step(scan: &mut Option<Scan>, wanted: &Wanted) -> io::Result<Step> {
    let current = scan.take().filter(|scan| scan.segment == wanted.segment.id && !scan.is_past(wanted.from));
    let current = match current {
        Some(current) => current,
        None => Scan::open(&wanted.segment, wanted.from)?,
    };
    scan.insert(current).step(&wanted.segment.extent, wanted.from)
}

/// Whether trying again is in vain.
fn is_final(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
