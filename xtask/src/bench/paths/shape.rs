//! What a line looks like: how it is sent, and the text that must arrive of it.
//!
//! Everything follows from seed and number, so that a line that arrives is known again by its number, with which its text
//! begins.

use std::io::Write;

use super::super::payload;

/// Bytes of a plain line, its newline included.
const PLAIN_BYTES: usize = 275;
/// What a program says in an object or in pairs: Talos' lines have 218 bytes with it.
const SAID_BYTES: usize = 80;
/// Of a line that needs escapes.
const ESCAPED_BYTES: usize = 200;
/// In a line with invalid UTF-8, one byte in so many, each alone: then all ways of replacing them give the same text.
const INVALID_EVERY: usize = 23;
/// Lines of a stack trace.
const TRACE_LINES: u64 = 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Text without anything to escape
    Plain,
    /// The same as a container runtime logs it
    Cri,
    /// An object with numbers, a nested object and an array
    Json,
    /// As logrus writes it
    Logfmt,
    /// As Talos sends it
    Talos,
    /// What Talos' services print: objects, text with an object behind it, text
    Service,
    /// Lines of stack traces, with tabs
    Trace,
    /// Three bytes of ten need an escape
    Escapes,
    /// Some bytes are not UTF-8
    Invalid,
}

impl Shape {
    /// Whether the text arrives in JSON as it is, without escapes.
    pub fn is_plain(self) -> bool {
        !matches!(self, Self::Trace | Self::Escapes | Self::Invalid)
    }

    /// Appends line `number` as it is sent, with its newline; with a time its text holds that.
    pub fn line(self, seed: u64, number: u64, time: Option<u64>, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>| self.sent(seed, number, time, out);
        match self {
            Self::Plain | Self::Trace | Self::Escapes | Self::Invalid => text(out),
            Self::Cri => {
                let (second, nanosecond) = (number / 1000 % 60, number % 1000 * 1_000_000 + 1);
                put(out, format_args!("2026-01-02T03:04:{second:02}.{nanosecond:09}Z stdout F "));
                text(out);
            }
            Self::Json => {
                out.extend_from_slice(br#"{"ts":1767323045.25,"level":"info","msg":""#);
                text(out);
                out.extend_from_slice(br#"","http":{"status":200,"path":"/api/v1/items"},"tags":["web",7],"ok":true}"#);
            }
            Self::Logfmt => {
                out.extend_from_slice(br#"time="2026-01-02T03:04:05.123456789Z" level=info msg=""#);
                text(out);
                out.extend_from_slice(br#"" name=kata-runtime pid=14314 source=virtcontainers subsystem=sandbox"#);
            }
            Self::Talos => {
                out.extend_from_slice(br#"{"caller":"mvcc/kvstore_compaction.go:57","msg":""#);
                text(out);
                out.extend_from_slice(
                    br#"","talos-level":"info","talos-service":"etcd","talos-time":"2026-01-02T03:04:05.815Z"}"#,
                );
            }
            Self::Service if number.is_multiple_of(3) => {
                out.extend_from_slice(br#"{"level":"info","ts":"2026-01-02T03:04:05.815Z","msg":""#);
                text(out);
                put(out, format_args!(r#"","compact-revision":{number}}}"#));
            }
            Self::Service => {
                text(out);
                if number % 3 == 1 {
                    put(out, format_args!(r#" {{"attempt":{number}}}"#));
                }
            }
        }
        out.push(b'\n');
    }

    /// Appends the text of line `number` as it must arrive.
    pub fn text(self, seed: u64, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        self.sent(seed, number, None, out);
        if self == Self::Invalid {
            let text = String::from_utf8_lossy(&out[start..]).into_owned();
            out.truncate(start);
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn sent(self, seed: u64, number: u64, time: Option<u64>, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::Plain | Self::Cri | Self::Invalid => words(seed, number, time, PLAIN_BYTES - 1, out),
            Self::Json | Self::Logfmt | Self::Talos | Self::Service => words(seed, number, time, SAID_BYTES, out),
            Self::Trace | Self::Escapes if time.is_some() => words(seed, number, time, ESCAPED_BYTES, out),
            Self::Trace => trace(number, out),
            Self::Escapes => {
                put(out, format_args!("{number:09} "));
                let mut state = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                while out.len() - start < ESCAPED_BYTES - 1 {
                    // The upper bits of a linear congruence are random enough.
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let drawn = (state >> 40) as usize;
                    out.push(if drawn % 10 < 3 { [b'"', b'\\', b'\t', b'<'][drawn / 10 % 4] } else { b'x' });
                }
                out.push(b'.');
            }
        }
        if self == Self::Invalid && time.is_none() {
            for byte in out[start..].iter_mut().skip(INVALID_EVERY).step_by(INVALID_EVERY) {
                *byte = 0xff;
            }
        }
    }
}

/// Words that neither begin nor end with a space, which some take away.
fn words(seed: u64, number: u64, time: Option<u64>, length: usize, out: &mut Vec<u8>) {
    match time {
        None => payload::line(seed, number, length, out),
        Some(time) => payload::timed_line(seed, number, time, length, out),
    }
    if let Some(last) = out.last_mut().filter(|last| **last == b' ') {
        *last = b'.';
    }
}

/// One line of a trace as the JVM prints it.
fn trace(number: u64, out: &mut Vec<u8>) {
    let (id, place) = (number / TRACE_LINES, number % TRACE_LINES);
    match place {
        0 => put(out, format_args!("{number:09} java.lang.IllegalStateException: queue {id} is full")),
        1..10 => put(out, format_args!("{number:09} \tat org.example.store.Queue$Part.put(Queue.java:{})", 40 + place)),
        10 => put(out, format_args!("{number:09} Caused by: java.io.IOException: No space left on device")),
        _ => put(out, format_args!("{number:09} \tat org.example.io.Disk.<init>(Disk.java:{})", 40 + place)),
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes it");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Shape; 9] = [
        Shape::Plain,
        Shape::Cri,
        Shape::Json,
        Shape::Logfmt,
        Shape::Talos,
        Shape::Service,
        Shape::Trace,
        Shape::Escapes,
        Shape::Invalid,
    ];

    fn made(make: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        make(&mut out);
        out
    }

    #[test]
    fn a_line_follows_from_seed_and_number_and_begins_its_text_with_that() {
        for shape in ALL {
            for number in 0..60 {
                let line = made(|out| shape.line(7, number, None, out));
                assert_eq!(line, made(|out| shape.line(7, number, None, out)), "{shape:?}");
                assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1), "{shape:?}");
                let text = made(|out| shape.text(7, number, out));
                assert_eq!(payload::number_of(&text), Some(number), "{shape:?}");
                assert!(std::str::from_utf8(&text).is_ok() && text.trim_ascii() == text, "{shape:?}");
                let escaped = text.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
                assert!(!(escaped && shape.is_plain()), "{shape:?}");
                let timed = made(|out| shape.line(7, number, Some(1_767_323_045_000_000_001), out));
                assert!(memchr::memmem::find(&timed, b" 1767323045000000001 ").is_some(), "{shape:?}");
            }
        }
    }

    #[test]
    fn shapes_are_what_they_say() {
        let line = |shape: Shape, number| made(|out| shape.line(1, number, None, out));
        assert!((0..50).all(|number| line(Shape::Plain, number).len() == PLAIN_BYTES));
        for (shape, number) in [(Shape::Json, 1), (Shape::Talos, 1), (Shape::Service, 0)] {
            assert!(serde_json::from_slice::<serde_json::Value>(&line(shape, number)).is_ok(), "{shape:?}");
        }
        let lines = (0..200).flat_map(|number| line(Shape::Escapes, number)).collect::<Vec<_>>();
        let escaped = lines.iter().filter(|byte| matches!(byte, b'"' | b'\\' | b'\t' | b'<')).count();
        assert!((0.25..0.32).contains(&(escaped as f64 / lines.len() as f64)));
        assert!(std::str::from_utf8(&line(Shape::Invalid, 1)).is_err());
        assert!(line(Shape::Trace, 3).contains(&b'\t'));
    }
}
