//! The CRI log format.
//!
//! ```text
//! 2016-10-06T00:17:09.669794202Z stdout F the text
//! <RFC 3339, nanoseconds>        <stream> <P|F>[:more tags] <text>\n
//! ```
//!
//! `P` is a part of a line (it was longer than the runtime's buffer, or the container ended without a newline),
//! `F` its end. The text is bytes: nothing is escaped. Source: kubernetes `pkg/kubelet/kuberuntime/logs/logs.go`
//! and design-proposals `kubelet-cri-logging.md`.
//!
//! The time of nearly every line has one layout, `YYYY-MM-DDThh:mm:ss.nnnnnnnnnZ`, and its first 17 bytes are those of
//! the line before: a [`CriParser`] remembers what they mean. Other layouts (a zone, fewer digits) take the long way.

use std::borrow::Cow;

use super::log_line::{LineError, LogLine, parse_stream, parse_time};
use crate::record::Stream;

/// `YYYY-MM-DDThh:mm:`, the part of a time that changes once a minute.
const MINUTE_LEN: usize = 17;
/// A time in the usual layout.
const TIME_LEN: usize = 30;
/// Time, blank, stream, blank, tag, blank, in the usual layout.
const HEAD_LEN: usize = TIME_LEN + 10;

/// Parses line after line of a file; holds nothing but the meaning of the last minute.
#[derive(Clone, Debug, Default)]
pub struct CriParser {
    minute: [u8; MINUTE_LEN],
    /// The minute's start in seconds since the epoch.
    minute_s: i64,
}

impl CriParser {
    /// One line, given without its newline.
    ///
    /// # Errors
    /// [`LineError`] where the line is torn or of another format.
    #[inline]
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Result<LogLine<'a>, LineError> {
        let Some((head, text)) = line.split_first_chunk::<HEAD_LEN>() else { return parse(line) };
        let (stream, partial) = match &head[TIME_LEN..] {
            b" stdout F " => (Stream::Stdout, false),
            b" stderr F " => (Stream::Stderr, false),
            b" stdout P " => (Stream::Stdout, true),
            b" stderr P " => (Stream::Stderr, true),
            _ => return parse(line),
        };
        let Some(time_ns) = self.usual_time(head) else { return parse(line) };
        Ok(LogLine { time_ns, stream, partial, text: Cow::Borrowed(text) })
    }

    /// A time in the usual layout; `None` for any other.
    #[inline]
    fn usual_time(&mut self, head: &[u8; HEAD_LEN]) -> Option<i64> {
        if head[MINUTE_LEN + 2] != b'.' || head[TIME_LEN - 1] != b'Z' {
            return None;
        }
        if head[..MINUTE_LEN] != self.minute {
            self.learn_minute(head)?;
        }
        // A leap second is for the long way.
        let seconds = digits(&head[MINUTE_LEN..MINUTE_LEN + 2])?;
        let ns = digits(&head[MINUTE_LEN + 3..TIME_LEN - 1])?;
        (seconds < 60).then(|| (self.minute_s + seconds) * 1_000_000_000 + ns)
    }

    #[cold]
    fn learn_minute(&mut self, head: &[u8; HEAD_LEN]) -> Option<()> {
        // What a lenient parser takes as well would have another meaning here.
        if head[10] != b'T' {
            return None;
        }
        let mut text = *b"YYYY-MM-DDThh:mm:00Z";
        text[..MINUTE_LEN].copy_from_slice(&head[..MINUTE_LEN]);
        let ns = parse_time(&text).ok()?;
        // Times that 64 bits of ns hold only without their seconds are for the long way as well.
        ns.checked_add(60_000_000_000)?;
        self.minute.copy_from_slice(&head[..MINUTE_LEN]);
        self.minute_s = ns.div_euclid(1_000_000_000);
        Some(())
    }
}

/// The number that at most 18 digits stand for.
#[inline]
fn digits(text: &[u8]) -> Option<i64> {
    let mut number = 0i64;
    let mut wrong = 0u8;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        wrong |= u8::from(digit > 9);
        number = number * 10 + i64::from(digit);
    }
    (wrong == 0).then_some(number)
}

/// One line on its own, in any layout, given without its newline.
///
/// # Errors
/// [`LineError`] where the line is torn or of another format.
pub fn parse(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    let (time, rest) = split(line)?;
    let (stream, rest) = split(rest)?;
    // Some writers leave out the blank before an empty text.
    let (tags, text) = match memchr::memchr(b' ', rest) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    let partial = match tags.split(|&b| b == b':').next() {
        Some(b"P") => true,
        Some(b"F") => false,
        _ => return Err(LineError::Tag),
    };
    Ok(LogLine { time_ns: parse_time(time)?, stream: parse_stream(stream)?, partial, text: Cow::Borrowed(text) })
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), LineError> {
    let at = memchr::memchr(b' ', bytes).ok_or(LineError::Short)?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_real_runtimes() {
        let line = parse(b"2016-10-06T00:17:09.669794202Z stdout F hello ").unwrap();
        assert_eq!((line.time_ns, line.stream, line.partial), (1_475_713_029_669_794_202, Stream::Stdout, false));
        assert_eq!(&*line.text, b"hello ");
        // CRI-O and Podman write the local zone.
        let line = parse(b"2016-10-06T02:17:09.669794202+02:00 stderr P:x part\xff\0").unwrap();
        assert_eq!((line.time_ns, line.stream, line.partial), (1_475_713_029_669_794_202, Stream::Stderr, true));
        assert_eq!(&*line.text, b"part\xff\0");
        for empty in ["2016-10-06T00:17:09Z stdout F ", "2016-10-06T00:17:09Z stdout F"] {
            assert_eq!(&*parse(empty.as_bytes()).unwrap().text, b"");
        }
    }

    #[test]
    fn refusals() {
        let error = |line: &str| parse(line.as_bytes()).unwrap_err();
        assert_eq!(error(""), LineError::Short);
        assert_eq!(error("2016-10-06T00:17:09Z"), LineError::Short);
        assert_eq!(error("yesterday stdout F x"), LineError::Time);
        assert_eq!(error("2016-10-06T00:17:09Z stdin F x"), LineError::Stream);
        assert_eq!(error("2016-10-06T00:17:09Z stdout X x"), LineError::Tag);
    }

    #[test]
    fn odd_times_in_the_usual_layout_mean_the_same_on_both_ways() {
        let mut parser = CriParser::default();
        for time in [
            "2016-10-06T00:17:09.669794202Z",
            "2016-12-31T23:59:60.000000000Z",
            "2016-10-06T00:17:61.669794202Z",
            "2016-13-06T00:17:09.669794202Z",
            "2016-10-06T00:17:09.66979420xZ",
            "2016-10-06 00:17:09.669794202Z",
            "0001-01-01T00:00:00.000000000Z",
            "2262-04-11T23:47:16.854775807Z",
            "2262-04-11T23:47:16.854775808Z",
            "2262-04-11T23:47:59.000000000Z",
            "9999-01-01T00:00:00.000000000Z",
            "1969-12-31T23:59:59.999999999Z",
        ] {
            let line = format!("{time} stdout F text");
            assert_eq!(parser.parse(line.as_bytes()), parse(line.as_bytes()), "{time}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CriParser::default().parse(&line);
        }

        #[test]
        fn a_changed_byte_means_the_same_on_both_ways(at in 0..45usize, byte: u8) {
            let mut line = *b"2016-10-06T00:17:09.669794202Z stdout F hello";
            let mut parser = CriParser::default();
            parser.parse(&line).unwrap();
            line[at] = byte;
            prop_assert_eq!(parser.parse(&line), parse(&line));
        }

        #[test]
        fn round_trip(lines in proptest::collection::vec((0i64..4_000_000_000_000_000_000, any::<bool>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..100)), 1..5)) {
            let mut parser = CriParser::default();
            for (ns, err, partial, text) in lines {
                let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
                let (stream, tag) = (if err { "stderr" } else { "stdout" }, if partial { "P" } else { "F" });
                let mut line = format!("{time:.9} {stream} {tag} ").into_bytes();
                line.extend_from_slice(&text);
                let parsed = parser.parse(&line).unwrap();
                prop_assert_eq!(&parsed, &parse(&line).unwrap());
                prop_assert_eq!((parsed.time_ns, parsed.stream.name(), parsed.partial), (ns, Some(stream), partial));
                prop_assert_eq!(&*parsed.text, &text[..]);
            }
        }
    }
}
