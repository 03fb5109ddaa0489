//! Docker's `json-file` log format.
//!
//! ```text
//! {"log":"text\n","stream":"stdout","attrs":{…},"time":"2016-10-06T00:17:09.669794202Z"}
//! ```
//!
//! A `log` without a newline at its end is a part of a line (Docker cuts at 16 KiB), or the last bytes of a
//! container. The writer (moby `daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go`) escapes `"`, `\`, controls,
//! `<`, `>`, `&`, U+2028 and U+2029, and writes `\ufffd` for every invalid byte: those bytes are lost in the file.

use std::borrow::Cow;

use serde::Deserialize;

use super::log_line::{LineError, LogLine, parse_stream, parse_time};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// One line, given without its newline.
///
/// # Errors
/// [`LineError`] where the line is torn or of another format.
pub fn parse(line: &[u8]) -> Result<LogLine<'_>, LineError> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|_| LineError::Json)?;
    let partial = !line.log.ends_with('\n');
    let length = line.log.len() - usize::from(!partial);
    let text = match line.log {
        Cow::Borrowed(text) => Cow::Borrowed(&text.as_bytes()[..length]),
        Cow::Owned(text) => {
            let mut text = text.into_bytes();
            text.truncate(length);
            Cow::Owned(text)
        }
    };
    let (time_ns, stream) = (parse_time(line.time.as_bytes())?, parse_stream(line.stream.as_bytes())?);
    Ok(LogLine { time_ns, stream, partial, text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Stream;
    use proptest::prelude::*;

    #[test]
    fn lines_of_docker() {
        // Written by Docker 20.10 for `printf 'a\377b\001<&>\n'`.
        let text = br#"{"log":"a\ufffdb\u0001\u003c\u0026\u003e\n","stream":"stdout","time":"2026-11-21T04:33:41.703762239Z"}"#;
        let line = parse(text).unwrap();
        assert_eq!(&*line.text, "a\u{fffd}b\u{1}<&>".as_bytes());
        assert_eq!((line.stream, line.partial), (Stream::Stdout, false));
        let line =
            parse(br#"{"log":"p","stream":"stderr","attrs":{"a":"b"},"time":"2016-10-06T00:17:09.1Z"}"#).unwrap();
        assert_eq!((&*line.text, line.stream, line.partial), (&b"p"[..], Stream::Stderr, true));
    }

    #[test]
    fn refusals() {
        let error = |line: &str| parse(line.as_bytes()).unwrap_err();
        for torn in
            ["", "{", "[]", r#"{"log":"a\n","stream":"stdout"}"#, r#"{"log":"a","stream":"stdout","time":"2016"#]
        {
            assert_eq!(error(torn), LineError::Json, "{torn}");
        }
        assert_eq!(error(r#"{"log":"a","stream":"x","time":"2016-10-06T00:17:09.1Z"}"#), LineError::Stream);
        assert_eq!(error(r#"{"log":"a","stream":"stdout","time":"noon"}"#), LineError::Time);
    }

    proptest! {
        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn round_trip(log in "\\PC{0,40}(\n|)") {
            let time = "2016-10-06T00:17:09.669794202Z";
            let line = serde_json::json!({"log": log, "stream": "stderr", "time": time}).to_string();
            let parsed = parse(line.as_bytes()).unwrap();
            prop_assert_eq!(parsed.time_ns, 1_475_713_029_669_794_202);
            prop_assert_eq!(parsed.partial, !log.ends_with('\n'));
            prop_assert_eq!(&*parsed.text, log.strip_suffix('\n').unwrap_or(&log).as_bytes());
        }
    }
}
