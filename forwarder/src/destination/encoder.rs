//! Encode once, send many: destinations that want the same bytes share them.
//!
//! ```text
//!  batch ──► JsonLines ──► kept bytes and ends ────► destination 1
//!                                              ├───► destination 2
//!                                              └───► destination 3   (the last: they are not kept any more)
//! ```
//!
//! The first destination that comes to a batch encodes all of it, and the others take what they need, as long as they
//! come soon: at most [`KEPT_BYTES`] are kept for each distinct encoding, the oldest go first. Who comes later encodes
//! again, as if it were alone; so does a batch in which records had to be cut, because what was cut is counted by
//! record. A destination whose encoding nobody shares encodes into its own buffer, and nothing is kept.
//!
//! What is taken is not copied where the destination writes from several places at once ([`Payload`]): the bytes are
//! then freed, or used again, when the last write of them has ended. A destination that stalls holds those of two
//! writes, beyond [`KEPT_BYTES`].
//!
//! All destinations are tasks of one thread, so there is nothing to lock. Batches are known by their place in memory
//! and not by their sequence: a reader that resumes has a batch of the same sequence with fewer records.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use crate::encode::json_lines::{EncodeReport, JsonLines, JsonLinesOptions};
use crate::io::Payload;
use crate::record::Batch;
use crate::ring::{BatchRef, Wanted};

/// Encoded bytes that are kept for each distinct encoding; the newest batch is kept whatever it has.
const KEPT_BYTES: usize = 2 << 20;

/// Larger batches are not kept: they hold a record of megabytes.
const LARGEST_BATCH: usize = 512 << 10;

/// Buffers that are remembered while their last writes end, to be used again.
const MOST_SPARE: usize = 4;

/// The encoders of all destinations of one thread.
#[derive(Clone, Default)]
pub struct Encoders(Rc<RefCell<Vec<Rc<RefCell<Shared>>>>>);

impl Encoders {
    /// An encoder that shares what it makes with those of the same options, and for the same records: who never comes to
    /// a batch must not have it kept.
    pub(super) fn encoder(&self, options: JsonLinesOptions, wanted: impl Into<Wanted>) -> Encoder {
        let wanted = wanted.into();
        let mut all = self.0.borrow_mut();
        all.retain(|shared| shared.borrow().members > 0);
        let known = all.iter().find(|shared| shared.borrow().is_of(&options, wanted)).cloned();
        let shared = known.unwrap_or_else(|| {
            let shared = Rc::new(RefCell::new(Shared::new(options.clone(), wanted)));
            all.push(Rc::clone(&shared));
            shared
        });
        shared.borrow_mut().members += 1;
        Encoder { own: JsonLines::new(options), shared }
    }
}

/// The encoder of one destination.
pub(super) struct Encoder {
    own: JsonLines,
    shared: Rc<RefCell<Shared>>,
}

impl Encoder {
    /// Like [`JsonLines::encode_batch`].
    pub(super) fn encode(
        &mut self,
        batch: &BatchRef,
        records: Range<u32>,
        out: &mut impl Out,
        ends: &mut Vec<usize>,
    ) -> EncodeReport {
        if self.shared.borrow_mut().give(batch, records.clone(), out, ends) {
            return EncodeReport::default();
        }
        let (known, before) = (ends.len(), out.len());
        let own = out.own();
        let elsewhere = before - own.len();
        let report = self.own.encode_batch(&batch.batch, records, own, ends);
        if elsewhere > 0 {
            ends[known..].iter_mut().for_each(|end| *end += elsewhere);
        }
        report
    }
}

/// Where encoded records are appended.
pub(super) trait Out {
    fn len(&self) -> usize;

    /// Where what is appended to these bytes is appended to all.
    fn own(&mut self) -> &mut Vec<u8>;

    /// Appends a part of bytes that others have as well.
    fn share(&mut self, bytes: &Rc<Vec<u8>>, part: Range<usize>);
}

impl Out for Vec<u8> {
    fn len(&self) -> usize {
        self.len()
    }

    fn own(&mut self) -> &mut Vec<u8> {
        self
    }

    fn share(&mut self, bytes: &Rc<Vec<u8>>, part: Range<usize>) {
        self.extend_from_slice(&bytes[part]);
    }
}

impl Out for Payload {
    fn len(&self) -> usize {
        self.len()
    }

    fn own(&mut self) -> &mut Vec<u8> {
        self.own()
    }

    fn share(&mut self, bytes: &Rc<Vec<u8>>, part: Range<usize>) {
        self.share(bytes, part);
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let mut shared = self.shared.borrow_mut();
        shared.members -= 1;
        if shared.members < 2 {
            shared.forget();
        }
    }
}

/// What destinations of the same options share.
struct Shared {
    options: JsonLinesOptions,
    wanted: Wanted,
    encoder: JsonLines,
    /// Destinations.
    members: usize,
    /// Oldest first.
    kept: VecDeque<Kept>,
    kept_bytes: usize,
    /// Sequence of the newest batch that was encoded here: who is behind it and finds nothing is late.
    newest: Option<u64>,
    /// Buffers to be used again, once nobody holds them.
    spare: VecDeque<Rc<Vec<u8>>>,
    spare_ends: Vec<usize>,
}

/// An encoded batch.
struct Kept {
    batch: Arc<Batch>,
    bytes: Rc<Vec<u8>>,
    ends: Vec<usize>,
    /// Destinations that have not taken its last record.
    waited_for: usize,
}

impl Shared {
    fn new(options: JsonLinesOptions, wanted: Wanted) -> Self {
        Self {
            encoder: JsonLines::new(options.clone()),
            options,
            wanted,
            members: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            newest: None,
            spare: VecDeque::new(),
            spare_ends: Vec::new(),
        }
    }

    fn is_of(&self, options: &JsonLinesOptions, wanted: Wanted) -> bool {
        self.options == *options && self.wanted == wanted
    }

    /// Appends `records`, if they are kept or worth keeping.
    fn give(&mut self, batch: &BatchRef, records: Range<u32>, out: &mut impl Out, ends: &mut Vec<usize>) -> bool {
        if self.members < 2 || records.is_empty() {
            return false;
        }
        let known = self.kept.iter().rposition(|kept| Arc::ptr_eq(&kept.batch, &batch.batch));
        let Some(index) = known.or_else(|| self.encode(batch)) else { return false };
        let kept = &mut self.kept[index];
        kept.give(records.clone(), out, ends);
        if records.end == batch.batch.record_count() {
            kept.waited_for = kept.waited_for.saturating_sub(1);
            if kept.waited_for == 0 {
                self.drop_kept(index);
            }
        }
        true
    }

    /// Encodes and keeps a batch that is newer than all before it; its index.
    fn encode(&mut self, batch: &BatchRef) -> Option<usize> {
        if self.newest.is_some_and(|newest| batch.sequence <= newest) || batch.batch.byte_len() > LARGEST_BATCH {
            return None;
        }
        self.newest = Some(batch.sequence);
        let (mut bytes, mut ends) = (self.buffer(), std::mem::take(&mut self.spare_ends));
        let report = self.encoder.encode_batch(&batch.batch, 0..batch.batch.record_count(), &mut bytes, &mut ends);
        self.kept_bytes += bytes.len();
        self.kept.push_back(Kept {
            batch: Arc::clone(&batch.batch),
            bytes: Rc::new(bytes),
            ends,
            waited_for: self.members,
        });
        if report != EncodeReport::default() {
            self.drop_kept(self.kept.len() - 1);
            return None;
        }
        while self.kept_bytes > KEPT_BYTES && self.kept.len() > 1 {
            self.drop_kept(0);
        }
        Some(self.kept.len() - 1)
    }

    /// An empty buffer: one that was used before, where nobody holds it any more.
    fn buffer(&mut self) -> Vec<u8> {
        let free = self.spare.iter().position(|spare| Rc::strong_count(spare) == 1);
        let spare = free.and_then(|index| self.spare.remove(index)).and_then(|spare| Rc::try_unwrap(spare).ok());
        let mut bytes = spare.unwrap_or_default();
        bytes.clear();
        bytes.shrink_to(2 * LARGEST_BATCH);
        bytes
    }

    fn drop_kept(&mut self, index: usize) {
        let Some(Kept { bytes, mut ends, .. }) = self.kept.remove(index) else { return };
        self.kept_bytes -= bytes.len();
        if self.spare.len() == MOST_SPARE {
            self.spare.pop_front();
        }
        self.spare.push_back(bytes);
        ends.clear();
        self.spare_ends = ends;
    }

    /// Nobody shares any more.
    fn forget(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
        self.spare.clear();
        self.spare_ends = Vec::new();
    }
}

impl Kept {
    fn give(&self, records: Range<u32>, out: &mut impl Out, ends: &mut Vec<usize>) {
        let (first, behind) = (records.start as usize, records.end as usize);
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let at = out.len();
        out.share(&self.bytes, start..self.ends[behind - 1]);
        ends.extend(self.ends[first..behind].iter().map(|end| end - start + at));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
    use crate::ring::Selection;

    fn options(newline: bool) -> JsonLinesOptions {
        JsonLinesOptions { newline, max_record_bytes: Some(2000), ..JsonLinesOptions::default() }
    }

    fn batch(sequence: u64, sizes: &[usize]) -> BatchRef {
        let origin = OriginHandle::new(Origin::new(OriginKind::Service, "test"));
        let mut builder = BatchBuilder::new(1024);
        for size in sizes {
            let body = sequence.to_string().repeat(*size);
            builder.push(&origin, RecordMeta::line(0, body.as_bytes()), body.as_bytes());
        }
        BatchRef::new(sequence, Arc::new(builder.seal()))
    }

    type Encoded = (Vec<u8>, Vec<usize>, EncodeReport);

    fn encode(encoder: &mut Encoder, batch: &BatchRef, records: Range<u32>) -> Encoded {
        // Something is in the buffers already.
        let (mut out, mut ends) = (b"before".to_vec(), vec![6]);
        let report = encoder.encode(batch, records, &mut out, &mut ends);
        (out, ends, report)
    }

    fn alone(batch: &BatchRef, records: Range<u32>) -> Encoded {
        encode(&mut Encoders::default().encoder(options(true), Selection::All), batch, records)
    }

    fn kept(encoder: &Encoder) -> (usize, usize) {
        let shared = encoder.shared.borrow();
        assert_eq!(shared.kept_bytes, shared.kept.iter().map(|kept| kept.bytes.len()).sum::<usize>());
        (shared.kept.len(), shared.kept_bytes)
    }

    #[test]
    fn a_batch_is_kept_until_all_that_share_it_have_its_last_record() {
        let encoders = Encoders::default();
        let (mut one, mut two) =
            (encoders.encoder(options(true), Selection::All), encoders.encoder(options(true), Selection::All));
        let other = encoders.encoder(options(true), Selection::Kernel);
        let batch = batch(1, &[5, 6, 7]);
        assert_eq!(encode(&mut one, &batch, 0..3), alone(&batch, 0..3));
        assert_eq!(kept(&one).0, 1);
        assert_eq!(encode(&mut two, &batch, 0..1), alone(&batch, 0..1));
        assert_eq!(encode(&mut two, &batch, 1..3), alone(&batch, 1..3));
        assert_eq!((kept(&two), kept(&other)), ((0, 0), (0, 0)));
        // Sent again, on another connection.
        assert_eq!(encode(&mut one, &batch, 2..3), alone(&batch, 2..3));
        assert_eq!(kept(&one), (0, 0));
    }

    #[test]
    fn who_is_alone_or_left_alone_keeps_nothing() {
        let encoders = Encoders::default();
        let mut one = encoders.encoder(options(true), Selection::All);
        encode(&mut one, &batch(1, &[5]), 0..1);
        assert_eq!(kept(&one), (0, 0));
        let two = encoders.encoder(options(true), Selection::All);
        encode(&mut one, &batch(2, &[5]), 0..1);
        assert_eq!(kept(&one).0, 1);
        drop(two);
        assert_eq!(kept(&one), (0, 0));
        assert_eq!(encode(&mut one, &batch(3, &[5]), 0..1), alone(&batch(3, &[5]), 0..1));
    }

    #[test]
    fn one_that_never_comes_costs_no_more_than_the_bound() {
        let encoders = Encoders::default();
        let (mut one, mut late) =
            (encoders.encoder(options(true), Selection::All), encoders.encoder(options(true), Selection::All));
        let batches: Vec<BatchRef> = (100..160).map(|sequence| batch(sequence, &[500; 100])).collect();
        for batch in &batches {
            encode(&mut one, batch, 0..100);
            assert!(kept(&one).1 <= KEPT_BYTES);
        }
        let before = kept(&one);
        assert!(before.0 > 1);
        assert_eq!(encode(&mut late, &batches[0], 0..100), alone(&batches[0], 0..100));
        assert_eq!(kept(&one), before, "what comes late is encoded again and not kept");
    }

    #[test]
    fn cut_records_are_counted_by_each_destination() {
        let encoders = Encoders::default();
        let (mut one, mut two) =
            (encoders.encoder(options(true), Selection::All), encoders.encoder(options(true), Selection::All));
        let batch = batch(1, &[5, 5000, 5]);
        for encoder in [&mut one, &mut two] {
            assert_eq!(encode(encoder, &batch, 0..2).2, EncodeReport { cut: 1, oversized: 0 });
            assert_eq!(encode(encoder, &batch, 2..3), alone(&batch, 2..3));
        }
    }

    /// As a reader that resumes in the middle of a batch gets it.
    #[test]
    fn batches_of_one_sequence_are_not_mistaken_for_each_other() {
        let encoders = Encoders::default();
        let (mut one, mut two) =
            (encoders.encoder(options(true), Selection::All), encoders.encoder(options(true), Selection::All));
        let (whole, rest) = (batch(1, &[5, 6, 7]), batch(1, &[7]));
        assert_eq!(encode(&mut one, &whole, 0..3), alone(&whole, 0..3));
        assert_eq!(encode(&mut two, &rest, 0..1), alone(&rest, 0..1));
    }

    proptest! {
        #[test]
        fn shared_or_not_the_bytes_are_the_same(
            sizes in prop::collection::vec(prop::collection::vec(0usize..2500, 1..6), 1..8),
            steps in prop::collection::vec((0usize..3, 0usize..8, 0u32..6, 0u32..6), 0..60),
        ) {
            let encoders = Encoders::default();
            let mut members: Vec<Encoder> = (0..3).map(|_| encoders.encoder(options(true), Selection::All)).collect();
            let batches: Vec<BatchRef> =
                sizes.iter().enumerate().map(|(number, sizes)| batch(number as u64, sizes)).collect();
            for (member, number, from, len) in steps {
                let batch = &batches[number % batches.len()];
                let from = from % batch.batch.record_count();
                let to = (from + len).min(batch.batch.record_count());
                prop_assert_eq!(encode(&mut members[member], batch, from..to), alone(batch, from..to));
            }
        }
    }
}
