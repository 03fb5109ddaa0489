//! The stages. A new one is one more line in [`all`].

use std::hint::black_box;

use ringward::encode::simd::{EscapeStyle, Variant, escape_into_with};
use ringward::parse::cri::CriParser;
use ringward::parse::line::{LineKind, LineParser};
use ringward::record::{Batch, BatchBuilder, Flags};
use ringward::ring::{ReaderOptions, Ring, RingLimits};
use ringward::source::framer::{Framed, Framer};

use crate::inputs::{
    CYRILLIC, LINE, LOGFMT, SERVICE_JSON, TALOS_OBJECT, batch, batches, container, encoder, escaped, fill, lines,
    plain, text,
};
use crate::{RECORDS, shaping};

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
    stages.push(parse("logfmt", LineKind::Logfmt, LOGFMT));
    stages.push(build());
    for cursors in [1, 4, 16] {
        stages.push(ring(cursors));
    }
    stages.extend([("alone", false), ("beside a black hole", true)].map(|(name, hole)| deliver(name, hole)));
    for variant in Variant::available() {
        for (name, line) in [("plain", plain()), ("escaped30", escaped(LINE)), ("cyrillic", text(CYRILLIC, LINE))] {
            stages.push(escape(variant, name, line));
        }
    }
    stages.extend(shaping::all());
    stages.extend(batches().map(|(name, batch)| encode(name, batch)));
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
            black_box(parser.parse(kind, black_box(line.as_bytes()), 0));
        }
    })
}

/// Lines into a batch.
fn build() -> Stage {
    let (line, origin) = (plain(), container());
    let mut builder = BatchBuilder::new(512 << 10);
    stage("build a batch", line.len() * RECORDS as usize, move || {
        fill(&mut builder, &origin, black_box(&line), Flags::NONE, &[]);
        black_box(builder.seal());
    })
}

/// A batch into the ring, and out of it by each of `cursors`, which acknowledge it.
fn ring(cursors: usize) -> Stage {
    let batch = batch(&plain(), Flags::NONE, &[]);
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

/// A batch through a full ring to a destination that keeps up, and encoded for it; beside one that takes nothing and loses
/// what the ring lets go, if there is a `hole`.
fn deliver(name: &str, hole: bool) -> Stage {
    let batch = batch(&plain(), Flags::NONE, &[]);
    let bytes = batch.byte_len();
    let ring = Ring::new(RingLimits { bytes: 4 << 20, records: u64::MAX }, 1);
    let mut reader = ring.reader(ReaderOptions::new("keeps up"));
    let stalled = hole.then(|| ring.reader(ReaderOptions::new("black hole")));
    let mut encoder = encoder();
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..(4 << 20) / bytes {
        ring.append(batch.clone());
        let taken = reader.try_next().expect("it has just been appended");
        reader.acknowledge(&taken, taken.batch.record_count());
    }
    stage(format!("deliver {name}"), bytes, move || {
        ring.append(black_box(&batch).clone());
        let taken = reader.try_next().expect("it has just been appended");
        let records = taken.batch.record_count();
        out.clear();
        ends.clear();
        encoder.encode_batch(&taken.batch, 0..records, &mut out, &mut ends);
        reader.acknowledge(&taken, records);
        black_box((&out, &ends, &stalled));
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
    let mut encoder = encoder();
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let bytes = batch.records().map(|record| record.body.len()).sum();
    stage(format!("encode {name}"), bytes, move || {
        out.clear();
        ends.clear();
        encoder.encode_batch(black_box(&batch), 0..batch.record_count(), &mut out, &mut ends);
        black_box((&out, &ends));
    })
}
