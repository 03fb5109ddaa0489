//! A place in a text, and what can be said of the bytes from there on without looking at each.
//!
//! Every byte of a text is marked once, by a loop that the compiler turns into vector instructions of whatever the
//! machine has. The end of a string is then the next mark: eight at a time, in a plain register. The strings of a log
//! line are short, and a search for each would cost more than that.

use super::number::EXACT_DIGITS;
use crate::record::{FieldSpan, Span};

/// A quote, a backslash or a control byte.
const ENDS: u8 = 1;
/// A byte of a character that is not ASCII.
const NON_ASCII: u8 = 0x80;

/// Marks behind the last byte's.
const BEHIND: usize = 8;

/// The marks of one text, and enough behind them for a step that starts at the last.
#[derive(Default)]
pub(super) struct Marks(Vec<u8>);

impl Marks {
    pub(super) fn set(&mut self, text: &[u8]) {
        self.0.clear();
        self.0.extend(
            text.iter().map(|byte| u8::from((*byte == b'"') | (*byte == b'\\') | (*byte < 0x20)) | byte & NON_ASCII),
        );
        self.0.extend_from_slice(&[ENDS; BEHIND]);
    }

    pub(super) fn shrink_to(&mut self, bytes: usize) {
        self.0.clear();
        self.0.shrink_to(bytes);
    }
}

pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    marks: &'t [u8],
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

    /// A member without space in it, whose key and value stand there as they are meant, in ASCII: text, or a whole
    /// number of up to 15 digits. Nearly all members of log lines are such. The scanner is then behind it, and stays
    /// where it was otherwise.
    #[inline(always)]
    pub(super) fn plain_member(&mut self) -> Option<FieldSpan> {
        let (text, marks) = (self.text, self.marks);
        let key = self.at + 1;
        if text.get(self.at) != Some(&b'"') {
            return None;
        }
        let key_end = next::<{ ENDS | NON_ASCII }>(marks, key);
        let [b'"', b':', first, ..] = text.get(key_end..)? else { return None };
        let mut value = key_end + 2;
        let (end, is_json) = match first {
            b'"' => {
                value += 1;
                let end = next::<{ ENDS | NON_ASCII }>(marks, value);
                if text.get(end) != Some(&b'"') {
                    return None;
                }
                self.at = end + 1;
                (end, false)
            }
            b'0'..=b'9' => {
                let mut end = value + 1;
                while text.get(end).is_some_and(u8::is_ascii_digit) {
                    end += 1;
                }
                let is_short = end - value <= EXACT_DIGITS && (*first != b'0' || end == value + 1);
                if !is_short || !matches!(text.get(end), Some(b',' | b'}')) {
                    return None;
                }
                self.at = end;
                (end, true)
            }
            _ => return None,
        };
        // A text that is looked into is far shorter than 4 GiB.
        let span = |start: usize, end: usize| Span { start: start as u32, len: (end - start) as u32 };
        Some(FieldSpan { key: span(key, key_end), value: span(value, end), is_json })
    }

    /// Length of a string that means exactly the bytes that stand there: no escapes, valid UTF-8. The scanner is then
    /// behind its closing quote, and stays where it was otherwise.
    pub(super) fn plain_string(&mut self) -> Option<usize> {
        let mut end = next::<{ ENDS | NON_ASCII }>(self.marks, self.at);
        if self.text.get(end).is_some_and(|byte| *byte >= 0x80) {
            end = next::<ENDS>(self.marks, end);
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
        &self.text[self.at..next::<ENDS>(self.marks, self.at)]
    }
}

/// The first place of `from` or later with one of these marks; the text's length where there is none.
#[inline(always)]
fn next<const MARKS: u8>(marks: &[u8], mut from: usize) -> usize {
    // The last eight are marked, so this ends at the first of them at the latest.
    while let Some(step) = marks.get(from..).and_then(<[u8]>::first_chunk::<8>) {
        let found = u64::from_le_bytes(*step) & u64::from_le_bytes([MARKS; 8]);
        if found != 0 {
            return from + found.trailing_zeros() as usize / 8;
        }
        from += 8;
    }
    // Behind the text: the marks after it are fewer than a step.
    marks.len() - BEHIND
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_end_at_the_first_special_byte(
            text in proptest::collection::vec(prop_oneof![6 => 0x1eu8..0x24, 6 => 0x5bu8..0x5e, 9 => b'a'..=b'z', 1 => any::<u8>()], 0..40),
            plain in 0..40usize,
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
