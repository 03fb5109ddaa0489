//! Which records a reader gets.
//!
//! Sources seal batches of their own, so a batch is nearly always taken whole or passed over; one that has both kinds is
//! copied.

use std::sync::Arc;

use super::resume::retain;
use crate::record::{Batch, OriginKind};

/// Which records a reader gets. The others are none of its affair: it does not lag behind them, loses none of them and
/// spills none of them; but it counts as having read them, so that it does not get them when it asks for all one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    #[default]
    All,
    /// What the kernel logged.
    Kernel,
    /// Everything but that.
    Services,
}

impl Selection {
    pub(super) const COUNT: usize = 3;

    /// Whether it takes what a source makes for which kind of writer.
    fn takes(self, kind: Option<OriginKind>) -> bool {
        match self {
            Self::All => true,
            Self::Kernel => kind == Some(OriginKind::Kernel),
            Self::Services => kind != Some(OriginKind::Kernel),
        }
    }

    /// The part of a batch that a reader gets; `None` where that is nothing. Without a copy where it is all of it.
    pub(super) fn of(self, batch: &Arc<Batch>) -> Option<Arc<Batch>> {
        self.part(batch, |kind| self.takes(kind))
    }

    /// Like [`Selection::of`], of what the reader's overflow kept from an earlier run, perhaps with another selection:
    /// what was selected then has the reports of the reader's own losses in it, which it gets in any case.
    pub(super) fn of_earlier(self, batch: &Arc<Batch>) -> Option<Arc<Batch>> {
        self.part(batch, |kind| self.takes(kind) || kind == Some(OriginKind::Ringward))
    }

    fn part(self, batch: &Arc<Batch>, takes: impl Fn(Option<OriginKind>) -> bool) -> Option<Arc<Batch>> {
        if self == Self::All {
            return Some(Arc::clone(batch));
        }
        let taken: Vec<bool> = (0..batch.origin_count()).map(|local| takes(batch.origin_kind(local))).collect();
        match taken.iter().filter(|taken| **taken).count() {
            0 => None,
            count if count == taken.len() => Some(Arc::clone(batch)),
            _ => Some(Arc::new(retain(batch, |record| taken[record.origin as usize]))),
        }
    }

    /// How many of a batch's records a reader gets.
    pub(super) fn count(self, batch: &Batch) -> u32 {
        if self == Self::All {
            return batch.record_count();
        }
        let taken: Vec<bool> = (0..batch.origin_count()).map(|local| self.takes(batch.origin_kind(local))).collect();
        if taken.iter().all(|taken| *taken) {
            return batch.record_count();
        }
        let of_taken = |(origin, _): &(u32, u64)| taken[*origin as usize];
        batch.positions(batch.record_count()).filter(of_taken).count() as u32
    }
}
