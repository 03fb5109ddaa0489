//! Which readers the records of a batch are for, where they are routed.
//!
//! Found out once, by the thread that appends the batch, and not by each reader: all destinations are served by one thread,
//! and what the ring lets go of is sorted out under its lock.
//!
//! Limits: [`MOST_TARGETS`] readers that are routed to.

use std::sync::Arc;

use crate::record::Batch;

/// Readers that can be routed to, each a bit.
pub const MOST_TARGETS: usize = 64;

/// For whom the records of a batch are, as bits of readers' numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// For everybody.
    #[default]
    All,
    /// All records for the same ones.
    Same(u64),
    /// By record.
    Each(Arc<[u64]>),
}

impl Targets {
    /// Of the records of a batch, one after the other.
    pub fn of(each: &[u64]) -> Self {
        match each.split_first() {
            None => Self::All,
            Some((first, rest)) if rest.iter().all(|bits| bits == first) => {
                if *first == u64::MAX {
                    Self::All
                } else {
                    Self::Same(*first)
                }
            }
            Some(_) => Self::Each(each.into()),
        }
    }

    /// Whether a record is for the reader with these bits.
    pub fn is_for(&self, record: usize, bits: u64) -> bool {
        match self {
            Self::All => true,
            Self::Same(same) => same & bits != 0,
            Self::Each(each) => each[record] & bits != 0,
        }
    }

    /// Without those of the first records.
    pub(super) fn after(&self, records: u64) -> Self {
        match self {
            Self::Each(each) => {
                let records = usize::try_from(records).unwrap_or(usize::MAX).min(each.len());
                Self::of(&each[records..])
            }
            same => same.clone(),
        }
    }

    /// Which part of the records is for the reader with these bits.
    pub(super) fn part(&self, bits: u64) -> Part<'_> {
        match self {
            Self::All => Part::All,
            Self::Same(same) if same & bits != 0 => Part::All,
            Self::Same(_) => Part::None,
            Self::Each(each) => match each.iter().filter(|of| **of & bits != 0).count() {
                0 => Part::None,
                count if count == each.len() => Part::All,
                _ => Part::Some(each),
            },
        }
    }
}

/// A part of a batch's records.
pub(super) enum Part<'a> {
    None,
    All,
    /// Those that have the reader's bit.
    Some(&'a [u64]),
}

/// Whether a batch has nothing for anybody but positions.
pub(super) fn records_of(batch: &Batch) -> u32 {
    if batch.is_discarded() { 0 } else { batch.record_count() }
}
