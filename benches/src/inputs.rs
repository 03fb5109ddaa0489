//! Lines, batches and origins that the benchmarks share. The same on every machine.

use ringward::record::{Batch, BatchBuilder, FieldValue, Origin, OriginHandle, OriginKind, RecordMeta, Stream};

use crate::RECORDS;

/// Bytes of a line.
pub const LINE: usize = 200;

/// A line as programs print them, without anything to escape.
pub fn plain() -> String {
    let text = "2026-01-02 03:04:05.123 INFO worker-7 request served path=/api/v1/items status=200 bytes=18231 ";
    text.chars().cycle().take(LINE).collect()
}

/// Three bytes of ten need an escape, in no pattern that a branch predictor could learn from one line.
pub fn escaped() -> String {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let letter = |number: u32| if number % 10 < 3 { ['"', '\\', '\t', '<'][number as usize / 10 % 4] } else { 'x' };
    (0..LINE).map(|_| letter(next())).collect()
}

/// Cyrillic words, two bytes a letter.
pub fn not_ascii() -> String {
    let mut text: String = "запрос обработан за миллисекунды ".chars().cycle().take(LINE).collect();
    while text.len() > LINE {
        text.pop();
    }
    text
}

/// What Talos sends of a service.
pub const TALOS_OBJECT: &str = r#"{"caller":"mvcc/kvstore_compaction.go:57","compact-revision":34567,"msg":"finished scheduled compaction of the store at a revision","talos-level":"info","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.815Z","took":"21.041639ms"}"#;

/// What the service itself prints, by zap.
pub const SERVICE_JSON: &str = r#"{"level":"info","ts":"2021-10-19T14:53:05.815Z","caller":"mvcc/kvstore_compaction.go:57","msg":"finished scheduled compaction of the store at a revision","compact-revision":34567,"took":"21.041639ms"}"#;

/// `line`, as often as a stage handles records, with newlines.
pub fn lines(line: &str) -> Vec<u8> {
    format!("{line}\n").repeat(RECORDS as usize).into_bytes()
}

/// A container's stream in Kubernetes.
pub fn container() -> OriginHandle {
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

/// [`RECORDS`] records that are 1.7 µs apart.
pub fn batch(line: &str, fields: &[(&str, FieldValue<'_>)]) -> Batch {
    let mut builder = BatchBuilder::new(512 << 10);
    fill(&mut builder, &container(), line, fields);
    builder.seal()
}

/// Puts the records of [`batch`] into a builder.
pub fn fill(builder: &mut BatchBuilder, origin: &OriginHandle, line: &str, fields: &[(&str, FieldValue<'_>)]) {
    for number in 0..RECORDS {
        let time = 1_767_323_045_000_000_000 + number as i64 * 1_700;
        builder.push_with_fields(origin, RecordMeta::line(time, line.as_bytes()), line.as_bytes(), fields);
    }
}
