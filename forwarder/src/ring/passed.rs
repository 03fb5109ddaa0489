//! Batches that a reader passed over: it got nothing of them, but they count as read.
//!
//! Batches are acknowledged in order. So one that was passed over is acknowledged only when everything is that the reader
//! was given before: else what is still in flight would count as delivered, and nobody would keep it.
//!
//! Limits: an entry for each batch in flight at most, with a position for each source.

use std::collections::VecDeque;

use super::{BatchRef, Checkpoint};

#[derive(Default)]
pub(super) struct Passed(VecDeque<Entry>);

/// Neighbours that were passed over.
pub(super) struct Entry {
    /// Batches below this have to be acknowledged before.
    after: u64,
    /// Sequence of the last of them.
    pub(super) through: u64,
    /// Records of the ring's life up to its end, where that is known.
    pub(super) ends_at: Option<u64>,
    /// Of their records that can be read again.
    pub(super) positions: Checkpoint,
}

impl Passed {
    /// Notes a batch whose records count as read once everything below `after` is acknowledged.
    pub(super) fn note(&mut self, after: u64, passed: &BatchRef) {
        let BatchRef { sequence: through, batch, ends_at, .. } = passed;
        if self.0.back().is_none_or(|last| last.after != after) {
            self.0.push_back(Entry { after, through: *through, ends_at: *ends_at, positions: Checkpoint::new() });
        }
        let Some(entry) = self.0.back_mut() else { return };
        if *through >= entry.through {
            (entry.through, entry.ends_at) = (*through, *ends_at);
        }
        if batch.has_positions() {
            for (source, position) in super::resume::positions(batch, batch.record_count()) {
                let highest = entry.positions.entry(source).or_insert(0);
                *highest = position.max(*highest);
            }
        }
    }

    /// The next entry whose turn it is, where everything below `acknowledged_below` is acknowledged.
    pub(super) fn take(&mut self, acknowledged_below: u64) -> Option<Entry> {
        self.0.pop_front_if(|entry| entry.after <= acknowledged_below)
    }
}
