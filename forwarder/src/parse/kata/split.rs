//! Finding records again in a line that several writers have written to.
//!
//! A record begins with `{"msg":` or `time="`. An object ends with its brace; pairs end where something comes that logrus
//! would have quoted, or a word without a value. What lies between two records is a piece of its own; a record that has no
//! end goes to where the next one begins. The pieces are the line, without the white space between them.

/// How a record of the agent begins.
pub(super) const OBJECT: &[u8] = b"{\"msg\":";
/// How a record of the shim begins.
pub(super) const TIME: &[u8] = b"time=\"";

/// The pieces of a line; at least one, where it is not blank.
pub fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let len = match rest {
            [b'{', ..] => object_len(rest),
            _ if rest.starts_with(TIME) => pairs_len(rest),
            _ => None,
        };
        let (piece, behind) = rest.split_at(len.unwrap_or_else(|| next_record(rest)));
        rest = behind;
        Some(piece)
    })
}

/// Where the next record begins behind the first byte; else the end.
fn next_record(text: &[u8]) -> usize {
    let find = |what: &[u8]| memchr::memmem::find(&text[1..], what).map_or(text.len(), |at| at + 1);
    // A key that ends so is none.
    let time = memchr::memmem::find_iter(&text[1..], TIME).map(|at| at + 1);
    let time = time.into_iter().find(|at| !is_word(text[at - 1]) || text[at - 1].is_ascii_digit());
    find(OBJECT).min(time.unwrap_or(text.len()))
}

/// Of the object that the text begins with: to the brace that closes it.
fn object_len(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match text.get(at)? {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b'"' => at = string_end(text, at)? - 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
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
