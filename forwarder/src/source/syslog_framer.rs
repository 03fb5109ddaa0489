//! Cuts a byte stream into messages of syslog (RFC 6587).
//!
//! In: pieces of one connection in order. Out: messages, each by itself or in parts. A message that begins with its length
//! (`15 <13>…`, 3.4.1) has that many bytes, whatever they are; any other one goes to the newline or NUL (3.4.2; NUL is
//! Python's). Both may come by the same connection. A number that no `<` follows is no length, but the beginning of a line.
//!
//! Does no I/O and reads no clock. Every byte goes out, but for lengths, newlines and NULs.

use super::framer::{Framed, Framer};
use crate::record::Flags;

/// Digits of a length: more than any message may have.
const MAX_DIGITS: usize = 9;

/// The unfinished message of one connection.
pub struct SyslogFramer {
    framer: Framer,
    state: State,
    /// What may be a length: digits, and a space.
    prefix: Vec<u8>,
    /// Whether what goes out next is the beginning of a message.
    begins: bool,
    max_line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// In a message that a newline ends.
    Line,
    /// In one of which so many bytes are to come.
    Counted(usize),
}

impl SyslogFramer {
    /// Messages longer than `max_line` bytes are handed on in parts.
    pub fn new(max_line: usize) -> Self {
        let framer = Framer::new(max_line);
        Self { framer, state: State::Between, prefix: Vec::new(), begins: true, max_line }
    }

    pub fn is_waiting(&self) -> bool {
        !self.prefix.is_empty() || self.framer.is_waiting()
    }

    /// Bytes of the unfinished message.
    pub fn waiting_bytes(&self) -> usize {
        self.prefix.len() + self.framer.waiting_bytes()
    }

    /// The next bytes, which came at `time_ns`. `out` is told whether what it gets begins a message.
    pub fn push(&mut self, mut data: &[u8], time_ns: i64, out: &mut impl FnMut(Framed<'_>, bool)) {
        while let Some(first) = data.first() {
            match self.state {
                State::Between if self.prefix.is_empty() && !matches!(first, b'1'..=b'9') => self.state = State::Line,
                State::Between => {
                    if self.begin(*first, time_ns, out) {
                        data = &data[1..];
                    }
                }
                State::Line => {
                    let end = memchr::memchr2(b'\n', 0, data);
                    let (line, rest) = data.split_at(end.unwrap_or(data.len()));
                    self.piece(line, end.is_some(), time_ns, out);
                    data = &rest[usize::from(end.is_some())..];
                }
                State::Counted(left) => {
                    let (now, rest) = data.split_at(left.min(data.len()));
                    let left = left - now.len();
                    self.state = State::Counted(left);
                    self.piece(now, left == 0, time_ns, out);
                    data = rest;
                }
            }
        }
    }

    /// Hands on what waits: the connection has ended, or its memory is needed.
    pub fn flush(&mut self, out: &mut impl FnMut(Framed<'_>, bool)) {
        if !self.prefix.is_empty() {
            self.is_line(0, out);
        }
        self.framer.flush(&mut marked(&mut self.begins, out));
    }

    /// Looks for a length; whether this byte belongs to it.
    fn begin(&mut self, byte: u8, time_ns: i64, out: &mut impl FnMut(Framed<'_>, bool)) -> bool {
        let has_space = self.prefix.last() == Some(&b' ');
        match byte {
            b'0'..=b'9' if !has_space && self.prefix.len() < MAX_DIGITS => self.prefix.push(byte),
            b' ' if !has_space => self.prefix.push(byte),
            b'<' if has_space => {
                let length = self.prefix.iter().filter(|byte| byte.is_ascii_digit());
                let length = length.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
                self.prefix.clear();
                self.state = State::Counted(length);
                return false;
            }
            _ => {
                self.is_line(time_ns, out);
                return false;
            }
        }
        true
    }

    /// What was taken for a length is the beginning of a line.
    fn is_line(&mut self, time_ns: i64, out: &mut impl FnMut(Framed<'_>, bool)) {
        let prefix = std::mem::take(&mut self.prefix);
        self.state = State::Line;
        self.piece(&prefix, false, time_ns, out);
    }

    /// The next bytes of a message.
    fn piece(&mut self, bytes: &[u8], ends: bool, time_ns: i64, out: &mut impl FnMut(Framed<'_>, bool)) {
        let is_whole = ends && !self.framer.is_waiting() && bytes.len() <= self.max_line;
        let mut out = marked(&mut self.begins, out);
        if is_whole {
            out(Framed::Line { time_ns, flags: Flags::NONE, body: bytes });
        } else {
            self.framer.hold(bytes, time_ns, &mut out);
            if ends {
                self.framer.finish(&mut out);
            }
        }
        if ends {
            self.state = State::Between;
        }
    }
}

/// Says of each piece whether it begins a message: it does where the one before it was not a part.
fn marked(begins: &mut bool, out: &mut impl FnMut(Framed<'_>, bool)) -> impl FnMut(Framed<'_>) {
    move |framed| {
        let is_part = matches!(framed, Framed::Line { flags, .. } if flags.contains(Flags::PARTIAL));
        out(framed, std::mem::replace(begins, !is_part));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Messages and parts: `…` behind what goes on, `+` before what goes on from another.
    fn messages(max_line: usize, pieces: &[&[u8]]) -> Vec<String> {
        let (mut framer, mut seen) = (SyslogFramer::new(max_line), Vec::new());
        let mut out = |framed: Framed<'_>, begins: bool| {
            let Framed::Line { flags, body, .. } = framed else { panic!("nothing is missing") };
            let (before, behind) = (if begins { "" } else { "+" }, if flags.is_empty() { "" } else { "…" });
            seen.push(format!("{before}{}{behind}", String::from_utf8_lossy(body)));
        };
        pieces.iter().for_each(|piece| framer.push(piece, 1, &mut out));
        framer.flush(&mut out);
        seen
    }

    #[test]
    fn both_ways_by_one_connection() {
        let stream = b"5 <1>ab7 <2>\nx\ny<3>line\0\n2026 files\n12 <no\n<4>x\n4 <5>z\n10 <6>";
        let expected = ["<1>ab", "<2>\nx\ny", "<3>line", "", "2026 files", "<no\n<4>x\n4 <", "5>z", "<6>…"];
        assert_eq!(messages(100, &[stream]), expected);
        for at in 0..stream.len() {
            assert_eq!(messages(100, &[&stream[..at], &stream[at..]]), expected, "{at}");
        }
        assert_eq!(
            messages(100, &[b"12345678901 <x\n", b"0 <1>\n", b"1  <x\n", b"12"]),
            ["12345678901 <x", "0 <1>", "1  <x", "12…"]
        );
    }

    #[test]
    fn long_ones_come_in_parts() {
        assert_eq!(
            messages(4, &[b"10 <1>abcdefg", b"4 <2>a", b"<3>abc\n", b"<4>\n"]),
            ["<1>a…", "+bcde…", "+fg", "<2>a", "<3>a…", "+bc", "<4>"]
        );
        assert_eq!(messages(4, &[b"999999999 <", b"1>abc"]), ["<1>a…", "+bc…"]);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference_and_messages_stay_whole(
            bodies in proptest::collection::vec((any::<bool>(), "<[0-9]{1,2}>[a-z0-9 <]{0,20}"), 0..20),
            at in proptest::collection::vec(1..9usize, 1..20),
        ) {
            let stream: Vec<u8> = bodies.iter().flat_map(|(counted, body)| match counted {
                true => format!("{} {body}", body.len()).into_bytes(),
                false => format!("{body}\n").into_bytes(),
            }).collect();
            let (mut pieces, mut rest, mut sizes) = (Vec::new(), &stream[..], at.iter().cycle());
            while !rest.is_empty() {
                let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                pieces.push(piece);
                rest = more;
            }
            prop_assert_eq!(messages(1000, &pieces), bodies.into_iter().map(|(_, body)| body).collect::<Vec<_>>());
        }

        #[test]
        fn no_byte_but_lengths_and_newlines_is_missing(stream in "[0-9]{0,2} ?[<\n a-z]{0,40}", max_line in 1..20usize) {
            let all: String = messages(max_line, &[stream.as_bytes()]).concat();
            let letters = |text: &str| text.chars().filter(char::is_ascii_lowercase).collect::<String>();
            prop_assert_eq!(letters(&all), letters(&stream));
        }
    }
}
