//! Which records a reader gets.
//!
//! Sources seal batches of their own, so a batch is nearly always taken whole or passed over; one that has both kinds, or
//! records that are routed to different readers, is copied.

use std::sync::Arc;

use super::resume::retain;
use super::targets::{Part, Targets};
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
    /// Whether it takes what a source makes for which kind of writer.
    fn takes(self, kind: Option<OriginKind>) -> bool {
        match self {
            Self::All => true,
            Self::Kernel => kind == Some(OriginKind::Kernel),
            Self::Services => kind != Some(OriginKind::Kernel),
        }
    }
}

/// What a reader gets of a batch: by whose its records are, and by where they are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub selection: Selection,
    /// The reader's bit, where records are routed to it; all bits, where it gets them however they are routed.
    pub bits: u64,
}

impl From<Selection> for Wanted {
    /// However records are routed.
    fn from(selection: Selection) -> Self {
        Self { selection, bits: u64::MAX }
    }
}

impl Wanted {
    /// The part of a batch that a reader gets; `None` where that is nothing. Without a copy where it is all of it.
    pub(super) fn of(self, batch: &Arc<Batch>, targets: &Targets) -> Option<Arc<Batch>> {
        self.selected(&self.routed(batch, targets)?, |kind| self.selection.takes(kind))
    }

    /// The part of a batch that is routed to a reader, whoever has written it.
    pub(super) fn routed(self, batch: &Arc<Batch>, targets: &Targets) -> Option<Arc<Batch>> {
        if batch.is_discarded() {
            return None;
        }
        match targets.part(self.bits) {
            Part::None => None,
            Part::All => Some(Arc::clone(batch)),
            Part::Some(each) => {
                let mut bits = each.iter();
                Some(Arc::new(retain(batch, |_| bits.next().is_some_and(|bits| bits & self.bits != 0))))
            }
        }
    }

    /// Like [`Wanted::of`], of what the reader's overflow kept from an earlier run, perhaps with another selection:
    /// what was selected then has the reports of the reader's own losses in it, which it gets in any case.
    pub(super) fn of_earlier(self, batch: &Arc<Batch>) -> Option<Arc<Batch>> {
        self.selected(batch, |kind| self.selection.takes(kind) || kind == Some(OriginKind::Ringward))
    }

    fn selected(self, batch: &Arc<Batch>, takes: impl Fn(Option<OriginKind>) -> bool) -> Option<Arc<Batch>> {
        if self.selection == Selection::All {
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
    pub(super) fn count(self, batch: &Batch, targets: &Targets) -> u32 {
        if batch.is_discarded() {
            return 0;
        }
        let routed = match targets.part(self.bits) {
            Part::None => return 0,
            Part::All => None,
            Part::Some(each) => Some(each),
        };
        if self.selection == Selection::All && routed.is_none() {
            return batch.record_count();
        }
        let taken: Vec<bool> =
            (0..batch.origin_count()).map(|local| self.selection.takes(batch.origin_kind(local))).collect();
        let is_routed = |index: usize| routed.is_none_or(|each| each[index] & self.bits != 0);
        let origins = batch.positions(batch.record_count()).enumerate();
        origins.filter(|(index, (origin, _))| taken[*origin as usize] && is_routed(*index)).count() as u32
    }
}
