//! Records as memlogd's clients read them.
//!
//! ```text
//! json   {"time":"2026-11-20T22:56:37.323235304Z","source":"svc.out","msg":"html \u003ca\u003e"}
//! text   2026-11-20T22:56:37.323235304Z,svc.out;body          the query socket before LinuxKit v0.8.1
//! print  2026-11-20T22:56:37.323235304Z;svc\;a.out;body       memlogd's standard output, and logread's
//! ```
//!
//! - One entry a line. A body with line breaks (the kernel's have one at the end, and lines of a dictionary) becomes an
//!   entry for each of its lines, as it would have come through LinuxKit's `kmsg` service.
//! - Times are RFC 3339 with nanoseconds, in UTC. `json` escapes as Go's encoder does; the others have the raw bytes.
//! - The source is the origin's [`Origin::memlogd_name`]. What a format can't hold in it becomes `_`: line breaks in
//!   `text` and `print`, and `,` and `;` in `text`. `print` writes `;` as `\;`.
//! - A line that was cut between two characters has `"cut":true` behind its `msg` in `json`. Clients ignore keys that
//!   they don't know; the other formats have no place for it.
//! - A record that reports a loss says the times in its text, too.
//!
//! In: batches. Out: bytes and the end offset of each entry. Nothing is refused. Limits: the templates of at most
//! [`MAX_SOURCES`] origins are kept.

use std::collections::HashMap;
use std::ops::Range;

use crate::encode::simd::{EscapeStyle, Sink, escape_into};
use crate::encode::time::TimeWriter;
use crate::record::{Batch, FieldValue, Flags, Origin, OriginId, Record};

const MAX_SOURCES: usize = 4096;

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryFormat {
    Json,
    Text,
    Print,
}

/// An encoder of entries.
pub struct Entries {
    format: EntryFormat,
    /// Whether a cut is marked.
    marks: bool,
    /// What stands between the time and the body, by origin.
    sources: HashMap<OriginId, Box<[u8]>>,
    time: TimeWriter,
}

impl Entries {
    pub fn new(format: EntryFormat, marks: bool) -> Self {
        Self { format, marks, sources: HashMap::new(), time: TimeWriter::default() }
    }

    /// Appends the entries of `records`, in order, until `out` has `enough` bytes or they are all written; and to `ends`
    /// the length of `out` after each entry. Returns how many records were written: one at least.
    ///
    /// # Panics
    /// Where the batch has fewer records.
    pub fn encode(
        &mut self,
        batch: &Batch,
        records: Range<u32>,
        enough: usize,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> u32 {
        if self.sources.len() > MAX_SOURCES {
            self.sources.clear();
        }
        let mut last: Option<(u32, &[u8])> = None;
        // Records that were read at once have one time.
        let mut last_time: Option<(i64, Range<usize>)> = None;
        for origin in 0..batch.origin_count() {
            let format = self.format;
            self.sources
                .entry(batch.origin_id(origin))
                .or_insert_with(|| source_of(format, batch.origin_bytes(origin)));
        }
        let mut done = 0;
        for index in records {
            let record = batch.record(index);
            let source = match last {
                Some((origin, source)) if origin == record.origin => source,
                _ => &*self.sources[&batch.origin_id(record.origin)],
            };
            last = Some((record.origin, source));
            let whole;
            let body = if record.flags.contains(Flags::LOSS) {
                whole = loss_text(&record);
                &whole[..]
            } else {
                record.body.strip_suffix(b"\n").unwrap_or(record.body)
            };
            let cut = self.marks && record.flags.contains(Flags::CUT);
            let mut rest = Some(body);
            while let Some(lines) = rest {
                let line = match memchr::memchr(b'\n', lines) {
                    Some(newline) => {
                        rest = Some(&lines[newline + 1..]);
                        &lines[..newline]
                    }
                    None => {
                        rest = None;
                        lines
                    }
                };
                if self.format == EntryFormat::Json {
                    out.extend_from_slice(b"{\"time\":\"");
                }
                match &last_time {
                    Some((time, at)) if *time == record.time_ns => out.extend_from_within(at.clone()),
                    _ => {
                        let at = out.len();
                        self.time.write(record.time_ns, &mut Sink::new(out));
                        last_time = Some((record.time_ns, at..out.len()));
                    }
                }
                out.extend_from_slice(source);
                match self.format {
                    EntryFormat::Json => {
                        escape_into(out, line, EscapeStyle::Html);
                        let end: &[u8] = if cut && rest.is_none() { b"\",\"cut\":true}\n" } else { b"\"}\n" };
                        out.extend_from_slice(end);
                    }
                    EntryFormat::Text | EntryFormat::Print => {
                        out.extend_from_slice(line);
                        out.push(b'\n');
                    }
                }
                ends.push(out.len());
            }
            done += 1;
            if out.len() >= enough {
                break;
            }
        }
        done
    }
}

/// What stands between the time and the body of an origin's entries.
fn source_of(format: EntryFormat, origin: &[u8]) -> Box<[u8]> {
    // A batch's origins were checked when it was made or parsed; still no reason to lose its records.
    let name = Origin::decode(origin).map_or_else(|_| "unknown".to_owned(), |origin| origin.memlogd_name());
    let mut out = Vec::new();
    match format {
        EntryFormat::Json => {
            out.extend_from_slice(b"\",\"source\":\"");
            escape_into(&mut out, name.as_bytes(), EscapeStyle::Html);
            out.extend_from_slice(b"\",\"msg\":\"");
        }
        EntryFormat::Text => {
            let plain = name.replace(['\n', '\r', ',', ';'], "_");
            out.extend_from_slice(format!(",{plain};").as_bytes());
        }
        EntryFormat::Print => {
            let plain = name.replace(['\n', '\r'], "_").replace(';', "\\;");
            out.extend_from_slice(format!(";{plain};").as_bytes());
        }
    }
    out.into_boxed_slice()
}

/// The text of a report, with the times that its fields have.
#[cold]
fn loss_text(record: &Record<'_>) -> Vec<u8> {
    let field = |name: &[u8]| {
        let found = record.fields().find(|(key, _)| *key == name);
        match found {
            Some((_, FieldValue::Text(text))) => String::from_utf8_lossy(text).into_owned(),
            _ => "?".to_owned(),
        }
    };
    let mut text = record.body.to_vec();
    text.extend_from_slice(format!(", written between {} and {}", field(b"lost-from"), field(b"lost-to")).as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{BatchBuilder, Lost, OriginHandle, OriginKind, RecordMeta, Stream};

    const TIME: i64 = 1_795_215_397_323_235_304;

    fn batch(records: &[(&Origin, Flags, &[u8])]) -> Batch {
        let mut builder = BatchBuilder::new(4096);
        for (origin, flags, body) in records {
            let meta = RecordMeta { flags: *flags, ..RecordMeta::line(TIME, body) };
            builder.push(&OriginHandle::new((*origin).clone()), meta, body);
        }
        builder.seal()
    }

    fn written(format: EntryFormat, marks: bool, batch: &Batch) -> Vec<String> {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let mut entries = Entries::new(format, marks);
        assert_eq!(
            entries.encode(batch, 0..batch.record_count(), usize::MAX, &mut out, &mut ends),
            batch.record_count()
        );
        let mut start = 0;
        let mut shown = Vec::new();
        for end in ends {
            shown.push(String::from_utf8_lossy(&out[start..end]).into_owned());
            start = end;
        }
        assert_eq!(start, out.len());
        shown
    }

    fn service(name: &str, stream: Stream) -> Origin {
        Origin { stream, ..Origin::new(OriginKind::Service, name) }
    }

    #[test]
    fn entries_as_memlogd_writes_them() {
        let origin = service("svc;a,b", Stream::Stdout);
        let batch = batch(&[(&origin, Flags::NONE, b"html <a>&'\"\\ \xff")]);
        let time = "2026-11-20T22:56:37.323235304Z";
        assert_eq!(
            written(EntryFormat::Json, true, &batch),
            [format!(
                "{{\"time\":\"{time}\",\"source\":\"svc;a,b.out\",\"msg\":\"html \\u003ca\\u003e\\u0026'\\\"\\\\ \\ufffd\"}}\n"
            )]
        );
        assert_eq!(written(EntryFormat::Text, true, &batch), [format!("{time},svc_a_b.out;html <a>&'\"\\ \u{fffd}\n")]);
        assert_eq!(
            written(EntryFormat::Print, true, &batch),
            [format!("{time};svc\\;a,b.out;html <a>&'\"\\ \u{fffd}\n")]
        );
    }

    #[test]
    fn a_kernel_record_is_an_entry_for_each_line() {
        let kernel = Origin::new(OriginKind::Kernel, "kernel");
        let batch = batch(&[(&kernel, Flags::NONE, b"usb 1-1: new\n SUBSYSTEM=usb\n"), (&kernel, Flags::NONE, b"")]);
        let bodies: Vec<_> = written(EntryFormat::Text, true, &batch)
            .into_iter()
            .map(|entry| entry.split_once(",kmsg;").unwrap().1.to_owned())
            .collect();
        assert_eq!(bodies, ["usb 1-1: new\n", " SUBSYSTEM=usb\n", "\n"]);
    }

    #[test]
    fn a_cut_is_marked_where_there_is_a_place_for_it() {
        let origin = service("s", Stream::Stderr);
        let batch = batch(&[(&origin, Flags::CUT, b"x"), (&origin, Flags::PARTIAL, b"y")]);
        let json = written(EntryFormat::Json, true, &batch);
        assert!(
            json[0].ends_with("\"msg\":\"x\",\"cut\":true}\n") && json[1].ends_with("\"msg\":\"y\"}\n"),
            "{json:?}"
        );
        assert!(written(EntryFormat::Json, false, &batch)[0].ends_with("\"msg\":\"x\"}\n"));
    }

    #[test]
    fn a_loss_has_its_times() {
        let origin = OriginHandle::new(Origin::new(OriginKind::Ringward, "ringward"));
        let mut builder = BatchBuilder::new(512);
        builder.push_loss(&origin, Lost::Records(7), "before they could be read", 0, 1_500_000_000);
        let entry = written(EntryFormat::Print, true, &builder.seal()).remove(0);
        let body = "7 records were lost before they could be read, \
                    written between 1970-01-01T00:00:00Z and 1970-01-01T00:00:01.5Z\n";
        assert_eq!(entry, format!("1970-01-01T00:00:01.5Z;ringward;{body}"));
    }

    #[test]
    fn it_stops_when_there_is_enough() {
        let origin = service("s", Stream::Stderr);
        let batch = batch(&[(&origin, Flags::NONE, b"1"), (&origin, Flags::NONE, b"2"), (&origin, Flags::NONE, b"3")]);
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let mut entries = Entries::new(EntryFormat::Text, true);
        assert_eq!(entries.encode(&batch, 0..3, 1, &mut out, &mut ends), 1);
        assert_eq!(entries.encode(&batch, 1..3, usize::MAX, &mut out, &mut ends), 2);
        assert_eq!(ends.len(), 3);
        assert!(out.ends_with(b";3\n"));
    }

    proptest! {
        #[test]
        fn every_entry_is_one_line_that_reads_back(name in ".*", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let origin = service(&name, Stream::Stderr);
            let batch = batch(&[(&origin, Flags::NONE, &body)]);
            let text = body.strip_suffix(b"\n").unwrap_or(&body);
            let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            let json = written(EntryFormat::Json, true, &batch);
            prop_assert_eq!(json.len(), lines.len());
            for (entry, line) in json.iter().zip(&lines) {
                prop_assert_eq!(entry.find('\n'), Some(entry.len() - 1));
                let value: serde_json::Value = serde_json::from_str(entry).unwrap();
                prop_assert_eq!(value["source"].as_str(), Some(name.as_str()));
                let msg = value["msg"].as_str().unwrap();
                let lossy: String = line.utf8_chunks().map(|chunk| format!("{}{}", chunk.valid(), "\u{fffd}".repeat(chunk.invalid().len()))).collect();
                prop_assert_eq!(msg, lossy);
            }
            for format in [EntryFormat::Text, EntryFormat::Print] {
                for entry in written(format, true, &batch) {
                    prop_assert_eq!(entry.find('\n'), Some(entry.len() - 1));
                }
            }
        }
    }
}
