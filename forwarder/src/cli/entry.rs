//! What memlogd's clients read: entries, in either of its wire formats.

use std::borrow::Cow;

use serde::Deserialize;

/// One entry, borrowed from its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// RFC 3339, as it came.
    pub time: Cow<'a, str>,
    pub source: Cow<'a, [u8]>,
    pub message: Cow<'a, [u8]>,
}

/// The keys that count; a daemon may send others.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    msg: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    /// Reads a line without its newline: an object, or `TIME,SOURCE;TEXT` as daemons before LinuxKit v0.8.1 send it.
    /// `None` where it is neither.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if line.first() == Some(&b'{') {
            let json: Json<'a> = serde_json::from_slice(line).ok()?;
            return Some(Self { time: json.time, source: bytes(json.source), message: bytes(json.msg) });
        }
        let semicolon = memchr::memchr(b';', line)?;
        let comma = memchr::memchr(b',', &line[..semicolon])?;
        Some(Self {
            time: Cow::Borrowed(std::str::from_utf8(&line[..comma]).ok()?),
            source: Cow::Borrowed(&line[comma + 1..semicolon]),
            message: Cow::Borrowed(&line[semicolon + 1..]),
        })
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &[u8]) -> Option<(String, String, String)> {
        let entry = Entry::parse(line)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((entry.time.into_owned(), text(&entry.source), text(&entry.message)))
    }

    #[test]
    fn both_formats_are_read() {
        let expected = Some(("2026-11-20T22:56:37.5Z".into(), "a.out".into(), "x <;\t".into()));
        let json = br#"{"time":"2026-11-20T22:56:37.5Z","source":"a.out","msg":"x \u003c;\t","cut":true}"#;
        assert_eq!(parts(json), expected);
        assert_eq!(parts(b"2026-11-20T22:56:37.5Z,a.out;x <;\t"), expected);
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in [&b""[..], b"{", b"{\"time\":7}", b"no separators", b"time;source,text", b"\xff\xff,a;b", b"[]"] {
            assert_eq!(parts(line), None, "{line:?}");
        }
        assert_eq!(parts(b"{}"), Some(Default::default()));
    }
}
