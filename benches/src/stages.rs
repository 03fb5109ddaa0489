//! The stages. A new one is one more line in [`all`].

use std::collections::BTreeMap;
use std::hint::black_box;

use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::encode::simd::{EscapeStyle, Variant, escape_into_with};
use ringward::parse::cri::CriParser;
use ringward::parse::line::{LineKind, LineParser};
use ringward::record::{Batch, BatchBuilder, FieldValue, Flags};
use ringward::ring::{ReaderOptions, Ring, RingLimits};
use ringward::source::framer::{Framed, Framer};

use crate::RECORDS;
use crate::inputs::{SERVICE_JSON, TALOS_OBJECT, batch, container, escaped, fill, lines, not_ascii, plain};

/// A stage that can be run again and again.
pub struct Stage {
    pub name: String,
    /// Bytes of input that one run handles.
    pub bytes: u64,
    pub run: Box<dyn FnMut()>,
}

/// All stages, in the order of a record's way.
pub fn all() -> Vec<Stage> {
    let mut stages = vec![frame(), parse_cri()];
    stages.push(parse("object, passed on", LineKind::Auto, TALOS_OBJECT));
    stages.push(parse("service's JSON", LineKind::Talos, SERVICE_JSON));
    stages.push(parse("service's text", LineKind::Talos, &plain()));
    stages.push(build());
    for cursors in [1, 4, 16] {
        stages.push(ring(cursors));
    }
    for variant in Variant::available() {
        for (text, line) in [("plain", plain()), ("escaped30", escaped()), ("cyrillic", not_ascii())] {
            stages.push(escape(variant, text, line));
        }
    }
    let fields = [("status", FieldValue::Json(b"200")), ("user", FieldValue::Text(b"somebody"))];
    stages.push(encode("plain", batch(&plain(), &[])));
    stages.push(encode("escaped30", batch(&escaped(), &[])));
    stages.push(encode("two fields", batch(&plain(), &fields)));
    stages
}

fn stage(name: impl Into<String>, bytes: usize, run: impl FnMut() + 'static) -> Stage {
    Stage { name: name.into(), bytes: bytes as u64, run: Box::new(run) }
}

/// Bytes into lines.
fn frame() -> Stage {
    let input = lines(&plain());
    let mut framer = Framer::new(256 << 10);
    stage("frame", input.len(), move || {
        let mut out = |framed: Framed<'_>| {
            black_box(&framed);
        };
        framer.push(black_box(&input), 1, Flags::NONE, &mut out);
    })
}

/// A CRI line into its time, stream and text.
fn parse_cri() -> Stage {
    let line = format!("2026-01-02T03:04:05.123456789Z stdout F {}", plain());
    let mut parser = CriParser::default();
    stage("parse CRI", line.len() * RECORDS as usize, move || {
        for _ in 0..RECORDS {
            let _ = black_box(parser.parse(black_box(line.as_bytes())));
        }
    })
}

/// A line into its parts.
fn parse(name: &str, kind: LineKind, line: &str) -> Stage {
    let (line, mut parser) = (line.to_owned(), LineParser::default());
    stage(format!("parse {name}"), line.len() * RECORDS as usize, move || {
        for _ in 0..RECORDS {
            black_box(parser.parse(kind, black_box(line.as_bytes())));
        }
    })
}

/// Lines into a batch.
fn build() -> Stage {
    let (line, origin) = (plain(), container());
    let mut builder = BatchBuilder::new(512 << 10);
    stage("build a batch", line.len() * RECORDS as usize, move || {
        fill(&mut builder, &origin, black_box(&line), &[]);
        black_box(builder.seal());
    })
}

/// A batch into the ring, and out of it by each of `cursors`, which acknowledge it.
fn ring(cursors: usize) -> Stage {
    let batch = batch(&plain(), &[]);
    let bytes = batch.byte_len();
    let ring = Ring::new(RingLimits { bytes: 4 << 20, records: u64::MAX }, 1);
    let mut readers: Vec<_> = (0..cursors).map(|n| ring.reader(ReaderOptions::new(n.to_string()))).collect();
    stage(format!("ring, {cursors} cursors"), bytes, move || {
        ring.append(batch.clone());
        for reader in &mut readers {
            if let Some(taken) = reader.try_next() {
                reader.acknowledge(&taken, taken.batch.record_count());
            }
        }
    })
}

fn escape(variant: Variant, text: &str, line: String) -> Stage {
    let mut out = Vec::with_capacity(64 << 10);
    stage(format!("escape {text}, {}", variant.name()), line.len() * RECORDS as usize, move || {
        for _ in 0..RECORDS {
            out.clear();
            escape_into_with(variant, &mut out, black_box(line.as_bytes()), EscapeStyle::Html);
        }
        black_box(&out);
    })
}

/// A batch into json_lines, with a tag.
fn encode(name: &str, batch: Batch) -> Stage {
    let mut encoder = JsonLines::new(JsonLinesOptions {
        extra_tags: BTreeMap::from([("server".into(), "s03-rack07".into())]),
        newline: true,
        max_record_bytes: None,
    });
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let bytes = batch.records().map(|record| record.body.len()).sum();
    stage(format!("encode {name}"), bytes, move || {
        out.clear();
        ends.clear();
        encoder.encode_batch(black_box(&batch), 0..batch.record_count(), &mut out, &mut ends);
        black_box((&out, &ends));
    })
}
