//! One record of so many goes on.

use super::Verdict;
use crate::record::OriginId;
use crate::shape::spec::Sample;
use crate::shape::subject::{OfDraft, Subject};

pub(super) struct Sampling {
    sample: Sample,
    seen: u64,
}

impl Sampling {
    pub(super) fn new(sample: &Sample) -> Self {
        Self { sample: sample.clone(), seen: 0 }
    }

    /// The first of each `rate` records; with `by`, all records of one value of `rate`, in every run of every Ringward.
    pub(super) fn run(&mut self, subject: &OfDraft<'_>) -> Verdict {
        let chosen = match self.sample.by.as_deref().and_then(|by| subject.value(by)) {
            Some(value) => spread(OriginId::of_text(value.to_text()).0).is_multiple_of(self.sample.rate),
            None => {
                let turn = self.seen % self.sample.rate;
                self.seen = self.seen.wrapping_add(1);
                turn == 0
            }
        };
        if chosen { Verdict::Goes } else { Verdict::Discarded }
    }
}

/// The low bits of FNV-1a depend on few of the text's: all bits of the hash are mixed into them (as in MurmurHash3).
fn spread(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
