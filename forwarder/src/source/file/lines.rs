//! Lines of a file without a format of its own: each is a record, or joined with others to one.

use std::time::Duration;

use super::join::{FileJoiner, Piece};
use super::position;
use super::selection::Selection;
use crate::parse::line::LineKind;
use crate::record::{Flags, OriginHandle, RecordMeta, Stream};
use crate::source::lines::Lines;

/// The state between one piece of a file and the next.
pub(super) struct TextLines {
    origin: OriginHandle,
    max_line: usize,
    kind: LineKind,
    joiner: Option<Box<FileJoiner>>,
}

impl TextLines {
    pub(super) fn new(origin: OriginHandle, selection: &Selection) -> Self {
        let &Selection { max_line, kind, .. } = selection;
        Self { origin, max_line, kind, joiner: FileJoiner::of(selection.join.as_ref()) }
    }

    /// How long lines wait for others, where some do.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.joiner.as_ref().filter(|joiner| joiner.is_open()).map(|joiner| joiner.timeout())
    }

    /// Puts the lines of `data`, which is the file's content from `offset` on, and returns how much of it was used: all
    /// but an unfinished line. Lines longer than `max_line` are put in parts.
    pub(super) fn put_lines(&mut self, data: &[u8], offset: u64, time_ns: i64, lines: &mut Lines) -> usize {
        let max_line = self.max_line;
        let mut put = |from: usize, to: usize, end: usize, flags| {
            self.put(&data[from..to], offset + from as u64, offset + end as u64, time_ns, flags, lines);
        };
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', data) {
            while newline - from > max_line {
                put(from, from + max_line, from + max_line, Flags::PARTIAL);
                from += max_line;
            }
            put(from, newline, newline + 1, Flags::NONE);
            from = newline + 1;
        }
        while data.len() - from > max_line {
            put(from, from + max_line, from + max_line, Flags::PARTIAL);
            from += max_line;
        }
        from
    }

    /// Puts all of `data`, an unfinished line that ends at `end`, as a part of a line.
    pub(super) fn put_part(&mut self, data: &[u8], end: u64, time_ns: i64, lines: &mut Lines) {
        self.put(data, end - data.len() as u64, end, time_ns, Flags::PARTIAL, lines);
    }

    /// Puts lines that wait for others.
    pub(super) fn flush(&mut self, lines: &mut Lines) {
        let Self { origin, kind, joiner, .. } = self;
        if let Some(joiner) = joiner {
            joiner.flush(None, &mut |_, meta, body| lines.push(origin, *kind, meta, body));
        }
    }

    #[inline]
    fn put(&mut self, body: &[u8], from: u64, end: u64, time_ns: i64, flags: Flags, lines: &mut Lines) {
        let Self { origin, kind, joiner, .. } = self;
        match joiner {
            None => {
                let position = position::pack(end, None);
                let meta = RecordMeta { position, flags, ..RecordMeta::line(time_ns, body) };
                lines.push(origin, *kind, meta, body);
            }
            Some(joiner) => {
                let piece = Piece { stream: Stream::None, time_ns, flags, body, from, end, unfinished: None };
                joiner.push(piece, &mut |_, meta, body| lines.push(origin, *kind, meta, body));
            }
        }
    }
}
