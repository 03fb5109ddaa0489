//! Cuts a byte stream into lines.
//!
//! In: pieces of one stream in order, and gaps. Out: lines without their newline, parts of lines marked
//! [`Flags::PARTIAL`] where no newline followed, and losses. Does no I/O and reads no clock. Every byte that
//! comes in goes out: the bodies, one newline for each record that is not partial, and the gaps add up.
//!
//! Where that is asked for, lines that belong together are joined ([`super::joiner`]).

use std::sync::Arc;
use std::time::Duration;

use super::joiner::{JoinOptions, Joined, Joiner};
use crate::record::Flags;

/// What a framer hands on.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    Line { time_ns: i64, flags: Flags, body: &'a [u8] },
    Lost { bytes: u64, from_ns: i64, to_ns: i64 },
}

/// The unfinished line of one stream.
pub struct Framer {
    partial: Vec<u8>,
    time_ns: i64,
    flags: Flags,
    gap: Option<Gap>,
    /// Time of the last byte or gap.
    last_ns: i64,
    max_line: usize,
    joiner: Option<Box<Joiner>>,
}

struct Gap {
    bytes: u64,
    from_ns: i64,
    to_ns: i64,
}

impl Framer {
    /// Lines longer than `max_line` bytes are handed on in parts.
    pub fn new(max_line: usize) -> Self {
        let (partial, flags, joiner) = (Vec::new(), Flags::NONE, None);
        Self { partial, time_ns: 0, flags, gap: None, last_ns: 0, max_line: max_line.max(1), joiner }
    }

    /// One that joins lines as well, where there are options.
    pub fn joining(max_line: usize, options: Option<&Arc<JoinOptions>>) -> Self {
        let joiner = options.map(|options| Box::new(Joiner::new(Arc::clone(options))));
        Self { joiner, ..Self::new(max_line) }
    }

    /// Bytes that wait for the rest of their line, for the end of a gap, or for lines that belong to them.
    pub fn is_waiting(&self) -> bool {
        !self.partial.is_empty() || self.gap.is_some() || self.joiner.as_ref().is_some_and(|joiner| joiner.is_open())
    }

    /// Bytes of the unfinished line, and of lines that wait for others.
    pub fn waiting_bytes(&self) -> usize {
        self.partial.len() + self.joiner.as_ref().map_or(0, |joiner| joiner.waiting_bytes())
    }

    /// After how long without more to [`Framer::flush`]: `idle` where the rest of a line is waited for.
    pub fn patience(&self, idle: Duration) -> Duration {
        match &self.joiner {
            Some(joiner) if self.partial.is_empty() && joiner.is_open() => joiner.timeout(),
            _ => idle,
        }
    }

    /// The next bytes of the stream, written at `time_ns`.
    #[inline]
    pub fn push(&mut self, data: &[u8], time_ns: i64, flags: Flags, out: &mut impl FnMut(Framed<'_>)) {
        match self.joiner.take() {
            None => self.cut(data, time_ns, flags, out),
            Some(mut joiner) => {
                self.cut(data, time_ns, flags, &mut |framed| join(&mut joiner, framed, out));
                self.joiner = Some(joiner);
            }
        }
    }

    fn cut(&mut self, mut data: &[u8], time_ns: i64, flags: Flags, out: &mut impl FnMut(Framed<'_>)) {
        self.end_gap(out);
        self.last_ns = time_ns;
        while let Some(newline) = memchr::memchr(b'\n', data) {
            let (line, rest) = data.split_at(newline);
            data = &rest[1..];
            if self.partial.is_empty() && line.len() <= self.max_line {
                out(Framed::Line { time_ns, flags, body: line });
            } else {
                self.extend(line, time_ns, flags, out);
                self.emit(Flags::NONE, out);
            }
        }
        if !data.is_empty() {
            self.extend(data, time_ns, flags, out);
        }
    }

    /// The next bytes of a line that ends where [`Framer::finish`] says: a newline is one of them.
    pub fn hold(&mut self, data: &[u8], time_ns: i64, out: &mut impl FnMut(Framed<'_>)) {
        self.end_gap(out);
        self.last_ns = time_ns;
        self.extend(data, time_ns, Flags::NONE, out);
    }

    /// The line that was held ends here.
    pub fn finish(&mut self, out: &mut impl FnMut(Framed<'_>)) {
        self.emit(Flags::NONE, out);
    }

    /// `bytes` of the stream are missing here. What came before is a part of a line for ever.
    pub fn lose(&mut self, bytes: u64, time_ns: i64, out: &mut impl FnMut(Framed<'_>)) {
        if bytes == 0 {
            return;
        }
        self.flush_lines(out);
        let from_ns = if self.last_ns == 0 { time_ns } else { self.last_ns };
        let gap = self.gap.get_or_insert(Gap { bytes: 0, from_ns, to_ns: time_ns });
        gap.bytes += bytes;
        gap.to_ns = time_ns;
        self.last_ns = time_ns;
    }

    /// Hands on what waits: the stream is idle or has ended.
    pub fn flush(&mut self, out: &mut impl FnMut(Framed<'_>)) {
        self.end_gap(out);
        self.flush_lines(out);
        // An idle stream keeps no memory.
        self.partial = Vec::new();
    }

    fn flush_lines(&mut self, out: &mut impl FnMut(Framed<'_>)) {
        match self.joiner.take() {
            None => self.flush_partial(out),
            Some(mut joiner) => {
                self.flush_partial(&mut |framed| join(&mut joiner, framed, out));
                joiner.flush(&mut |joined| out(joined.into()));
                self.joiner = Some(joiner);
            }
        }
    }

    fn flush_partial(&mut self, out: &mut impl FnMut(Framed<'_>)) {
        if !self.partial.is_empty() {
            self.emit(Flags::PARTIAL, out);
        }
    }

    fn end_gap(&mut self, out: &mut impl FnMut(Framed<'_>)) {
        if let Some(Gap { bytes, from_ns, to_ns }) = self.gap.take() {
            out(Framed::Lost { bytes, from_ns, to_ns });
        }
    }

    /// Adds to the unfinished line, and hands on full parts of it.
    fn extend(&mut self, mut data: &[u8], time_ns: i64, flags: Flags, out: &mut impl FnMut(Framed<'_>)) {
        if self.partial.is_empty() {
            self.time_ns = time_ns;
            self.flags = Flags::NONE;
        }
        self.flags = self.flags | flags;
        while self.partial.len() + data.len() > self.max_line {
            let (now, later) = data.split_at(self.max_line - self.partial.len());
            self.partial.extend_from_slice(now);
            self.emit(Flags::PARTIAL, out);
            (self.time_ns, self.flags) = (time_ns, flags);
            data = later;
        }
        self.partial.extend_from_slice(data);
    }

    fn emit(&mut self, more: Flags, out: &mut impl FnMut(Framed<'_>)) {
        out(Framed::Line { time_ns: self.time_ns, flags: self.flags | more, body: &self.partial });
        self.partial.clear();
        self.flags = Flags::NONE;
    }
}

impl<'a> From<Joined<'a>> for Framed<'a> {
    fn from(Joined { time_ns, flags, body, .. }: Joined<'a>) -> Self {
        Self::Line { time_ns, flags, body }
    }
}

fn join(joiner: &mut Joiner, framed: Framed<'_>, out: &mut impl FnMut(Framed<'_>)) {
    match framed {
        Framed::Line { time_ns, flags, body } => joiner.push(time_ns, flags, body, &mut |joined| out(joined.into())),
        lost @ Framed::Lost { .. } => {
            joiner.flush(&mut |joined| out(joined.into()));
            out(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(framer: &mut Framer, steps: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut out = |framed: Framed<'_>| {
            seen.push(match framed {
                Framed::Line { flags, body, .. } => {
                    let mark = if flags.contains(Flags::PARTIAL) { "…" } else { "" };
                    format!("{}{mark}", String::from_utf8_lossy(body))
                }
                Framed::Lost { bytes, .. } => format!("<{bytes}>"),
            });
        };
        for (time, step) in steps.iter().enumerate() {
            match *step {
                b"<gap>" => framer.lose(7, time as i64, &mut out),
                b"<idle>" => framer.flush(&mut out),
                data => framer.push(data, time as i64, Flags::NONE, &mut out),
            }
        }
        seen
    }

    #[test]
    fn lines_are_built_from_many_writes_and_cut_from_one() {
        let got = lines(&mut Framer::new(100), &[b"a\nb", b"c", b"\n\nd\n", b"e", b"<idle>", b"\n"]);
        assert_eq!(got, ["a", "bc", "", "d", "e…", ""]);
    }

    #[test]
    fn gaps_are_joined_and_stand_where_they_happened() {
        let got = lines(&mut Framer::new(100), &[b"a\nb", b"<gap>", b"<gap>", b"c\n", b"<gap>", b"<idle>"]);
        assert_eq!(got, ["a", "b…", "<14>", "c", "<7>"]);
    }

    #[test]
    fn long_lines_come_in_parts() {
        assert_eq!(lines(&mut Framer::new(3), &[b"abcdefgh\n", b"ij", b"k\n"]), ["abc…", "def…", "gh", "ijk"]);
        assert_eq!(lines(&mut Framer::new(3), &[b"abcdef\n"]), ["abc…", "def"]);
    }

    proptest! {
        #[test]
        fn every_byte_is_accounted_for(
            pieces in proptest::collection::vec((proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40), 0..20u64, any::<bool>()), 0..30),
            max_line in 1..50usize,
        ) {
            let (mut framer, mut input, mut lost_in) = (Framer::new(max_line), Vec::new(), 0);
            let (mut output, mut lost_out) = (Vec::new(), 0);
            let mut out = |framed: Framed<'_>| match framed {
                Framed::Line { flags, body, .. } => {
                    assert!(body.len() <= max_line);
                    output.extend_from_slice(body);
                    if !flags.contains(Flags::PARTIAL) {
                        output.push(b'\n');
                    }
                }
                Framed::Lost { bytes, .. } => lost_out += bytes,
            };
            for (data, gap, idle) in &pieces {
                framer.push(data, 1, Flags::NONE, &mut out);
                framer.lose(*gap, 1, &mut out);
                if *idle {
                    framer.flush(&mut out);
                }
                input.extend_from_slice(data);
                lost_in += gap;
            }
            framer.flush(&mut out);
            prop_assert_eq!(output, input);
            prop_assert_eq!(lost_out, lost_in);
        }
    }
}
