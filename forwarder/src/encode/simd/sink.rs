//! Appends to a vector without looking its length up for each piece.
//!
//! The length of the vector is kept here, in a register, until the sink goes: an object is put together from some
//! ten pieces, and each would wait for the one before to have stored it. Pieces are copied in whole vectors where
//! there is room, and only as much as was asked for is kept.

use super::{EscapeStyle, Escaper};

/// What is copied at once.
const STEP: usize = 32;

/// The end of a vector that is being written.
pub struct Sink<'a> {
    out: &'a mut Vec<u8>,
    /// Everything before it is written.
    len: usize,
}

impl<'a> Sink<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let len = out.len();
        Self { out, len }
    }

    /// Length of the vector, once the sink has gone.
    #[inline]
    pub fn position(&self) -> usize {
        self.len
    }

    /// Takes back what was appended since the position was `position`.
    pub fn truncate(&mut self, position: usize) {
        self.len = self.len.min(position);
    }

    /// Appends the first `keep` of `bytes`.
    ///
    /// # Panics
    /// Where there are not that many.
    #[inline(always)]
    pub fn put_first<const N: usize>(&mut self, bytes: &[u8; N], keep: usize) {
        assert!(keep <= N);
        self.make_room(N);
        // SAFETY: there is room for `N` bytes behind `len`, which the two don't share.
        unsafe { self.out.as_mut_ptr().add(self.len).cast::<[u8; N]>().write_unaligned(*bytes) };
        self.len += keep;
    }

    /// Appends a part of `text`.
    ///
    /// # Panics
    /// Where it has no such part.
    #[inline(always)]
    pub fn put_part(&mut self, text: &Padded, from: usize, until: usize) {
        assert!(from <= until && until <= text.len());
        self.make_room(until - from + STEP);
        let mut at = from;
        while at < until {
            // SAFETY: `at` is inside of the text, so a step from there ends in the padding at the latest, and in the room.
            unsafe {
                let step = text.bytes.as_ptr().add(at).cast::<[u8; STEP]>().read_unaligned();
                self.out.as_mut_ptr().add(self.len + at - from).cast::<[u8; STEP]>().write_unaligned(step);
            }
            at += STEP;
        }
        self.len += until - from;
    }

    /// Appends `bytes`.
    #[inline(always)]
    pub fn put(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        // SAFETY: there is room for them behind `len`, which the two don't share.
        unsafe { self.out.as_mut_ptr().add(self.len).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.len += bytes.len();
    }

    /// Appends `input` escaped for a place between two quotes.
    #[inline(always)]
    pub fn put_escaped(&mut self, input: &[u8], style: EscapeStyle, escaper: impl Escaper) {
        self.settle();
        escaper.escape_into(self.out, input, style);
        self.len = self.out.len();
    }

    #[inline(always)]
    fn make_room(&mut self, more: usize) {
        if self.out.capacity() - self.len < more {
            self.settle();
            grow(self.out, more);
        }
    }

    #[inline]
    fn settle(&mut self) {
        // SAFETY: everything before `len` is written, and `len` never passes the capacity.
        unsafe { self.out.set_len(self.len) };
    }
}

/// Not a method: what is passed to it by reference could not stay in a register.
#[cold]
#[inline(never)]
fn grow(out: &mut Vec<u8>, more: usize) {
    out.reserve(more);
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// A text of which whole steps can be read to its end.
#[derive(Default)]
pub struct Padded {
    /// The text, and `STEP` bytes behind it where there is one.
    bytes: Vec<u8>,
    len: usize,
}

impl Padded {
    /// Makes it what `write` appends to an empty vector; the memory is used again.
    pub fn rewrite(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.len = 0;
        self.bytes.clear();
        write(&mut self.bytes);
        let len = self.bytes.len();
        self.bytes.extend_from_slice(&[0; STEP]);
        self.len = len;
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Best, escape_into};
    use super::*;

    proptest! {
        #[test]
        fn writes_what_it_is_given(
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..150), 0u8..5), 0..20),
        ) {
            let (mut got, mut expected) = (b"before".to_vec(), b"before".to_vec());
            let mut sink = Sink::new(&mut got);
            for (piece, kind) in &pieces {
                match kind {
                    0 => {
                        sink.put(piece);
                        expected.extend_from_slice(piece);
                    }
                    1 => {
                        sink.put_escaped(piece, EscapeStyle::Html, Best);
                        escape_into(&mut expected, piece, EscapeStyle::Html);
                    }
                    2 => {
                        let mut text = Padded::default();
                        text.rewrite(|out| out.extend_from_slice(piece));
                        let from = piece.len() / 3;
                        sink.put_part(&text, from, piece.len());
                        expected.extend_from_slice(&piece[from..]);
                    }
                    3 => {
                        let keep = piece.len().min(12);
                        let mut first = [0; 12];
                        first[..keep].copy_from_slice(&piece[..keep]);
                        sink.put_first(&first, keep);
                        expected.extend_from_slice(&first[..keep]);
                    }
                    _ => {
                        expected.truncate(6 + piece.len());
                        sink.truncate(6 + piece.len());
                    }
                }
                prop_assert_eq!(sink.position(), expected.len());
            }
            drop(sink);
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    #[should_panic]
    fn a_part_that_is_not_there() {
        let mut text = Padded::default();
        text.rewrite(|out| out.extend_from_slice(b"abc"));
        Sink::new(&mut Vec::new()).put_part(&text, 0, 4);
    }
}
