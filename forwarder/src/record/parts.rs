//! A record as ranges over bytes that are copied once: what parsers give.

use super::layout::FIELD_LEN;

/// A part of [`Parts::line`] and [`Parts::more`], as if they lay one behind the other. In one of them, never across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// # Panics
    /// Past 4 GiB, which is more than a batch can hold.
    #[inline]
    pub fn new(start: usize, len: usize) -> Self {
        let short = |number| u32::try_from(number).expect("lines are far shorter than 4 GiB");
        Self { start: short(start), len: short(len) }
    }

    #[inline]
    pub fn end(self) -> u32 {
        self.start + self.len
    }
}

/// A field: its key, and text or canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpan {
    pub key: Span,
    pub value: Span,
    pub is_json: bool,
}

/// A record's body and fields.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The line as it came.
    pub line: &'a [u8],
    /// What does not stand in the line as it is meant: unescaped text, rendered values.
    pub more: &'a [u8],
    pub body: Span,
    /// Of several with one key the last counts.
    pub fields: &'a [FieldSpan],
}

impl<'a> Parts<'a> {
    /// A record without fields.
    pub fn text(line: &'a [u8]) -> Self {
        Self { line, more: b"", body: Span::new(0, line.len()), fields: &[] }
    }

    /// Bytes that the record takes in a batch, besides its entry in the table.
    pub fn byte_len(&self) -> usize {
        self.line.len() + self.more.len() + self.fields.len() * FIELD_LEN
    }

    /// The bytes of a part.
    ///
    /// # Panics
    /// Where the span is not of these bytes.
    pub fn bytes(&self, span: Span) -> &'a [u8] {
        bytes(self.line, self.more, span)
    }
}

/// The bytes of a part of `line` and `more`.
///
/// # Panics
/// Where the span is not of these bytes.
#[inline]
pub fn bytes<'a>(line: &'a [u8], more: &'a [u8], span: Span) -> &'a [u8] {
    let (start, len) = (span.start as usize, span.len as usize);
    match start.checked_sub(line.len()) {
        None => &line[start..start + len],
        Some(start) => &more[start..start + len],
    }
}
