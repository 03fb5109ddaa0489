//! Where to go on after the connection to memlogd broke: it gives its whole ring again, of which some is written.
//!
//! Hashes of the last entries are remembered, in order. What comes after a reconnect is held against them: as long as it
//! repeats a part of what was written, it is skipped; from the first entry on that does not, everything is new. Another
//! memlogd, with another ring, repeats nothing. An entry is its whole line, time included. No clock is asked, which may
//! have been set.
//!
//! Limits: [`ENTRIES`] are remembered. With more than that in the ring, what is given again is written again: doubled,
//! never lost.

use std::collections::VecDeque;

use crate::record::OriginId;

/// Half a megabyte.
const ENTRIES: usize = 64 << 10;

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Resume {
    written: VecDeque<u64>,
    /// Places in `written` of which the next entry may be the repetition; none: everything is new.
    places: Vec<usize>,
}

impl Resume {
    /// The connection is another one.
    pub(super) fn reconnected(&mut self) {
        self.places = (0..self.written.len()).collect();
    }

    /// Whether this entry, the next that came, is new; it is then remembered as written.
    pub(super) fn is_new(&mut self, line: &[u8]) -> bool {
        let hash = OriginId::of_text(line).0;
        if !self.places.is_empty() {
            let written = &self.written;
            self.places.retain_mut(|place| {
                let same = written.get(*place) == Some(&hash);
                *place += 1;
                same
            });
            if !self.places.is_empty() {
                return false;
            }
        }
        if self.written.len() == ENTRIES {
            self.written.pop_front();
        }
        self.written.push_back(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is written of several connections.
    fn written(connections: &[&[u8]]) -> Vec<u8> {
        let mut resume = Resume::default();
        let mut written = Vec::new();
        for (index, entries) in connections.iter().enumerate() {
            if index > 0 {
                resume.reconnected();
            }
            written.extend(entries.iter().filter(|entry| resume.is_new(&[**entry])));
        }
        written
    }

    #[test]
    fn a_repetition_is_skipped_and_a_new_ring_is_not() {
        assert_eq!(written(&[b"abcd", b"bcdef", b"efg"]), b"abcdefg");
        assert_eq!(written(&[b"abcd", b"abcd", b"abcde"]), b"abcde");
        assert_eq!(written(&[b"abcd", b"xyz"]), b"abcdxyz");
        // Several places may be the one, until the next entry tells.
        assert_eq!(written(&[b"aaab", b"aabc"]), b"aaabc");
        assert_eq!(written(&[b"", b"ab"]), b"ab");
    }

    proptest! {
        #[test]
        fn nothing_is_missing_or_doubled(len in 1..200u8, broken in 0..200u8, oldest in 0..200u8) {
            let stream: Vec<u8> = (0..len).collect();
            let broken = usize::from(broken.min(len));
            let oldest = usize::from(oldest).min(broken);
            prop_assert_eq!(written(&[&stream[..broken], &stream[oldest..]]), stream);
        }
    }
}
