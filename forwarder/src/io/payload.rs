//! What one write carries: bytes of its own, and between them parts of buffers that other writes carry too.
//!
//! Several destinations that want the same bytes send them from where they were encoded, each at its own pace. What is
//! shared is not changed while anybody holds it, and a payload holds all of a buffer of which it has a part.

use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

/// A part that is shorter is copied: that costs less than one more piece of a system call, and holds no larger buffer.
const LEAST_SHARED: usize = 16 << 10;

#[derive(Clone, Debug, Default)]
pub struct Payload {
    own: Vec<u8>,
    shared: Vec<Shared>,
    shared_len: usize,
}

#[derive(Clone, Debug)]
struct Shared {
    /// Bytes of `own` that come before it.
    at: usize,
    bytes: Rc<Vec<u8>>,
    part: Range<usize>,
}

impl Payload {
    #[inline]
    pub fn len(&self) -> usize {
        self.own.len() + self.shared_len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of its own; what is appended to them is appended to the payload.
    pub fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Appends a part of `bytes`.
    ///
    /// # Panics
    /// Where they have no such part.
    pub fn share(&mut self, bytes: &Rc<Vec<u8>>, part: Range<usize>) {
        if part.len() < LEAST_SHARED {
            return self.own.extend_from_slice(&bytes[part]);
        }
        assert!(part.end <= bytes.len());
        self.shared_len += part.len();
        self.shared.push(Shared { at: self.own.len(), bytes: Rc::clone(bytes), part });
    }

    /// Empties it, and gives back what memory of its own it has beyond `keep` bytes.
    pub fn clear(&mut self, keep: usize) {
        self.own.clear();
        self.own.shrink_to(keep);
        self.shared.clear();
        self.shared_len = 0;
    }

    /// The bytes from `from` on, in pieces; none of them is empty.
    pub fn pieces(&self, from: usize) -> impl Iterator<Item = IoSlice<'_>> {
        let mut skip = from;
        let mut own_done = 0;
        let shared = self.shared.iter().map(Some).chain([None]);
        let all = shared.flat_map(move |shared| {
            let own_until = shared.map_or(self.own.len(), |shared| shared.at);
            let own = &self.own[own_done..own_until];
            own_done = own_until;
            [own, shared.map_or(&[][..], |shared| &shared.bytes[shared.part.clone()])]
        });
        all.filter_map(move |piece| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            (skipped < piece.len()).then(|| IoSlice::new(&piece[skipped..]))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_what_was_appended_from_any_place_on(
            steps in prop::collection::vec((any::<bool>(), 0usize..3 * LEAST_SHARED, any::<u8>()), 0..8),
            from in any::<prop::sample::Index>(),
        ) {
            let (mut payload, mut expected) = (Payload::default(), Vec::new());
            for (is_shared, len, byte) in steps {
                let bytes: Vec<u8> = (0..len).map(|at| byte.wrapping_add((at % 251) as u8)).collect();
                if is_shared {
                    let part = len / 7..len - len / 9;
                    expected.extend_from_slice(&bytes[part.clone()]);
                    payload.share(&Rc::new(bytes), part);
                } else {
                    payload.own().extend_from_slice(&bytes);
                    expected.extend_from_slice(&bytes);
                }
                prop_assert_eq!(payload.len(), expected.len());
            }
            let from = from.index(expected.len() + 1);
            let pieces: Vec<IoSlice<'_>> = payload.pieces(from).collect();
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(pieces.iter().map(|piece| &piece[..]).collect::<Vec<_>>().concat(), &expected[from..]);
            payload.clear(0);
            prop_assert!(payload.is_empty() && payload.pieces(0).next().is_none());
        }
    }

    #[test]
    fn short_parts_are_copied_and_hold_nothing() {
        let bytes = Rc::new(vec![7; LEAST_SHARED]);
        let mut payload = Payload::default();
        payload.share(&bytes, 0..LEAST_SHARED - 1);
        assert_eq!((Rc::strong_count(&bytes), payload.len()), (1, LEAST_SHARED - 1));
        payload.share(&bytes, 0..LEAST_SHARED);
        assert_eq!(Rc::strong_count(&bytes), 2);
        payload.clear(0);
        assert_eq!(Rc::strong_count(&bytes), 1);
    }
}
