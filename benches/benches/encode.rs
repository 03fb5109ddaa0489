//! What encoding costs: the escape kernel by variant against two JSON writers, and whole batches.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::encode::simd::{EscapeStyle, Variant, escape_into_with};
use ringward::record::{Batch, BatchBuilder, FieldValue, Origin, OriginHandle, OriginKind, RecordMeta, Stream};

const LINE: usize = 200;
/// What a batch holds when a container prints as fast as it can.
const BATCH_RECORDS: u32 = 1000;

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

/// Cyrillic words, two bytes a letter.
fn not_ascii() -> String {
    let mut text: String = "запрос обработан за миллисекунды ".chars().cycle().take(LINE).collect();
    while text.len() > LINE {
        text.pop();
    }
    text
}

fn escape(criterion: &mut Criterion) {
    for (name, line) in [("plain", plain()), ("escaped30", escaped()), ("cyrillic", not_ascii())] {
        let mut group = criterion.benchmark_group(format!("escape/{name}"));
        group.throughput(Throughput::Bytes(line.len() as u64));
        for variant in Variant::available() {
            let mut out = Vec::with_capacity(64 * 1024);
            group.bench_function(variant.name(), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    escape_into_with(variant, &mut out, black_box(line.as_bytes()), EscapeStyle::Html);
                });
            });
        }
        let mut out = Vec::with_capacity(64 * 1024);
        group.bench_function("serde_json", |bencher| {
            bencher.iter(|| {
                out.clear();
                serde_json::to_writer(&mut out, black_box(line.as_str()))
            });
        });
        let mut out = Vec::with_capacity(64 * 1024);
        group.bench_function("simd-json", |bencher| {
            bencher.iter(|| {
                out.clear();
                simd_json::to_writer(&mut out, black_box(line.as_str()))
            });
        });
        group.finish();
    }
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
fn batch(line: &str, fields: &[(&str, FieldValue<'_>)]) -> Batch {
    let origin = container();
    let mut builder = BatchBuilder::new(256 * 1024);
    for number in 0..BATCH_RECORDS {
        let time = 1_767_323_045_000_000_000 + i64::from(number) * 1_700;
        builder.push_with_fields(&origin, RecordMeta::line(time, line.as_bytes()), line.as_bytes(), fields);
    }
    builder.seal()
}

fn encode_batch(criterion: &mut Criterion) {
    let fields = [("status", FieldValue::Json(b"200")), ("user", FieldValue::Text(b"somebody"))];
    let batches = [
        ("plain", batch(&plain(), &[])),
        ("escaped30", batch(&escaped(), &[])),
        ("two fields", batch(&plain(), &fields)),
    ];
    let mut group = criterion.benchmark_group("json_lines");
    group.throughput(Throughput::Elements(u64::from(BATCH_RECORDS)));
    for (name, batch) in &batches {
        let mut lines = JsonLines::new(JsonLinesOptions {
            extra_tags: BTreeMap::from([("server".into(), "s03-rack07".into())]),
            newline: true,
            max_record_bytes: None,
        });
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                ends.clear();
                lines.encode_batch(black_box(batch), 0..BATCH_RECORDS, &mut out, &mut ends)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, escape, encode_batch);
criterion_main!(benches);
