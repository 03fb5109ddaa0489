//! The fields of a line: parts of it, and what is written beside it.

use crate::parse::json::{Members, put_valid, sort_prefix};
use crate::parse::pairs::join_equal;
use crate::record::{FieldSpan, Parts, Span};

/// Memory that is kept from one message to the next.
const KEPT_BYTES: usize = 256 << 10;

#[derive(Default)]
pub(super) struct Fields {
    pairs: Members,
    fields: Vec<FieldSpan>,
    more: Vec<u8>,
    /// Of the line, behind which `more` lies.
    line_len: usize,
}

impl Fields {
    /// Begins with a line of so many bytes.
    pub(super) fn clear(&mut self, line_len: usize) {
        self.pairs.clear();
        self.more.clear();
        self.more.shrink_to(KEPT_BYTES);
        self.line_len = line_len;
    }

    /// Writes something beside the line; where that is.
    pub(super) fn beside(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.more.len();
        write(&mut self.more);
        Span::new(self.line_len + start, self.more.len() - start)
    }

    /// A value that is a part of the line, or was written beside it.
    pub(super) fn of_line(&mut self, key: &str, value: Span) {
        let key = self.beside(|more| more.extend_from_slice(key.as_bytes()));
        self.put(key, value, false);
    }

    pub(super) fn constant(&mut self, key: &str, value: &[u8]) {
        let value = self.beside(|more| more.extend_from_slice(value));
        self.of_line(key, value);
    }

    /// The same; bytes that are not UTF-8 become U+FFFD, as where Go has read and written them.
    pub(super) fn valid(&mut self, key: &str, value: &[u8]) {
        let value = self.beside(|more| put_valid(value, more));
        self.of_line(key, value);
    }

    /// Something that is so.
    pub(super) fn flag(&mut self, key: &str) {
        self.json(key, "true");
    }

    pub(super) fn json(&mut self, key: &str, value: &str) {
        let value = self.beside(|more| more.extend_from_slice(value.as_bytes()));
        let key = self.beside(|more| more.extend_from_slice(key.as_bytes()));
        self.put(key, value, true);
    }

    /// Whether there is one of this key.
    pub(super) fn has(&self, key: &str) -> bool {
        let key_of = |span: Span| self.more.get(span.start as usize - self.line_len..)?.get(..span.len as usize);
        self.pairs.list.iter().any(|pair| key_of(pair.field.key) == Some(key.as_bytes()))
    }

    /// Adds a field whose key was written beside the line.
    pub(super) fn put(&mut self, key: Span, value: Span, is_json: bool) {
        let text = &self.more[key.start as usize - self.line_len..];
        self.pairs.push(sort_prefix(text, key.len as usize), FieldSpan { key, value, is_json });
    }

    /// The record, with all fields in order.
    pub(super) fn parts<'p>(&'p mut self, line: &'p [u8], body: Span) -> Parts<'p> {
        debug_assert_eq!(line.len(), self.line_len);
        self.pairs.order(line, &self.more);
        join_equal(&mut self.pairs, line, &mut self.more);
        self.fields.clear();
        self.fields.extend(self.pairs.list.iter().map(|pair| pair.field));
        Parts { line, more: &self.more, body, fields: &self.fields }
    }
}
