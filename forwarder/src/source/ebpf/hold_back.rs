//! While the destinations are behind, what was captured stays in the kernel's rings, as far as they have room.
//!
//! The ring in memory never waits, so a burst larger than it is lost to whoever has not read it. The kernel's rings
//! are several times as large and are there anyway. Nothing is held back for destinations that don't move at all:
//! what they need goes to their spill, which is safer than the kernel's rings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ring::Ring;
use crate::sys::RingFill;

/// Time in which the fastest destination must have moved.
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) struct HoldBack {
    ring: Arc<Ring>,
    /// Bytes of each of the kernel's rings that are used before nothing is held back any more.
    most_used: u64,
    /// Where the fastest destination is, and since when.
    place: u64,
    since: Instant,
}

impl HoldBack {
    /// `ring_len`: bytes of each of the kernel's rings.
    pub(super) fn new(ring: Arc<Ring>, ring_len: usize) -> Self {
        Self { ring, most_used: ring_len as u64 / 2, place: 0, since: Instant::now() }
    }

    pub(super) fn holds(&mut self, fills: &[RingFill]) -> bool {
        let Some(fastest) = self.ring.fastest_reader() else { return false };
        if fastest.lag_bytes < self.ring.limits().bytes / 2 || fastest.next_sequence != self.place {
            self.place = fastest.next_sequence;
            self.since = Instant::now();
        }
        fastest.lag_bytes >= self.ring.limits().bytes / 2
            && self.since.elapsed() < PATIENCE
            && fills.iter().all(|fill| fill.used() < self.most_used)
    }
}
