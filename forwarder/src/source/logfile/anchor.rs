//! The last bytes that are known of a stream, and where they end in its log file.

use super::Pieces;
use super::overlap::failure_table;

/// Bytes that are kept at least, of streams that have so many: enough to be found, with their time, in a log file.
const ANCHOR_BYTES: usize = 512;

/// The last bytes of a stream, as it goes on: at least [`ANCHOR_BYTES`] of a stream that has them, and less than
/// three times as many.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    older: Vec<u8>,
    newer: Vec<u8>,
    /// When the first byte of each was written, ns since the epoch.
    older_ns: i64,
    newer_ns: i64,
    last_ns: i64,
}

/// What [`Recent`] was at a place in the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    pub bytes: Vec<u8>,
    /// Before the first of the bytes was written, ns since the epoch.
    pub from_ns: i64,
    /// When the last of them was written.
    pub last_ns: i64,
}

impl Recent {
    /// The next bytes, written at `time_ns`.
    pub fn push(&mut self, bytes: &[u8], time_ns: i64) {
        self.last_ns = time_ns;
        let end = &bytes[bytes.len().saturating_sub(ANCHOR_BYTES)..];
        if end.len() < bytes.len() {
            self.clear();
        }
        if self.newer.is_empty() {
            self.newer_ns = time_ns;
        }
        self.newer.extend_from_slice(end);
        if self.newer.len() >= ANCHOR_BYTES {
            std::mem::swap(&mut self.older, &mut self.newer);
            self.older_ns = self.newer_ns;
            self.newer.clear();
        }
    }

    /// What comes next is not what follows.
    pub fn clear(&mut self) {
        self.older.clear();
        self.newer.clear();
    }

    pub fn anchor(&self) -> Anchor {
        let from_ns = if self.older.is_empty() { self.newer_ns } else { self.older_ns };
        Anchor { bytes: [&self.older[..], &self.newer].concat(), from_ns, last_ns: self.last_ns }
    }
}

impl Anchor {
    /// Where it ends in `file`: payload of the stream from before [`Anchor::from_ns`] on. `None`: it is not there, or not
    /// yet.
    ///
    /// The runtime stamps a line after it was written. So of several places the first counts whose last byte was stamped
    /// after the anchor's: an earlier one can't be it, unless a clock was set back. With `is_last_attempt` the last one of
    /// those counts where there is no other.
    pub fn end_in(&self, file: &Pieces, is_last_attempt: bool) -> Option<usize> {
        if self.bytes.is_empty() {
            return None;
        }
        let failure = failure_table(&self.bytes);
        let (mut matched, mut at, mut last) = (0, 0, None);
        for (stamped, line) in file.iter() {
            for &byte in line {
                at += 1;
                while matched > 0 && self.bytes[matched] != byte {
                    matched = failure[matched - 1];
                }
                if self.bytes[matched] == byte {
                    matched += 1;
                }
                if matched == self.bytes.len() {
                    last = Some(at);
                    if stamped >= self.last_ns {
                        return last;
                    }
                    matched = failure[matched - 1];
                }
            }
        }
        last.filter(|_| is_last_attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(lines: &[(i64, &str)]) -> Pieces {
        let mut pieces = Pieces::default();
        lines.iter().for_each(|(time_ns, line)| pieces.push(*time_ns, line.as_bytes()));
        pieces
    }

    #[test]
    fn of_several_places_the_first_that_can_be_it() {
        let anchor = Anchor { bytes: b"tick\n".to_vec(), from_ns: 1, last_ns: 25 };
        let file = pieces(&[(10, "tick\n"), (20, "tick\n"), (30, "tick\n"), (40, "tick\n")]);
        assert_eq!(anchor.end_in(&file, false), Some(15));
        assert_eq!(Anchor { last_ns: 5, ..anchor.clone() }.end_in(&file, false), Some(5));
        let later = Anchor { last_ns: 99, ..anchor.clone() };
        assert_eq!((later.end_in(&file, false), later.end_in(&file, true)), (None, Some(20)));
        assert_eq!(anchor.end_in(&pieces(&[(10, "tock\n")]), true), None);
        assert_eq!(Anchor::default().end_in(&file, true), None);
    }

    proptest! {
        /// Whatever the writes were, what is kept is the end of the stream and enough of it.
        #[test]
        fn recent_is_the_end(writes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..12)) {
            let (mut recent, mut all, mut starts) = (Recent::default(), Vec::new(), Vec::new());
            for (at, bytes) in writes.iter().enumerate() {
                starts.push((all.len(), at as i64));
                recent.push(bytes, at as i64);
                all.extend_from_slice(bytes);
            }
            let anchor = recent.anchor();
            prop_assert!(all.ends_with(&anchor.bytes));
            prop_assert!(anchor.bytes.len() >= all.len().min(ANCHOR_BYTES) && anchor.bytes.len() < 3 * ANCHOR_BYTES);
            if !anchor.bytes.is_empty() {
                let first = all.len() - anchor.bytes.len();
                let written = starts.iter().rev().find(|(start, _)| *start <= first).unwrap().1;
                prop_assert!(anchor.from_ns <= written);
            }
        }
    }
}
