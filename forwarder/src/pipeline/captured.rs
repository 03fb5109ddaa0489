//! What the state keeps of captured output, so that the next run goes on from the containers' log files where this one ended.
//!
//! Streams that ended in order by their last bytes. All others by a time: what was written before it has been taken by all
//! destinations, so that nothing is missing after a kill -9.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use crate::ring::Ring;
#[cfg(feature = "ebpf")]
use crate::source::clock::realtime_ns;
use crate::state::StateDir;

/// Under what the state keeps the time, ns since the epoch.
const OUTPUT: &str = "(container output)";
const CAPTURED_UNTIL: &str = "until";
/// Times that wait for destinations, one a save.
const MAX_WAITING: usize = 4096;

/// What was written before this time, ns since the epoch, is in the ring in memory, in batches before this sequence.
pub(super) type Captured = (u64, u64);

/// The times up to which output has been captured, on their way to the state.
pub(super) struct CapturedUntil {
    /// The present one; `None`: nothing is captured.
    now: Box<dyn Fn() -> Option<Captured>>,
    waiting: RefCell<VecDeque<Captured>>,
    /// Whether what is in the ring survives the program.
    keeps_ring: bool,
}

impl CapturedUntil {
    /// `keeps_ring`: the ring survives the program, so that what is in it counts as taken.
    pub(super) fn new(now: Box<dyn Fn() -> Option<Captured>>, keeps_ring: bool) -> Self {
        Self { now, waiting: RefCell::default(), keeps_ring }
    }

    /// Notes what all destinations have taken.
    pub(super) fn note(&self, ring: &Ring, state: &StateDir) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(captured) = (self.now)()
            && waiting.len() < MAX_WAITING
            && waiting.back() != Some(&captured)
        {
            waiting.push_back(captured);
        }
        let acknowledged_below = if self.keeps_ring { u64::MAX } else { ring.acknowledged_below() };
        while let Some((until_ns, _)) = waiting.pop_front_if(|(_, sequence)| *sequence <= acknowledged_below) {
            state.advance(OUTPUT, CAPTURED_UNTIL, until_ns);
            // That is behind what containers had printed that had ended by the start.
            state.set_ended_streams(BTreeMap::new());
        }
    }

    /// At the end: what was not delivered by now has been told.
    pub(super) fn note_all(&self, state: &StateDir) {
        if let Some((until_ns, _)) = (self.now)() {
            state.advance(OUTPUT, CAPTURED_UNTIL, until_ns);
            state.set_ended_streams(BTreeMap::new());
        }
    }
}

/// Up to when output has been delivered, ns since the epoch; 0 where there was no run, or the clock has been set back since.
#[cfg(feature = "ebpf")]
pub(super) fn captured_before(state: Option<&StateDir>) -> i64 {
    let until = state.and_then(|state| state.checkpoint(OUTPUT).get(CAPTURED_UNTIL).copied()).unwrap_or(0);
    let until = i64::try_from(until).unwrap_or(0);
    if until <= realtime_ns() { until } else { 0 }
}
