//! A JSON object, read as Go's `encoding/json` (v1) reads one into a `map[string]any` and writes it again.
//!
//! In: bytes. Out: the object's members as ranges, sorted by key, each key once (the last one of the text). A text
//! value is given unescaped, every other one as the canonical JSON that `json.Marshal` writes for it: compact, keys
//! sorted, strings escaped for HTML, numbers as the shortest that is the same `float64`.
//!
//! - What is plain in the text is not copied: ranges point into it. That is a string without escapes in valid UTF-8,
//!   a literal, and a number of up to 15 digits that is written the shortest way. The rest is written beside it.
//! - Bytes that are not UTF-8 are accepted in strings and become U+FFFD, one for each; so does a lone surrogate.
//! - Refused, as Go does: everything that is no object or has anything but white space around it, numbers beyond
//!   `float64`, control bytes in strings, more than [`MAX_DEPTH`] levels.
//! - Also refused: a text longer than [`MAX_OBJECT_BYTES`], and more than [`MAX_MEMBERS`] members. Limits of ours.
//!
//! Nothing is allocated for an object once the parser has seen a few, but to sort more than 20 members.

mod members;
mod nested;
mod number;
mod scan;
mod string;

use self::nested::Nested;
use self::scan::{Marks, Scanner};
use super::layout::{Layouts, Values};
use crate::record::{FieldSpan, Span, bytes};

pub(crate) use self::members::Names;
pub(super) use self::members::{Key, Member, Members, sort_prefix};
pub(super) use self::string::{put_quoted, put_valid};

/// Levels of objects and arrays, as in Go.
pub const MAX_DEPTH: usize = 10_000;
/// The longest text that is looked into.
pub const MAX_OBJECT_BYTES: usize = 1 << 20;
/// What a record can carry, with room for fields that a format adds.
pub const MAX_MEMBERS: usize = 65_000;

/// Memory that is kept from one object to the next.
const KEPT_BYTES: usize = 256 << 10;

/// Reads objects; keeps its memory.
#[derive(Default)]
pub struct JsonParser {
    /// The members of the last object.
    pub(super) members: Members,
    /// What does not stand in the text as it is meant.
    pub(super) more: Vec<u8>,
    /// For those members that a format leaves as fields.
    pub(super) fields: Vec<FieldSpan>,
    nested: Nested,
    marks: Marks,
    layouts: Layouts<Kind>,
}

/// What a line like one before has in the place of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In ASCII, without escapes.
    Text,
    ShortNumber,
}

impl JsonParser {
    /// Reads `line[from..]`; whether it is an object. Its members are in [`JsonParser::members`] until the next call.
    pub fn read(&mut self, line: &[u8], from: usize) -> bool {
        self.members.clear();
        self.fields.clear();
        self.more.clear();
        if self.more.capacity() > KEPT_BYTES {
            self.more.shrink_to(KEPT_BYTES);
        }
        self.nested.shrink_to(KEPT_BYTES);
        // Mostly the first byte says already that it is none.
        let begins = line[from..].trim_ascii_start().first() == Some(&b'{');
        if line.len() > MAX_OBJECT_BYTES || !begins {
            return false;
        }
        // Taken out for the time, so that they can be looked at while the rest is written to.
        let mut marks = std::mem::take(&mut self.marks);
        marks.set(line);
        let mut scanner = Scanner::new(line, &marks, from);
        let mut found = self.layouts.read(&scanner, from, &mut self.members);
        if !found {
            found = self.object(&mut scanner).is_some();
            if found {
                self.layouts.learn(&scanner, from, &self.members.list);
            }
        }
        marks.shrink_to(KEPT_BYTES);
        self.marks = marks;
        found
    }

    /// The members of the object that was read from `line`: key, value, and whether the value is JSON and not text.
    pub fn members<'p>(&'p self, line: &'p [u8]) -> impl ExactSizeIterator<Item = (&'p [u8], &'p [u8], bool)> {
        let bytes = |span| bytes(line, &self.more, span);
        self.members.list.iter().map(move |Member { field, .. }| (bytes(field.key), bytes(field.value), field.is_json))
    }

    /// The same as spans over the line and, behind it, [`JsonParser::beside_line`].
    pub(crate) fn spans(&self) -> impl ExactSizeIterator<Item = FieldSpan> + Clone {
        self.members.list.iter().map(|member| member.field)
    }

    /// Which of them say what the record's time, level and text are, of the object that was read from `line`.
    pub(crate) fn names(&self, line: &[u8]) -> Names {
        Names::of(&self.members, line, &self.more)
    }

    /// What does not stand in the line as it is meant.
    pub(crate) fn beside_line(&self) -> &[u8] {
        &self.more
    }

    fn object(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        scanner.skip_space();
        scanner.expect(b'{')?;
        scanner.skip_space();
        if !scanner.take(b'}') {
            loop {
                if !scanner.plain_members(&mut self.members) {
                    scanner.skip_space();
                    self.member(scanner)?;
                }
                if self.members.list.len() > MAX_MEMBERS {
                    return None;
                }
                scanner.skip_space();
                if !scanner.take(b',') {
                    break;
                }
            }
            scanner.expect(b'}')?;
            self.members.sort(scanner.text, &self.more);
        }
        scanner.skip_space();
        (scanner.at == scanner.text.len()).then_some(())
    }

    #[inline(never)]
    fn member(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        scanner.expect(b'"')?;
        let key = self.string(scanner)?;
        scanner.skip_space();
        scanner.expect(b':')?;
        scanner.skip_space();
        let (value, is_json) = self.value(scanner)?;
        let prefix = sort_prefix(bytes(scanner.text, &self.more, key), key.len as usize);
        self.members.push(prefix, FieldSpan { key, value, is_json });
        Some(())
    }

    fn value(&mut self, scanner: &mut Scanner<'_>) -> Option<(Span, bool)> {
        let start = scanner.at;
        match scanner.peek()? {
            b'"' => {
                scanner.at += 1;
                return Some((self.string(scanner)?, false));
            }
            b'{' | b'[' => {
                let start = self.more.len();
                self.nested.render(scanner, &mut self.more)?;
                return Some((self.beside(scanner, start), true));
            }
            b'-' | b'0'..=b'9' => {
                if !number::scan(scanner)? {
                    let at = self.more.len();
                    number::render(&scanner.text[start..scanner.at], &mut self.more)?;
                    return Some((self.beside(scanner, at), true));
                }
            }
            _ => scanner.literal()?,
        }
        Some((Span::new(start, scanner.at - start), true))
    }

    /// The rest of a string whose opening quote is behind the scanner.
    fn string(&mut self, scanner: &mut Scanner<'_>) -> Option<Span> {
        let start = scanner.at;
        if let Some(len) = scanner.plain_string() {
            return Some(Span::new(start, len));
        }
        let at = self.more.len();
        string::decode(scanner, &mut self.more)?;
        Some(self.beside(scanner, at))
    }

    /// What was written beside the line from `start` on.
    fn beside(&self, scanner: &Scanner<'_>, start: usize) -> Span {
        Span::new(scanner.text.len() + start, self.more.len() - start)
    }
}

impl Values for Scanner<'_> {
    type Kind = Kind;

    fn text(&self) -> &[u8] {
        self.text
    }

    fn kind(&self, field: &FieldSpan) -> Option<Kind> {
        let at = field.value.start as usize;
        let is_plain = at < self.text.len();
        if !field.is_json {
            return is_plain.then_some(Kind::Text);
        }
        let is_short = is_plain && Self::short_number(self.text, at) == Some(field.value.end() as usize);
        is_short.then_some(Kind::ShortNumber)
    }

    #[inline(always)]
    fn end(&self, kind: Kind, start: usize) -> Option<usize> {
        match kind {
            // It ends at the quote with which the next part begins: it does not fit behind another mark.
            Kind::Text => Some(self.next_mark(start)),
            Kind::ShortNumber => Self::short_number(self.text, start),
        }
    }

    #[inline(always)]
    fn is_json(&self, kind: Kind, _: Span) -> bool {
        kind == Kind::ShortNumber
    }
}

#[cfg(test)]
mod tests;
