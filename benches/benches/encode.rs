//! What encoding a batch as json_lines costs: records and bytes a second, and the budgets beside the fastest run.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group};
use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::record::{Batch, BatchBuilder, FieldValue, Flags, Origin, OriginHandle, OriginKind, RecordMeta, Stream};

const LINE: usize = 200;
/// What a batch holds when a container prints as fast as it can.
const BATCH_RECORDS: u32 = 1000;
const ROUNDS: u32 = 500;

const SIX_FIELDS: [(&str, FieldValue<'_>); 6] = [
    ("caller", FieldValue::Text(b"mvcc/kvstore_compaction.go:57")),
    ("compact-revision", FieldValue::Json(b"34567")),
    ("component", FieldValue::Text(b"controller-runtime")),
    ("hash", FieldValue::Json(b"1830523")),
    ("took", FieldValue::Text(b"21.041639ms")),
    ("user", FieldValue::Text(b"somebody")),
];

/// A line as programs print them, without anything to escape.
fn plain() -> String {
    let text = "2026-01-02 03:04:05.123 INFO worker-7 request served path=/api/v1/items status=200 bytes=18231 ";
    text.chars().cycle().take(LINE).collect()
}

/// Three bytes of ten need an escape, in no pattern that a branch predictor could learn from one line.
fn escaped() -> String {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let letter = |number: u32| if number % 10 < 3 { ['"', '\\', '\t', '<'][number as usize / 10 % 4] } else { 'x' };
    (0..LINE).map(|_| letter(next())).collect()
}

fn container() -> OriginHandle {
    let attributes = [
        ("container", "4f0c1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7"),
        ("namespace", "production"),
        ("pod", "web-5d8f7c9b6d-x2x7z"),
    ];
    OriginHandle::new(Origin {
        kind: OriginKind::Container,
        name: "web".into(),
        stream: Stream::Stdout,
        source: String::new(),
        attributes: attributes.map(|(key, value)| (key.into(), value.into())).to_vec(),
    })
}

/// Records that are 1.7 µs apart.
fn batch(line: &str, flags: Flags, fields: &[(&str, FieldValue<'_>)]) -> Batch {
    let origin = container();
    let mut builder = BatchBuilder::new(256 * 1024);
    for number in 0..BATCH_RECORDS {
        let time = 1_767_323_045_000_000_000 + i64::from(number) * 1_713;
        let meta = RecordMeta { flags, ..RecordMeta::line(time, line.as_bytes()) };
        builder.push_with_fields(&origin, meta, line.as_bytes(), fields);
    }
    builder.seal()
}

/// Batches by name, and the budget of a record in nanoseconds.
fn batches() -> [(&'static str, Batch, Option<f64>); 5] {
    [
        ("plain", batch(&plain(), Flags::NONE, &[]), Some(40.0)),
        ("escaped30", batch(&escaped(), Flags::NONE, &[]), None),
        ("partial", batch(&plain(), Flags::PARTIAL, &[]), None),
        ("two fields", batch(&plain(), Flags::NONE, &SIX_FIELDS[..2]), None),
        ("six fields", batch(&plain(), Flags::NONE, &SIX_FIELDS), Some(150.0)),
    ]
}

fn encoder() -> JsonLines {
    JsonLines::new(JsonLinesOptions {
        extra_tags: BTreeMap::from([("server".into(), "s03-rack07".into())]),
        newline: true,
        max_record_bytes: None,
    })
}

fn encode_batch(criterion: &mut Criterion) {
    for (name, batch, _) in &batches() {
        let mut lines = encoder();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        lines.encode_batch(batch, 0..BATCH_RECORDS, &mut out, &mut ends);
        let units = [Throughput::Elements(u64::from(BATCH_RECORDS)), Throughput::Bytes(out.len() as u64)];
        for (unit, throughput) in ["records", "bytes"].into_iter().zip(units) {
            let mut group = criterion.benchmark_group(format!("json_lines/{name}"));
            group.throughput(throughput);
            group.bench_function(unit, |bencher| {
                bencher.iter(|| {
                    out.clear();
                    ends.clear();
                    lines.encode_batch(black_box(batch), 0..BATCH_RECORDS, &mut out, &mut ends)
                });
            });
        }
    }
}

fn summary() {
    println!("\n{:<12} {:>14} {:>14} {:>10}", "", "a record", "records/s", "written");
    for (name, batch, budget) in &batches() {
        let mut lines = encoder();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        let round = |_| {
            out.clear();
            ends.clear();
            let started = Instant::now();
            lines.encode_batch(black_box(batch), 0..BATCH_RECORDS, &mut out, &mut ends);
            started.elapsed().as_nanos() as f64 / f64::from(BATCH_RECORDS)
        };
        let best = (0..ROUNDS).map(round).fold(f64::MAX, f64::min);
        let bytes = out.len() as f64 / f64::from(BATCH_RECORDS);
        print!("{name:<12} {best:>11.1} ns {:>12.1} M {:>5.1} GB/s", 1000.0 / best, bytes / best);
        match budget {
            Some(budget) => println!(", bar {budget} ns: {}", if best <= *budget { "ok" } else { "short" }),
            None => println!(),
        }
    }
}

criterion_group!(benches, encode_batch);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    summary();
}
