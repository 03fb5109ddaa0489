//! Lines, batches and origins that the benchmarks share. The same on every machine.

use std::collections::BTreeMap;

use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::record::{Batch, BatchBuilder, FieldValue, Flags, Origin, OriginHandle, OriginKind, RecordMeta, Stream};

use crate::RECORDS;

/// Bytes of a line.
pub const LINE: usize = 200;

/// A line as programs print them, without anything to escape.
pub fn plain() -> String {
    text(PLAIN, LINE)
}

pub const PLAIN: &str =
    "2026-01-02 03:04:05.123 INFO worker-7 request served path=/api/v1/items status=200 bytes=18231 ";
/// Two bytes a letter.
pub const CYRILLIC: &str = "запрос обработан за миллисекунды ";

/// At most `len` bytes of a text that repeats, cut between two characters.
pub fn text(words: &str, len: usize) -> String {
    let mut text: String = words.chars().cycle().take(len).collect();
    text.truncate(text.floor_char_boundary(len));
    text
}

/// Three bytes of ten need an escape, in no pattern that a branch predictor could learn from one line.
pub fn escaped(len: usize) -> String {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let letter = |number: u32| if number % 10 < 3 { ['"', '\\', '\t', '<'][number as usize / 10 % 4] } else { 'x' };
    (0..len).map(|_| letter(next())).collect()
}

/// What Talos sends of a service.
pub const TALOS_OBJECT: &str = r#"{"caller":"mvcc/kvstore_compaction.go:57","compact-revision":34567,"msg":"finished scheduled compaction of the store at a revision","talos-level":"info","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.815Z","took":"21.041639ms"}"#;

/// What the service itself prints, by zap.
pub const SERVICE_JSON: &str = r#"{"level":"info","ts":"2021-10-19T14:53:05.815Z","caller":"mvcc/kvstore_compaction.go:57","msg":"finished scheduled compaction of the store at a revision","compact-revision":34567,"took":"21.041639ms"}"#;

/// What Kata's runtime prints, by logrus.
pub const LOGFMT: &str = r#"time="2020-02-21T10:31:27.810781647Z" level=info msg="release sandbox" arch=amd64 command=state container=7cdd31660d8705facdadeb8598d2c0bd008e8142c54e3b3069abd392c8d58997 name=kata-runtime pid=14314 source=virtcontainers subsystem=sandbox"#;

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
pub fn batch(line: &str, flags: Flags, fields: &[(&str, FieldValue<'_>)]) -> Batch {
    let mut builder = BatchBuilder::new(512 << 10);
    fill(&mut builder, &container(), line, flags, fields);
    builder.seal()
}

/// Those of a batch that is encoded, by name.
pub fn batches() -> [(&'static str, Batch); 5] {
    [
        ("plain", batch(&plain(), Flags::NONE, &[])),
        ("escaped30", batch(&escaped(LINE), Flags::NONE, &[])),
        ("partial", batch(&plain(), Flags::PARTIAL, &[])),
        ("two fields", batch(&plain(), Flags::NONE, &SIX_FIELDS[..2])),
        ("six fields", batch(&plain(), Flags::NONE, &SIX_FIELDS)),
    ]
}

const SIX_FIELDS: [(&str, FieldValue<'_>); 6] = [
    ("caller", FieldValue::Text(b"mvcc/kvstore_compaction.go:57")),
    ("compact-revision", FieldValue::Json(b"34567")),
    ("component", FieldValue::Text(b"controller-runtime")),
    ("hash", FieldValue::Json(b"1830523")),
    ("took", FieldValue::Text(b"21.041639ms")),
    ("user", FieldValue::Text(b"somebody")),
];

/// json_lines with a tag, as a TCP destination writes it.
pub fn encoder() -> JsonLines {
    JsonLines::new(JsonLinesOptions {
        extra_tags: BTreeMap::from([("server".into(), "s03-rack07".into())]),
        newline: true,
        max_record_bytes: None,
    })
}

/// Puts the records of [`batch`] into a builder.
pub fn fill(
    builder: &mut BatchBuilder,
    origin: &OriginHandle,
    line: &str,
    flags: Flags,
    fields: &[(&str, FieldValue<'_>)],
) {
    for number in 0..RECORDS {
        let time = 1_767_323_045_000_000_000 + number as i64 * 1_713;
        let meta = RecordMeta { flags, ..RecordMeta::line(time, line.as_bytes()) };
        builder.push_with_fields(origin, meta, line.as_bytes(), fields);
    }
}
