//! From the bytes of a FIFO to lines: entries split, parts joined for each stream.

use crate::parse::log_entry::{self, LogEntry};
use crate::record::Stream;

/// A line, or a part of one where it is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) stream: Stream,
    /// When it began, ns since the epoch.
    pub(super) time_ns: i64,
    pub(super) text: &'a [u8],
    pub(super) partial: bool,
}

/// What a FIFO has given so far and is not a line yet.
pub(super) struct Entries {
    max_line: usize,
    /// An entry whose end has not come.
    rest: Vec<u8>,
    stdout: Joined,
    stderr: Joined,
    /// Bytes that were no entries, and were not reported yet.
    lost: u64,
}

#[derive(Default)]
struct Joined {
    text: Vec<u8>,
    time_ns: i64,
}

impl Entries {
    /// `rest`: what an earlier run had read of an entry.
    pub(super) fn new(max_line: usize, rest: Vec<u8>) -> Self {
        Self { max_line, rest, stdout: Joined::default(), stderr: Joined::default(), lost: 0 }
    }

    /// Bytes that came; calls `put` with each line that is complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut put: impl FnMut(Line<'_>)) {
        let held = std::mem::take(&mut self.rest);
        if held.is_empty() {
            let used = self.take(bytes, &mut put);
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            let mut held = held;
            held.extend_from_slice(bytes);
            let used = self.take(&held, &mut put);
            held.drain(..used);
            self.rest = held;
        }
    }

    /// Takes whole entries; how many bytes they had.
    fn take(&mut self, bytes: &[u8], put: &mut impl FnMut(Line<'_>)) -> usize {
        let mut used = 0;
        loop {
            let found = log_entry::split(&bytes[used..]);
            let decoded = found
                .and_then(|found| found.map(|(entry, length)| Ok((log_entry::decode(entry)?, length))).transpose());
            match decoded {
                Ok(Some((entry, length))) => {
                    self.join(&entry, put);
                    used += length;
                }
                Ok(None) => return used,
                Err(log_entry::NoEntry) => {
                    let next = log_entry::find(&bytes[used..]);
                    self.lost += next as u64;
                    used += next;
                }
            }
        }
    }

    fn join(&mut self, entry: &LogEntry<'_>, put: &mut impl FnMut(Line<'_>)) {
        let (stream, joined) = match entry.source {
            b"stderr" => (Stream::Stderr, &mut self.stderr),
            _ => (Stream::Stdout, &mut self.stdout),
        };
        if joined.text.is_empty() {
            if !entry.continues && entry.line.len() <= self.max_line {
                return put(Line { stream, time_ns: entry.time_ns, text: entry.line, partial: false });
            }
            joined.time_ns = entry.time_ns;
        }
        joined.text.extend_from_slice(entry.line);
        let time_ns = joined.time_ns;
        let mut from = 0;
        while joined.text.len() - from > self.max_line {
            put(Line { stream, time_ns, text: &joined.text[from..from + self.max_line], partial: true });
            from += self.max_line;
        }
        if entry.continues {
            joined.text.drain(..from);
        } else {
            put(Line { stream, time_ns, text: &joined.text[from..], partial: false });
            joined.text.clear();
            joined.text.shrink_to(self.max_line);
        }
    }

    /// Nothing more is read: what there is of lines. Returns what was read of an entry.
    pub(super) fn finish(&mut self, mut put: impl FnMut(Line<'_>)) -> Vec<u8> {
        for (stream, joined) in [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)] {
            let Joined { text, time_ns } = std::mem::take(joined);
            if !text.is_empty() {
                put(Line { stream, time_ns, text: &text, partial: true });
            }
        }
        std::mem::take(&mut self.rest)
    }

    /// Bytes that were no entries, since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Field 4 of an entry, appended to one that [`log_entry::encode`] made.
    fn part(source: &str, line: &[u8], last: bool) -> Vec<u8> {
        let mut entry = Vec::new();
        log_entry::encode(source, 5, line, false, &mut entry);
        let mut body = entry.split_off(4);
        body.extend([4 << 3, 1]);
        if last {
            body.extend([5 << 3 | 2, 2, 1 << 3, 1]);
        }
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    fn lines(entries: &mut Entries, bytes: &[u8]) -> Vec<(Stream, Vec<u8>, bool)> {
        let mut lines = Vec::new();
        entries.push(bytes, |line| lines.push((line.stream, line.text.to_vec(), line.partial)));
        lines
    }

    #[test]
    fn parts_are_joined_for_each_stream_and_bounded() {
        let mut entries = Entries::new(4, Vec::new());
        let bytes =
            [part("stdout", b"abc", false), part("stderr", b"x", false), part("stdout", b"defgh", true)].concat();
        let out = |text: &[u8], partial| (Stream::Stdout, text.to_vec(), partial);
        assert_eq!(lines(&mut entries, &bytes), [out(b"abcd", true), out(b"efgh", false)]);
        let mut rest = Vec::new();
        let cut = entries.finish(|line| rest.push((line.stream, line.text.to_vec(), line.partial)));
        assert!(cut.is_empty());
        assert_eq!(rest, [(Stream::Stderr, b"x".to_vec(), true)]);
        assert_eq!(entries.take_lost(), 0);
    }

    #[test]
    fn what_is_no_entry_is_counted_and_what_is_behind_it_is_found() {
        let mut entries = Entries::new(100, Vec::new());
        let mut good = Vec::new();
        log_entry::encode("stdout", 1, b"good", false, &mut good);
        let line = [(Stream::Stdout, b"good".to_vec(), false)];
        assert_eq!(lines(&mut entries, &[&[0, 0, 0, 3, b'b', b'a', b'd'][..], &good].concat()), line);
        assert_eq!(entries.take_lost(), 7);
        assert_eq!(lines(&mut entries, b"plain text"), []);
        assert_eq!(lines(&mut entries, &good), line);
        assert_eq!(entries.take_lost(), 10);
        // From the middle of one, as after a kill; and one that is cut off by the next.
        assert_eq!(lines(&mut entries, &[&good[9..], &good].concat()), line);
        assert_eq!(lines(&mut entries, &[&good[..9], &good, &good].concat()).len(), 2);
        assert_eq!(entries.take_lost(), good.len() as u64);
        assert_eq!(lines(&mut entries, &good[..9]), []);
        let rest = entries.finish(|_| ());
        assert_eq!(lines(&mut Entries::new(100, rest), &good[9..]), line);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10),
            cuts in prop::collection::vec(1usize..50, 1..20),
        ) {
            let mut bytes = Vec::new();
            for text in &texts {
                log_entry::encode("stderr", 7, text, false, &mut bytes);
            }
            let mut entries = Entries::new(100, Vec::new());
            let (mut got, mut rest) = (Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                got.extend(lines(&mut entries, piece).into_iter().map(|(_, text, _)| text));
                rest = more;
            }
            prop_assert_eq!(got, texts);
        }
    }
}
