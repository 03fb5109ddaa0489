//! A place in a text, and what can be said of the bytes from there on without looking at each.
//!
//! Every byte of a text is marked once ([`mark_strings`]): the end of a string that is plain is then the next bit.

use super::members::{Members, sort_prefix};
use super::number::EXACT_DIGITS;
use crate::encode::simd::{MARKED, mark_strings};
use crate::record::{FieldSpan, Span};

/// A bit for each quote, backslash, control byte, byte that is not ASCII, and for the end of the text.
#[derive(Default)]
pub(super) struct Marks(Vec<u32>);

impl Marks {
    pub(super) fn set(&mut self, text: &[u8]) {
        mark_strings(text, &mut self.0);
    }

    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if self.0.capacity() > bytes / size_of::<u32>() {
            self.0.clear();
            self.0.shrink_to(bytes / size_of::<u32>());
        }
    }
}

/// The marked places from some place on, one after the other.
struct Marked<'t> {
    /// Those of this word and of the later ones are still to come.
    word: u32,
    index: usize,
    marks: &'t [u32],
}

impl<'t> Marked<'t> {
    #[inline]
    fn from(marks: &'t [u32], at: usize) -> Self {
        let index = at / MARKED;
        Self { word: marks.get(index).map_or(0, |word| word & u32::MAX << (at % MARKED)), index, marks }
    }

    /// The next marked place; past the text, some place there.
    #[inline(always)]
    fn next(&mut self) -> usize {
        while self.word == 0 {
            self.index += 1;
            self.word = self.marks.get(self.index).copied().unwrap_or(1);
        }
        let place = self.index * MARKED + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        place
    }
}

pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    marks: &'t [u32],
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

    /// The first marked place of `from` or later: a quote, a backslash, a control byte, a byte that is not ASCII, or some
    /// place behind the text.
    #[inline]
    pub(super) fn next_mark(&self, from: usize) -> usize {
        Marked::from(self.marks, from).next()
    }

    /// The end of a whole number of up to 15 digits that begins at `from` of `text` and is written as Go would write it.
    /// What follows is not looked at.
    #[inline]
    pub(super) fn short_number(text: &[u8], from: usize) -> Option<usize> {
        let digits = text.get(from..)?;
        let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_short = (1..=EXACT_DIGITS).contains(&len) && (digits[0] != b'0' || len == 1);
        is_short.then_some(from + len)
    }

    /// Reads members without space in or between them, whose key and value stand there as they are meant, in ASCII: text,
    /// or a whole number of up to 15 digits. Nearly all members of log lines are such. Whether the scanner is then behind
    /// a member; otherwise the next one is another kind.
    #[inline]
    pub(super) fn plain_members(&mut self, members: &mut Members) -> bool {
        let text = self.text;
        let mut marked = Marked::from(self.marks, self.at);
        let mut at = self.at;
        let is_behind = loop {
            // The opening quote is marked, if it is one.
            let key = at + 1;
            if text.get(at) != Some(&b'"') || marked.next() != at {
                break false;
            }
            let key_end = marked.next();
            let Some([b'"', b':', first]) = text.get(key_end..).and_then(<[u8]>::first_chunk) else { break false };
            let mut value = key_end + 2;
            let (end, behind, is_json) = match first {
                b'"' => {
                    value = marked.next() + 1;
                    let end = marked.next();
                    if text.get(end) != Some(&b'"') {
                        break false;
                    }
                    (end, end + 1, false)
                }
                b'0'..=b'9' => {
                    let end = Self::short_number(text, value).filter(|end| matches!(text.get(*end), Some(b',' | b'}')));
                    let Some(end) = end else { break false };
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
        let mut end = self.next_mark(self.at);
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
