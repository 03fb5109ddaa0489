//! Cuts one descriptor's bytes into lines, by memlogd's rules.
//!
//! In: pieces of one stream in order, and its end. Out: lines without their newline. A `\r` before the newline is
//! dropped, an empty line is a line, and what has no newline at the end of the stream is one too, marked
//! [`Flags::PARTIAL`]. Does no I/O and reads no clock.
//!
//! Limits: of a line, [`LineLimit::bytes`] are kept; the rest is counted in `original_len` and let go as it comes, so
//! that a stream never holds more than that, and the mark [`Flags::CUT`] says so.

use crate::record::Flags;

/// An unfinished line that took more memory than this gives it back.
const KEEP: usize = 16 << 10;

/// Where a line that is too long is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Between two characters.
    Characters,
    /// After exactly so many bytes, as memlogd does.
    Bytes,
}

/// The longest line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineLimit {
    pub bytes: usize,
    pub cut: Cut,
}

/// A line of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) body: &'a [u8],
    pub(super) flags: Flags,
    /// Its length before it was cut.
    pub(super) original_len: u32,
}

/// The unfinished line of one stream.
pub(super) struct Lines {
    limit: LineLimit,
    /// Its first bytes: one more than the limit, which tells whether a character ends there.
    partial: Vec<u8>,
    /// All of its bytes.
    len: u64,
    ends_in_return: bool,
}

impl Lines {
    pub(super) fn new(limit: LineLimit) -> Self {
        Self { limit, partial: Vec::new(), len: 0, ends_in_return: false }
    }

    /// Goes on after the beginning of a line, of [`Lines::begun`].
    pub(super) fn after(limit: LineLimit, begun: &[u8]) -> Self {
        let Some((head, partial)) = begun.split_first_chunk::<9>() else { return Self::new(limit) };
        let [len @ .., ends_in_return] = *head;
        // What was not kept of it is not there now, whatever the limit is.
        let len = u64::from_le_bytes(len).max(partial.len() as u64);
        let kept = partial.len().min(limit.bytes.saturating_add(1));
        Self { limit, partial: partial[..kept].to_vec(), len, ends_in_return: ends_in_return != 0 }
    }

    /// The beginning of a line whose end has not come, for another process: its length, whether it ends in a return, and its
    /// first bytes. `None` where there is none.
    pub(super) fn begun(&self) -> Option<Vec<u8>> {
        let head = [&self.len.to_le_bytes()[..], &[u8::from(self.ends_in_return)], &self.partial];
        (self.len > 0).then(|| head.concat())
    }

    /// The next bytes of the stream.
    pub(super) fn push(&mut self, data: &[u8], out: &mut impl FnMut(Line<'_>)) {
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', data) {
            let line = &data[start..newline];
            start = newline + 1;
            if self.len == 0 {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                out(self.limit.line(line, line.len() as u64, Flags::NONE));
            } else {
                self.extend(line);
                let len = self.len - u64::from(self.ends_in_return);
                self.emit(len, Flags::NONE, out);
            }
        }
        self.extend(&data[start..]);
    }

    /// The stream has ended.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Line<'_>)) {
        if self.len > 0 {
            self.emit(self.len, Flags::PARTIAL, out);
        }
    }

    fn extend(&mut self, data: &[u8]) {
        let Some(last) = data.last() else { return };
        let is_whole = self.partial.len() as u64 == self.len;
        let room = if is_whole { self.limit.bytes.saturating_add(1).saturating_sub(self.partial.len()) } else { 0 };
        self.partial.extend_from_slice(&data[..room.min(data.len())]);
        self.len += data.len() as u64;
        self.ends_in_return = *last == b'\r';
    }

    fn emit(&mut self, len: u64, flags: Flags, out: &mut impl FnMut(Line<'_>)) {
        let held = usize::try_from(len).unwrap_or(usize::MAX).min(self.partial.len());
        out(self.limit.line(&self.partial[..held], len, flags));
        self.partial.clear();
        if self.partial.capacity() > KEEP {
            self.partial = Vec::new();
        }
        self.len = 0;
    }
}

impl LineLimit {
    /// A line of `len` bytes, of which `body` is there: all of them, or more than the limit.
    fn line(self, body: &[u8], len: u64, flags: Flags) -> Line<'_> {
        let original_len = u32::try_from(len).unwrap_or(u32::MAX);
        if body.len() <= self.bytes {
            // Of one that began under a smaller limit, less is here than there could be.
            let cut = if body.len() as u64 == len { Flags::NONE } else { Flags::CUT };
            return Line { body, flags: flags | cut, original_len };
        }
        let end = match self.cut {
            Cut::Bytes => self.bytes,
            Cut::Characters => character_end(body, self.bytes),
        };
        Line { body: &body[..end], flags: flags | Flags::CUT, original_len }
    }
}

/// The last place up to `at` that is not inside of a character. `text` is longer than that.
fn character_end(text: &[u8], at: usize) -> usize {
    let is_inside = |byte: u8| byte & 0xc0 == 0x80;
    if !is_inside(text[at]) {
        return at;
    }
    let width = |byte: u8| match byte {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => 1,
    };
    let first = (at.saturating_sub(3)..at).rev().find(|index| !is_inside(text[*index]));
    // What only looks like the inside of a character belongs to none.
    first.filter(|first| first + width(text[*first]) > at).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(limit: LineLimit, pieces: &[&[u8]]) -> Vec<(Vec<u8>, Flags, u32)> {
        let mut lines = Lines::new(limit);
        let mut seen = Vec::new();
        let mut out = |line: Line<'_>| seen.push((line.body.to_vec(), line.flags, line.original_len));
        for piece in pieces {
            lines.push(piece, &mut out);
        }
        lines.finish(&mut out);
        seen
    }

    fn texts(bytes: usize, cut: Cut, pieces: &[&[u8]]) -> Vec<String> {
        let shown = |(body, flags, len): (Vec<u8>, Flags, u32)| {
            let cut = if flags.contains(Flags::CUT) { format!("~{len}") } else { String::new() };
            let partial = if flags.contains(Flags::PARTIAL) { "…" } else { "" };
            format!("{}{cut}{partial}", String::from_utf8_lossy(&body))
        };
        lines(LineLimit { bytes, cut }, pieces).into_iter().map(shown).collect()
    }

    #[test]
    fn lines_end_as_memlogd_ends_them() {
        let got = texts(100, Cut::Characters, &[b"a\r\n\nb\r", b"\nc\r", b"d\n\r\ne\r"]);
        assert_eq!(got, ["a", "", "b", "c\rd", "", "e\r…"]);
        assert_eq!(texts(100, Cut::Characters, &[b"", b"\n"]), [""]);
        assert!(texts(100, Cut::Characters, &[b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_and_its_rest_is_no_other_line() {
        assert_eq!(texts(3, Cut::Bytes, &[b"abcdef\nxyz\r\nabcd", b"efg\r\nz"]), ["abc~6", "xyz", "abc~7", "z…"]);
        assert_eq!(texts(0, Cut::Characters, &[b"ab\n\n"]), ["~2", ""]);
    }

    #[test]
    fn characters_stay_whole_unless_bytes_are_asked_for() {
        let text = "aä€😀".as_bytes();
        for (at, expected) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 6), (7, 6), (9, 6)] {
            assert_eq!(character_end(text, at), expected, "at {at}");
        }
        assert_eq!(character_end(b"\x80\x80\x80\x80\x80", 4), 4);
        assert_eq!(character_end(b"\xc3\xa4\x80", 2), 2);
        assert_eq!(texts(2, Cut::Bytes, &["aä\n".as_bytes()]), ["a\u{fffd}~3"]);
    }

    #[test]
    fn what_is_begun_under_another_limit_says_that_it_is_cut() {
        let limit = |bytes| LineLimit { bytes, cut: Cut::Characters };
        let mut begins = Lines::new(limit(3));
        begins.push(b"abcdefgh", &mut |_| panic!("no line has ended"));
        let begun = begins.begun().unwrap();
        for (bytes, body, next) in [(3, "abc", "nex"), (2, "ab", "ne"), (100, "abcd", "next")] {
            let (mut goes_on, mut seen) = (Lines::after(limit(bytes), &begun), Vec::new());
            goes_on.push(b"ij\r\nnext\n", &mut |line| {
                seen.push((String::from_utf8_lossy(line.body).into_owned(), line.flags, line.original_len));
            });
            let cut = if bytes < 4 { Flags::CUT } else { Flags::NONE };
            assert_eq!(seen, [(body.to_owned(), Flags::CUT, 10), (next.to_owned(), cut, 4)]);
        }
        assert_eq!(Lines::new(limit(3)).begun(), None);
        // What is no beginning is none.
        assert_eq!(Lines::after(limit(3), b"\x05").begun(), None);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_reads_end(
            data in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0xc3), Just(0xa4), any::<u8>()], 0..300),
            ends in proptest::collection::vec(0..300usize, 0..10),
            bytes in 0..40usize,
            cut in prop_oneof![Just(Cut::Bytes), Just(Cut::Characters)],
        ) {
            let limit = LineLimit { bytes, cut };
            let mut ends: Vec<usize> = ends.into_iter().map(|end| end.min(data.len())).collect();
            ends.extend([0, data.len()]);
            ends.sort_unstable();
            let pieces: Vec<&[u8]> = ends.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect();
            let whole = lines(limit, &[&data]);
            prop_assert_eq!(&lines(limit, &pieces), &whole);
            // Nor whether another process reads on.
            let (mut reader, mut seen) = (Lines::new(limit), Vec::new());
            let mut out = |line: Line<'_>| seen.push((line.body.to_vec(), line.flags, line.original_len));
            for piece in &pieces {
                reader = reader.begun().map_or_else(|| Lines::new(limit), |begun| Lines::after(limit, &begun));
                reader.push(piece, &mut out);
            }
            reader.finish(&mut out);
            prop_assert_eq!(&seen, &whole);
            // Against the rules, written down independently.
            let mut expected: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
            let rest = expected.pop().unwrap_or_default();
            let mut expected: Vec<&[u8]> = expected.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
            expected.extend(Some(rest).filter(|rest| !rest.is_empty()));
            prop_assert_eq!(whole.len(), expected.len());
            for ((body, flags, len), line) in whole.iter().zip(expected) {
                prop_assert_eq!(*len as usize, line.len());
                prop_assert!(line.starts_with(body) && body.len() <= bytes);
                prop_assert_eq!(flags.contains(Flags::CUT), line.len() > bytes);
                prop_assert!(cut == Cut::Characters || body.len() == bytes.min(line.len()));
                prop_assert!(body.len() + 3 >= bytes.min(line.len()));
            }
        }
    }
}
