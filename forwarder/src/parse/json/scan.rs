//! A place in a text, and what can be said of the bytes from there on without looking at each.
//!
//! Eight bytes a step, in a plain register: the strings of a log line are short, and finding where each ends costs
//! less this way than calling a search with wider registers for each.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
}

impl Scanner<'_> {
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

    /// Length of a string that means exactly the bytes that stand there: no escapes, valid UTF-8. The scanner is then
    /// behind its closing quote, and stays where it was otherwise.
    #[inline]
    pub(super) fn plain_string(&mut self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let mut len = run::<true>(rest);
        if rest.get(len).is_some_and(|byte| *byte >= 0x80) {
            len += run::<false>(&rest[len..]);
            simdutf8::basic::from_utf8(&rest[..len]).ok()?;
        }
        if rest.get(len) != Some(&b'"') {
            return None;
        }
        self.at += len + 1;
        Some(len)
    }
}

/// Bytes at the start of `text` before the first quote, backslash or control byte; with `ASCII`, or non-ASCII byte.
#[inline]
pub(super) fn run<const ASCII: bool>(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte that is zero (or, third, below 32). Borrows reach only bytes behind one that is
        // found, and the first is all that is asked for.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let (quote, backslash) = (zero(word ^ (ONES * 0x22)), zero(word ^ (ONES * 0x5c)));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | backslash | control | if ASCII { word } else { 0 }) & HIGH;
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20) || (ASCII && *byte >= 0x80);
    words.len() * 8 + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_end_at_the_first_special_byte(
            text in proptest::collection::vec(prop_oneof![6 => 0x1eu8..0x24, 6 => 0x5bu8..0x5e, 9 => b'a'..b'z', 1 => any::<u8>()], 0..40),
            plain in 0..40usize,
        ) {
            let mut text = text;
            text.splice(0..0, std::iter::repeat_n(b'x', plain));
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            let first = |ends: &dyn Fn(&u8) -> bool| text.iter().position(ends).unwrap_or(text.len());
            prop_assert_eq!(run::<false>(&text), first(&special));
            prop_assert_eq!(run::<true>(&text), first(&|byte| special(byte) || *byte >= 0x80));
        }
    }
}
