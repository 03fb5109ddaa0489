//! What all targets ask of a parser: that nothing panics, and that what it gives can be used.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;
use ringward::parse::line::{LineKind, LineParser};
use ringward::record::bytes;

/// 2026-11-22.
const NOW: i64 = 1_795_305_600_000_000_000;

/// Reads a line, twice by the same parser: what it remembers must change nothing.
pub fn line(kind: LineKind, line: &[u8]) {
    let mut parser = LineParser::new(TimeZone::UTC);
    let first = said(&mut parser, kind, line);
    assert_eq!(said(&mut parser, kind, line), first);
}

/// Level, time, text and fields.
type Said = (u8, Option<i64>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

fn said(parser: &mut LineParser, kind: LineKind, line: &[u8]) -> Option<Said> {
    let parsed = parser.parse(kind, line, NOW)?;
    let parts = parsed.parts;
    let of = |span| bytes(parts.line, parts.more, span).to_vec();
    let fields: Vec<_> = parts.fields.iter().map(|field| (of(field.key), of(field.value))).collect();
    for (field, (key, value)) in parts.fields.iter().zip(&fields) {
        std::str::from_utf8(key).expect("a key is UTF-8");
        if field.is_json {
            assert_json(value);
        }
    }
    assert!(fields.windows(2).all(|pair| pair[0].0 < pair[1].0), "fields are in order, each once");
    Some((parsed.level as u8, parsed.time_ns, of(parts.body), fields))
}

/// However deep.
pub fn assert_json(value: &[u8]) {
    serde_json::from_slice::<serde::de::IgnoredAny>(value)
        .unwrap_or_else(|error| panic!("{} is no JSON: {error}", String::from_utf8_lossy(value)));
}

/// Changes bytes of what was good: of each three bytes, two say which one, and the third what it becomes.
pub fn change(good: &mut [u8], changes: &[u8]) {
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % good.len();
        good[at] = change[2];
    }
}

/// An empty folder in memory, which goes with this.
pub struct Folder(PathBuf);

impl Folder {
    #[expect(clippy::new_without_default, reason = "it makes something")]
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/ringward-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a folder in /dev/shm");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
