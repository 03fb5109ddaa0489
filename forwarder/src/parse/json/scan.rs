//! A place in a text, and what can be said of the bytes from there on without looking at each.
//!
//! Every byte of a text is marked once, by a loop that the compiler turns into vector instructions of whatever the
//! machine has, and the marks are gathered to a bit for each byte. The end of a string that is plain is then the next
//! bit. The strings of a log line are short, and a search for each would cost more than that.

use super::members::{Members, sort_prefix};
use super::number::EXACT_DIGITS;
use crate::record::{FieldSpan, Span};

/// Bytes whose marks are one word.
const BLOCK: usize = 64;

/// A bit for each quote, backslash, control byte, byte that is not ASCII, and for the end of the text.
#[derive(Default)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    pub(super) fn set(&mut self, text: &[u8]) {
        self.0.clear();
        let (blocks, rest) = text.as_chunks();
        self.0.extend(blocks.iter().map(marks));
        // Behind the text are zeros, which are marked.
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        self.0.push(marks(&last));
    }

    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if self.0.capacity() > bytes / size_of::<u64>() {
            self.0.clear();
            self.0.shrink_to(bytes / size_of::<u64>());
        }
    }
}

/// The first marked place of `from` or later, in a text that has it.
#[inline(always)]
fn next(marks: &[u64], from: usize) -> usize {
    let mut index = from / BLOCK;
    let rest = marks.get(index).map_or(0, |word| word >> (from % BLOCK));
    if rest != 0 {
        return from + rest.trailing_zeros() as usize;
    }
    loop {
        index += 1;
        match marks.get(index) {
            Some(0) => {}
            Some(word) => return index * BLOCK + word.trailing_zeros() as usize,
            // Behind the text.
            None => return index * BLOCK,
        }
    }
}

#[inline(always)]
fn marks(block: &[u8; BLOCK]) -> u64 {
    let mut marks = [0u8; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        // What is not ASCII is negative.
        *mark = u8::from((*byte == b'"') | (*byte == b'\\') | (byte.cast_signed() < 0x20));
    }
    let mut word = 0;
    for (index, eight) in marks.as_chunks().0.iter().enumerate() {
        // Shifts the lowest bit of byte n to bit n of the highest byte; no two of the other products meet there.
        let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= bits << (index * 8);
    }
    word
}

pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    marks: &'t [u64],
    pub(super) at: usize,
}

impl<'t> Scanner<'t> {
    /// At `at` in a text whose marks these are.
    pub(super) fn new(text: &'t [u8], marks: &'t Marks, at: usize) -> Self {
        Self { text, marks: &marks.0, at }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Whether the next byte is `byte`, which then is behind it.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// `true`, `false` or `null`.
    pub(super) fn literal(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        let literal = [&b"true"[..], b"false", b"null"].into_iter().find(|literal| rest.starts_with(literal))?;
        self.at += literal.len();
        Some(())
    }

    /// Reads members without space in or between them, whose key and value stand there as they are meant, in ASCII: text,
    /// or a whole number of up to 15 digits. Nearly all members of log lines are such. Whether the scanner is then behind
    /// a member; otherwise the next one is another kind.
    #[inline]
    pub(super) fn plain_members(&mut self, members: &mut Members) -> bool {
        let (text, marks) = (self.text, self.marks);
        let mut at = self.at;
        let is_behind = loop {
            let key = at + 1;
            if text.get(at) != Some(&b'"') {
                break false;
            }
            let key_end = next(marks, key);
            let Some([b'"', b':', first]) = text.get(key_end..).and_then(<[u8]>::first_chunk) else { break false };
            let mut value = key_end + 2;
            let (end, behind, is_json) = match first {
                b'"' => {
                    value += 1;
                    let end = next(marks, value);
                    if text.get(end) != Some(&b'"') {
                        break false;
                    }
                    (end, end + 1, false)
                }
                b'0'..=b'9' => {
                    let mut end = value + 1;
                    while text.get(end).is_some_and(u8::is_ascii_digit) {
                        end += 1;
                    }
                    let is_short = end - value <= EXACT_DIGITS && (*first != b'0' || end == value + 1);
                    if !is_short || !matches!(text.get(end), Some(b',' | b'}')) {
                        break false;
                    }
                    (end, end, true)
                }
                _ => break false,
            };
            // A text that is looked into is far shorter than 4 GiB.
            let span = |start: usize, end: usize| Span { start: start as u32, len: (end - start) as u32 };
            let field = FieldSpan { key: span(key, key_end), value: span(value, end), is_json };
            let is_room = members.push(sort_prefix(&text[key..], key_end - key), field);
            at = behind;
            if text.get(behind) != Some(&b',') || !is_room {
                break true;
            }
            at += 1;
        };
        self.at = at;
        is_behind
    }

    /// Length of a string that means exactly the bytes that stand there: no escapes, valid UTF-8. The scanner is then
    /// behind its closing quote, and stays where it was otherwise.
    pub(super) fn plain_string(&mut self) -> Option<usize> {
        let mut end = next(self.marks, self.at);
        if self.text.get(end).is_some_and(|byte| *byte >= 0x80) {
            end = next_end(self.text, end);
            simdutf8::basic::from_utf8(&self.text[self.at..end]).ok()?;
        }
        if self.text.get(end) != Some(&b'"') {
            return None;
        }
        let len = end - self.at;
        self.at = end + 1;
        Some(len)
    }

    /// The bytes from here to the first quote, backslash, control byte or the end.
    pub(super) fn run(&self) -> &'t [u8] {
        &self.text[self.at..next_end(self.text, self.at)]
    }
}

/// The first place of `at` or later with a quote, a backslash or a control byte; the text's length where there is none.
fn next_end(text: &[u8], mut at: usize) -> usize {
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let found = ends(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &text[at..];
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// The lowest bit that is set is the highest of the first byte of these eight that ends a run. Bits above mean nothing.
fn ends(eight: u64) -> u64 {
    let all = |byte: u8| u64::from_ne_bytes([byte; 8]);
    // An ASCII byte's highest bit is set by taking more from it than it is. That takes one from the byte above as well.
    let quote = (eight ^ all(b'"')).wrapping_sub(all(1));
    let backslash = (eight ^ all(b'\\')).wrapping_sub(all(1));
    (quote | backslash | eight.wrapping_sub(all(0x20))) & !eight & all(0x80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_end_at_the_first_special_byte(
            text in proptest::collection::vec(prop_oneof![6 => 0x1eu8..0x24, 6 => 0x5bu8..0x5e, 9 => b'a'..=b'z', 1 => any::<u8>()], 0..40),
            plain in 0..200usize,
            at in any::<prop::sample::Index>(),
        ) {
            let mut text = text;
            text.splice(0..0, std::iter::repeat_n(b'x', plain));
            let mut marks = Marks::default();
            marks.set(&text);
            let at = at.index(text.len() + 1);
            let mut scanner = Scanner::new(&text, &marks, at);
            let first = |ends: &dyn Fn(&u8) -> bool| text[at..].iter().position(ends).unwrap_or(text.len() - at);
            let run = first(&|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(scanner.run(), &text[at..at + run]);
            let is_plain = text.get(at + run) == Some(&b'"') && std::str::from_utf8(&text[at..at + run]).is_ok();
            prop_assert_eq!(scanner.plain_string(), is_plain.then_some(run));
        }
    }
}
