//! Finding records again in a line that several writers have written to.
//!
//! A record begins with `{"msg":` or `time="`. An object ends with its brace; pairs end where something comes that logrus
//! would have quoted, or a word without a value. What lies between two records is a piece of its own; a record that has no
//! end goes to where the next one begins. The pieces are the line, without the white space between them.

/// How a record of the agent begins.
pub(super) const OBJECT: &[u8] = b"{\"msg\":";
/// How a record of the shim begins.
pub(super) const TIME: &[u8] = b"time=\"";

/// Braces within each other that an object may have. Without it, a line of nothing but beginnings would be looked through
/// once for each of them.
const MAX_DEPTH: usize = 64;

/// The pieces of a line; at least one, where it is not blank.
pub fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut pieces = Pieces { line, at: 0, object_at: 0, time_at: 0 };
    std::iter::from_fn(move || pieces.next())
}

struct Pieces<'l> {
    line: &'l [u8],
    at: usize,
    /// Where records begin at the next, as far as it is known: right where it is not before what is asked for.
    object_at: usize,
    time_at: usize,
}

impl<'l> Pieces<'l> {
    fn next(&mut self) -> Option<&'l [u8]> {
        let start = self.line.len() - self.line[self.at..].trim_ascii_start().len();
        let rest = &self.line[start..];
        if rest.is_empty() {
            return None;
        }
        let len = match rest {
            [b'{', ..] => object_len(rest),
            _ if rest.starts_with(TIME) => pairs_len(rest),
            _ => None,
        };
        self.at = match len {
            Some(len) => start + len,
            None => self.next_record(start + 1),
        };
        Some(&self.line[start..self.at])
    }

    /// Where the next record begins, from `from` on; else the end.
    fn next_record(&mut self, from: usize) -> usize {
        let line = self.line;
        if self.object_at < from {
            self.object_at = memchr::memmem::find(&line[from..], OBJECT).map_or(line.len(), |at| from + at);
        }
        if self.time_at < from {
            // A key that ends so is none.
            let is_record = |at: &usize| !is_word(line[at - 1]) || line[at - 1].is_ascii_digit();
            let found = memchr::memmem::find_iter(&line[from..], TIME).map(|at| from + at).find(is_record);
            self.time_at = found.unwrap_or(line.len());
        }
        self.object_at.min(self.time_at)
    }
}

/// Of the object that the text begins with: to the brace that closes it.
fn object_len(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match text.get(at)? {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b'"' => {
                at = string_end(text, at)?;
                // Else a text that was cut, and goes to the quote that the next record begins with.
                let behind = text[at..].iter().find(|byte| !byte.is_ascii_whitespace());
                if !matches!(behind?, b':' | b',' | b'}' | b']') {
                    return None;
                }
                continue;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
        if depth > MAX_DEPTH {
            return None;
        }
    }
}

/// Behind the string that begins at `at`.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += 1;
        at += memchr::memchr2(b'"', b'\\', &text[at.min(text.len())..])?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 1;
    }
}

/// Of the pairs that the text begins with.
fn pairs_len(text: &[u8]) -> Option<usize> {
    let (mut at, mut end) = (0, 0);
    loop {
        let key = word_end(text, at);
        if key == at || text.get(key) != Some(&b'=') {
            return Some(end);
        }
        end = match text.get(key + 1) {
            Some(b'"') => string_end(text, key + 1)?,
            _ => value_end(text, key + 1),
        };
        if text.get(end) != Some(&b' ') {
            // A text that was cut, and goes to the quote that the next record's time begins with.
            let is_cut = end < text.len() && text[..end].ends_with(TIME);
            return Some(if is_cut { end - TIME.len() } else { end });
        }
        at = end + 1;
    }
}

/// Behind the value without quotes that begins at `at`; before the record that is glued to it.
fn value_end(text: &[u8], at: usize) -> usize {
    let end = word_end(text, at);
    let time = &TIME[..TIME.len() - 2];
    let is_glued = text[end..].starts_with(b"=\"") && text[at..end].ends_with(time);
    if is_glued { end - time.len() } else { end }
}

fn word_end(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| is_word(**byte)).count()
}

/// What logrus does not quote.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b'@' | b'^' | b'+')
}
