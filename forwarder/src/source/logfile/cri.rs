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

use std::borrow::Cow;

use super::line::{LineError, LogLine, parse_stream, parse_time};

pub(super) fn parse_line(line: &[u8]) -> Result<LogLine<'_>, LineError> {
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
    let text = if partial {
        Cow::Borrowed(text)
    } else {
        let mut full = Vec::with_capacity(text.len() + 1);
        full.extend_from_slice(text);
        full.push(b'\n');
        Cow::Owned(full)
    };
    Ok(LogLine { time_ns: parse_time(time)?, stream: parse_stream(stream)?, partial, text })
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), LineError> {
    let at = memchr::memchr(b' ', bytes).ok_or(LineError::Short)?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Stream;
    use proptest::prelude::*;

    #[test]
    fn lines_of_real_runtimes() {
        let line = parse_line(b"2016-10-06T00:17:09.669794202Z stdout F hello ").unwrap();
        assert_eq!((line.time_ns, line.stream, line.partial), (1_475_713_029_669_794_202, Stream::Stdout, false));
        assert_eq!(&*line.text, b"hello \n");
        // CRI-O and Podman write the local zone.
        let line = parse_line(b"2016-10-06T02:17:09.669794202+02:00 stderr P:x part\xff\0").unwrap();
        assert_eq!((line.time_ns, line.stream, line.partial), (1_475_713_029_669_794_202, Stream::Stderr, true));
        assert_eq!(&*line.text, b"part\xff\0");
        for empty in ["2016-10-06T00:17:09Z stdout F ", "2016-10-06T00:17:09Z stdout F"] {
            assert_eq!(&*parse_line(empty.as_bytes()).unwrap().text, b"\n");
        }
    }

    #[test]
    fn refusals() {
        let error = |line: &str| parse_line(line.as_bytes()).unwrap_err();
        assert_eq!(error(""), LineError::Short);
        assert_eq!(error("2016-10-06T00:17:09Z"), LineError::Short);
        assert_eq!(error("yesterday stdout F x"), LineError::Time);
        assert_eq!(error("2016-10-06T00:17:09Z stdin F x"), LineError::Stream);
        assert_eq!(error("2016-10-06T00:17:09Z stdout X x"), LineError::Tag);
    }

    proptest! {
        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_line(&line);
        }

        #[test]
        fn round_trip(ns in 0i64..4_000_000_000_000_000_000, err: bool, partial: bool, text in proptest::collection::vec(any::<u8>().prop_filter("newline", |b| *b != b'\n'), 0..100)) {
            let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            let (stream, tag) = (if err { "stderr" } else { "stdout" }, if partial { "P" } else { "F" });
            let mut line = format!("{time:.9} {stream} {tag} ").into_bytes();
            line.extend_from_slice(&text);
            let parsed = parse_line(&line).unwrap();
            let mut expected = text.clone();
            if !partial { expected.push(b'\n'); }
            prop_assert_eq!((parsed.time_ns, parsed.stream.name(), parsed.partial), (ns, Some(stream), partial));
            prop_assert_eq!(&*parsed.text, &expected[..]);
        }
    }
}
