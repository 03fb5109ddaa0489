//! Corrects the times of kernel records that were read before the time of day was set.
//!
//! A machine without a clock of its own counts from 1970 until somebody sets the time. What the kernel logged until then
//! may wait here for a destination; when it is given to one, its times are those of the clock that is right. Batches are
//! never changed: a reader that comes late gets a copy.
//!
//! Limits: what a spill has kept from an earlier run, or keeps for the next one, has the times it was read with; of many
//! corrections the oldest are put together, as if they had been one.

use std::sync::Arc;

use super::Ring;
use super::resume::copy;
use crate::record::{Batch, OriginKind};

/// Corrections that are kept apart.
const MOST: usize = 256;

#[derive(Default)]
pub(super) struct Corrections(Vec<Correction>);

/// Batches below `before` were read before the time of day moved by so much.
struct Correction {
    before: u64,
    by_ns: i64,
}

impl Ring {
    /// The time of day was set: kernel records that were appended before this call were read with a clock that was behind
    /// by `by_ns`.
    pub fn correct_kernel_times(&self, by_ns: i64) {
        let mut state = self.lock();
        let before = state.next_sequence;
        state.corrections.add(before, by_ns);
    }
}

impl Corrections {
    fn add(&mut self, before: u64, by_ns: i64) {
        if self.0.len() == MOST {
            let oldest = self.0.remove(0);
            self.0[0].by_ns = self.0[0].by_ns.saturating_add(oldest.by_ns);
        }
        self.0.push(Correction { before, by_ns });
    }

    /// By how much the times of a batch are to be moved.
    pub(super) fn of(&self, sequence: u64) -> i64 {
        let later = self.0.iter().rev().take_while(|correction| sequence < correction.before);
        later.fold(0, |sum, correction| sum.saturating_add(correction.by_ns))
    }
}

/// The batch with the times of its kernel records moved, where it has any.
pub(super) fn corrected(batch: Arc<Batch>, by_ns: i64) -> Arc<Batch> {
    let is_kernel = |local| batch.origin_kind(local) == Some(OriginKind::Kernel);
    if by_ns == 0 || !(0..batch.origin_count()).any(is_kernel) {
        return batch;
    }
    Arc::new(copy(&batch, |record, meta| {
        if is_kernel(record.origin) {
            meta.time_ns = meta.time_ns.saturating_add(by_ns);
        }
        true
    }))
}
