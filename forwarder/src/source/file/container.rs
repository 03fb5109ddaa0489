//! Lines of a container's log, CRI's or Docker's: the lines that the container wrote, joined from their parts, for each
//! stream on its own.
//!
//! A joined line is bounded: a longer one is put in parts. What is none of the format goes on as it stands, as a line
//! without a stream, and is counted.

use std::time::Duration;

use super::join::{FileJoiner, Piece};
use super::selection::Selection;
use crate::parse::cri::CriParser;
use crate::parse::docker_json;
use crate::parse::line::LineKind;
use crate::parse::log_line::LogLine;
use crate::record::{Flags, OriginHandle, RecordMeta, Stream};
use crate::source::file::position;
use crate::source::lines::Lines;

/// What stands before the text of a CRI line, and then some: a zone, more tags.
const HEAD: usize = 256;
/// Docker cuts at 16 KiB, times six for escapes: a line of JSON can only be read whole.
const LEAST_JSON: usize = 128 << 10;
/// A stream that had one long line must not keep its memory.
const KEEP: usize = 16 << 10;

/// Who wrote the lines.
pub(super) struct Origins {
    pub(super) stdout: OriginHandle,
    pub(super) stderr: OriginHandle,
    /// For what is none of the format.
    pub(super) unknown: OriginHandle,
}

enum Parser {
    Cri(CriParser),
    Docker,
}

/// A stream's unfinished line.
#[derive(Default)]
struct Unfinished {
    text: Vec<u8>,
    /// Of its first part.
    time_ns: i64,
    /// Where its first part begins in the file; `None` where there is none.
    from: Option<u64>,
}

/// The state between one piece of a file and the next.
pub(super) struct ContainerLines {
    parser: Parser,
    origins: Origins,
    max_line: usize,
    /// What a line of the container is taken for.
    kind: LineKind,
    joiner: Option<Box<FileJoiner>>,
    stdout: Unfinished,
    stderr: Unfinished,
    /// The rest, up to the next newline, belongs to a CRI line that was too long to wait for its end.
    within: Option<Within>,
    /// Lines that were none of the format, since the last look.
    pub(super) unparsed: u64,
}

#[derive(Clone, Copy)]
struct Within {
    stream: Stream,
    time_ns: i64,
    /// What its tag said.
    partial: bool,
    from: u64,
}

impl ContainerLines {
    pub(super) fn cri(origins: Origins, selection: &Selection) -> Self {
        Self::new(Parser::Cri(CriParser::default()), origins, selection)
    }

    pub(super) fn docker(origins: Origins, selection: &Selection) -> Self {
        Self::new(Parser::Docker, origins, selection)
    }

    fn new(parser: Parser, origins: Origins, selection: &Selection) -> Self {
        let (stdout, stderr) = Default::default();
        let joiner = FileJoiner::of(selection.join.as_ref());
        let &Selection { max_line, kind, .. } = selection;
        Self { parser, origins, max_line, kind, joiner, stdout, stderr, within: None, unparsed: 0 }
    }

    /// Bytes of a line in the file after which its end is not waited for.
    pub(super) fn longest(&self) -> usize {
        match self.parser {
            Parser::Cri(_) => self.max_line + HEAD,
            Parser::Docker => (self.max_line + HEAD).max(LEAST_JSON),
        }
    }

    /// Whether parts of a line wait for their end, or lines for others.
    pub(super) fn is_waiting(&self) -> bool {
        self.unfinished().is_some() || self.joiner.as_ref().is_some_and(|joiner| joiner.is_open())
    }

    /// How long to wait, where it is only for other lines.
    pub(super) fn patience(&self) -> Option<Duration> {
        let joiner = self.joiner.as_ref().filter(|joiner| joiner.is_open())?;
        self.unfinished().is_none().then(|| joiner.timeout())
    }

    /// Puts the lines of `data`, which is the file's content from `offset` on, and returns how much of it was used: all
    /// but an unfinished line of the file.
    pub(super) fn put_lines(&mut self, data: &[u8], offset: u64, time_ns: i64, lines: &mut Lines) -> usize {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', data) {
            let (start, end) = (offset + from as u64, offset + newline as u64 + 1);
            self.put_line(&data[from..newline], start, end, time_ns, lines);
            from = newline + 1;
        }
        let longest = self.longest();
        while data.len() - from > longest {
            self.put_beginning(&data[from..from + longest], offset + from as u64, time_ns, lines);
            from += longest;
        }
        from
    }

    /// A line of the file, without its newline.
    #[inline]
    pub(super) fn put_line(&mut self, line: &[u8], start: u64, end: u64, now_ns: i64, lines: &mut Lines) {
        if self.within.is_some() {
            return self.put_end(line, start, end, lines);
        }
        let parsed = match &mut self.parser {
            Parser::Cri(parser) => parser.parse(line),
            Parser::Docker => docker_json::parse(line),
        };
        let Ok(line_of) = parsed else { return self.put_unparsed(line, start, end, Flags::NONE, now_ns, lines) };
        let whole = !line_of.partial && line_of.text.len() <= self.max_line;
        if whole && self.of(line_of.stream).from.is_none() {
            let LogLine { time_ns, stream, text, .. } = &line_of;
            let (stream, time_ns, body) = (*stream, *time_ns, &**text);
            if self.joiner.is_some() {
                let (flags, unfinished) = (Flags::NONE, self.unfinished());
                let piece = Piece { stream, time_ns, flags, body, from: start, end, unfinished };
                return put_joining(&mut self.joiner, &self.origins, self.kind, piece, lines);
            }
            let position = position::pack(end, self.unfinished());
            let meta = RecordMeta { position, ..RecordMeta::line(time_ns, body) };
            return lines.push(self.origin(stream), self.kind, meta, body);
        }
        self.join(&line_of, start, start, end, lines);
    }

    /// Adds a part to its stream's line. It begins at `from`, and its bytes are between `start` and `end`.
    fn join(&mut self, part: &LogLine<'_>, from: u64, start: u64, end: u64, lines: &mut Lines) {
        let (stream, max_line) = (part.stream, self.max_line);
        let waiting = self.of(stream).text.len();
        if waiting > 0 && waiting + part.text.len() > max_line {
            // Within a line of the file, reading has to start again at its beginning.
            let within = (start > from).then_some(from);
            self.put_unfinished(stream, Flags::PARTIAL, start, within, lines);
        }
        let mut text: &[u8] = &part.text;
        let mut at = start;
        while text.len() > max_line {
            // Whoever starts again in the middle of a line of the file has to start at its beginning.
            let (now, later) = text.split_at(max_line);
            at += max_line as u64;
            let unfinished = Some(self.unfinished().map_or(from, |other| other.min(from)));
            let (time_ns, flags) = (part.time_ns, Flags::PARTIAL);
            self.put(Piece { stream, time_ns, flags, body: now, from, end: at, unfinished }, lines);
            text = later;
        }
        let unfinished = self.of_mut(stream);
        if unfinished.from.is_none() {
            (unfinished.from, unfinished.time_ns) = (Some(from), part.time_ns);
        }
        unfinished.text.extend_from_slice(text);
        if !part.partial {
            self.put_unfinished(stream, Flags::NONE, end, None, lines);
        }
    }

    /// The beginning of a line of the file that is too long to wait for its end.
    fn put_beginning(&mut self, data: &[u8], start: u64, now_ns: i64, lines: &mut Lines) {
        let end = start + data.len() as u64;
        if let Some(within) = self.within {
            return self.put_within(within, data, true, start, end, lines);
        }
        let parsed = match &mut self.parser {
            Parser::Cri(parser) => parser.parse(data).ok(),
            Parser::Docker => None,
        };
        let Some(line) = parsed else { return self.put_unparsed(data, start, end, Flags::PARTIAL, now_ns, lines) };
        let (stream, time_ns, partial) = (line.stream, line.time_ns, line.partial);
        self.within = Some(Within { stream, time_ns, partial, from: start });
        self.join(&LogLine { partial: true, ..line }, start, start, end, lines);
    }

    /// The end of such a line.
    fn put_end(&mut self, data: &[u8], start: u64, end: u64, lines: &mut Lines) {
        if let Some(within) = self.within.take() {
            self.put_within(within, data, within.partial, start, end, lines);
        }
    }

    fn put_within(&mut self, within: Within, data: &[u8], partial: bool, start: u64, end: u64, lines: &mut Lines) {
        let Within { stream, time_ns, from, .. } = within;
        self.join(&LogLine { time_ns, stream, partial, text: data.into() }, from, start, end, lines);
    }

    /// Goes on as it stands. `line` begins at `start`.
    #[cold]
    fn put_unparsed(&mut self, line: &[u8], start: u64, end: u64, flags: Flags, now_ns: i64, lines: &mut Lines) {
        self.unparsed += 1;
        let unfinished = self.unfinished();
        self.flush_group(Some(unfinished.map_or(start, |other| other.min(start))), lines);
        let mut put = |body: &[u8], end, flags| {
            let position = position::pack(end, unfinished);
            let meta = RecordMeta { position, flags, ..RecordMeta::line(now_ns, body) };
            lines.push(&self.origins.unknown, self.kind, meta, body);
        };
        let mut from = 0;
        while line.len() - from > self.max_line {
            let to = from + self.max_line;
            put(&line[from..to], start + to as u64, Flags::PARTIAL);
            from = to;
        }
        put(&line[from..], end, flags);
    }

    /// Puts what waits: nothing has followed for a while, or nothing will. In an order that is the same after a restart
    /// in the middle of what waits: both end at one offset, and which of them was put is known by their order alone.
    pub(super) fn flush(&mut self, offset: u64, lines: &mut Lines) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if self.of(stream).from.is_some() {
                self.put_unfinished(stream, Flags::PARTIAL, offset, None, lines);
            }
        }
        self.flush_group(self.unfinished(), lines);
    }

    fn flush_group(&mut self, unfinished: Option<u64>, lines: &mut Lines) {
        let Self { joiner, origins, kind, .. } = self;
        if let Some(joiner) = joiner {
            joiner.flush(unfinished, &mut |stream, meta, body| lines.push(origins.of(stream), *kind, meta, body));
        }
    }

    /// Puts a stream's unfinished line as it is. Everything before `end` has been looked at; what begins at `within`
    /// goes on behind it.
    fn put_unfinished(&mut self, stream: Stream, flags: Flags, end: u64, within: Option<u64>, lines: &mut Lines) {
        let Unfinished { mut text, time_ns, from } = std::mem::take(self.of_mut(stream));
        let unfinished = self.unfinished().into_iter().chain(within).min();
        let from = from.unwrap_or(end);
        self.put(Piece { stream, time_ns, flags, body: &text, from, end, unfinished }, lines);
        if text.capacity() <= KEEP {
            text.clear();
            self.of_mut(stream).text = text;
        }
    }

    fn put(&mut self, piece: Piece<'_>, lines: &mut Lines) {
        put_joining(&mut self.joiner, &self.origins, self.kind, piece, lines);
    }

    /// Where the oldest unfinished line begins.
    #[inline]
    fn unfinished(&self) -> Option<u64> {
        if self.stdout.from.is_none() && self.stderr.from.is_none() && self.within.is_none() {
            return None;
        }
        let within = self.within.map(|within| within.from);
        [self.stdout.from, self.stderr.from, within].into_iter().flatten().min()
    }

    #[inline]
    fn of(&self, stream: Stream) -> &Unfinished {
        if stream == Stream::Stderr { &self.stderr } else { &self.stdout }
    }

    fn of_mut(&mut self, stream: Stream) -> &mut Unfinished {
        if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout }
    }

    #[inline]
    fn origin(&self, stream: Stream) -> &OriginHandle {
        self.origins.of(stream)
    }
}

impl Origins {
    #[inline]
    fn of(&self, stream: Stream) -> &OriginHandle {
        if stream == Stream::Stderr { &self.stderr } else { &self.stdout }
    }
}

/// Puts a line or a part of one, joined with others where that is asked for.
fn put_joining(
    joiner: &mut Option<Box<FileJoiner>>,
    origins: &Origins,
    kind: LineKind,
    piece: Piece<'_>,
    lines: &mut Lines,
) {
    let mut out = |stream, meta: RecordMeta, body: &[u8]| lines.push(origins.of(stream), kind, meta, body);
    match joiner {
        Some(joiner) => joiner.push(piece, &mut out),
        None => {
            let position = position::pack(piece.end, piece.unfinished);
            let meta = RecordMeta { position, flags: piece.flags, ..RecordMeta::line(piece.time_ns, piece.body) };
            out(piece.stream, meta, piece.body);
        }
    }
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
