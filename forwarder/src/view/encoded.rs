//! The newest batches as `json_lines`, shared by all viewers that are shown everything.
//!
//! A hundred who follow encode a batch once. A batch is known by its place in memory, which is not another's while it is
//! remembered. Limits: [`KEPT`] batches.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::record::Batch;

/// Those who follow come to a batch one after the other, and are at most a batch apart where all of them read.
const KEPT: usize = 2;

/// What a viewer gets without having asked for something else: what a destination without tags gets over TCP.
pub(super) fn lines() -> JsonLines {
    JsonLines::new(JsonLinesOptions { newline: true, ..JsonLinesOptions::default() })
}

pub(super) struct Encoded {
    lines: RefCell<JsonLines>,
    newest: RefCell<VecDeque<(Weak<Batch>, Rc<Entries>)>>,
}

/// A batch's records, encoded.
#[derive(Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Default for Encoded {
    fn default() -> Self {
        Self { lines: RefCell::new(lines()), newest: RefCell::default() }
    }
}

impl Encoded {
    /// What is kept is of no use to anybody until the next batch comes.
    pub(super) fn clear(&self) {
        self.newest.borrow_mut().clear();
    }

    /// All records of a batch.
    pub(super) fn of(&self, batch: &Arc<Batch>) -> Rc<Entries> {
        let mut newest = self.newest.borrow_mut();
        if let Some((_, entries)) = newest.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(batch))) {
            return Rc::clone(entries);
        }
        newest.truncate(KEPT - 1);
        let mut entries = Entries::default();
        let all = 0..batch.record_count();
        self.lines.borrow_mut().encode_batch(batch, all, &mut entries.bytes, &mut entries.ends);
        let entries = Rc::new(entries);
        newest.push_front((Arc::downgrade(batch), Rc::clone(&entries)));
        entries
    }
}

impl Entries {
    /// Pieces of so many bytes or somewhat more, of whole records, with where these end in the piece.
    pub(super) fn pieces(&self, bytes: usize) -> impl Iterator<Item = (&[u8], impl Iterator<Item = usize>)> {
        let mut next = 0usize;
        std::iter::from_fn(move || {
            let from = next.checked_sub(1).map_or(0, |last| self.ends[last]);
            let first = next;
            next = (next + 1 + self.ends[next..].partition_point(|end| *end < from + bytes)).min(self.ends.len());
            let ends = &self.ends[first..next];
            let until = *ends.last()?;
            Some((&self.bytes[from..until], ends.iter().map(move |end| end - from)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};

    fn batch(first: usize, count: usize) -> Arc<Batch> {
        let origin = OriginHandle::new(Origin::new(OriginKind::Process, "a"));
        let mut builder = BatchBuilder::new(1 << 20);
        for number in first..first + count {
            let body = "x".repeat(number % 300);
            builder.push(&origin, RecordMeta::line(number as i64, body.as_bytes()), body.as_bytes());
        }
        Arc::new(builder.seal())
    }

    #[test]
    fn the_pieces_are_what_a_viewer_would_encode() {
        let encoded = Encoded::default();
        for batch in [batch(0, 1), batch(1, 1000), batch(5, 3)] {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            lines().encode_batch(&batch, 0..batch.record_count(), &mut bytes, &mut ends);
            for size in [1, 100, 1000, 1 << 20] {
                let (mut all, mut all_ends) = (Vec::new(), Vec::new());
                for (piece, ends) in encoded.of(&batch).pieces(size) {
                    let ends: Vec<_> = ends.collect();
                    assert_eq!(ends.last(), Some(&piece.len()));
                    all_ends.extend(ends.iter().map(|end| all.len() + end));
                    all.extend_from_slice(piece);
                }
                assert_eq!((&all, &all_ends), (&bytes, &ends), "{size}");
            }
        }
    }

    #[test]
    fn a_batch_is_encoded_once_and_forgotten() {
        let encoded = Encoded::default();
        let [first, second, third] = [batch(0, 3), batch(3, 3), batch(6, 3)];
        let once = encoded.of(&first);
        assert!(Rc::ptr_eq(&once, &encoded.of(&first)));
        encoded.of(&second);
        encoded.of(&third);
        assert!(!Rc::ptr_eq(&once, &encoded.of(&first)), "only {KEPT} are kept");
        assert_eq!(encoded.newest.borrow().len(), KEPT);
        assert_eq!(once.bytes, encoded.of(&first).bytes);
    }
}
