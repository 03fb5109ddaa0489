//! Golden objects from Talos, and the promises about any record at all.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::record::{BatchBuilder, FieldValue, Level, OriginHandle, RecordMeta, Stream};

/// 2026-01-02T03:04:05.123456789Z
const NOW: i64 = 1_767_323_045_123_456_789;

fn tcp() -> JsonLinesOptions {
    JsonLinesOptions { newline: true, ..JsonLinesOptions::default() }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn container() -> Origin {
    Origin {
        kind: OriginKind::Container,
        name: "web".into(),
        stream: Stream::Stdout,
        source: String::new(),
        attributes: [("container", "4f0c"), ("namespace", "default"), ("pod", "web-0")]
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .to_vec(),
    }
}

type Fields<'a> = &'a [(&'a str, FieldValue<'a>)];

/// The object of one record.
fn one(options: JsonLinesOptions, origin: Origin, meta: RecordMeta, body: &[u8], fields: Fields<'_>) -> String {
    let (text, _) = one_reported(options, origin, meta, body, fields);
    text
}

fn one_reported(
    options: JsonLinesOptions,
    origin: Origin,
    meta: RecordMeta,
    body: &[u8],
    fields: Fields<'_>,
) -> (String, EncodeReport) {
    let mut builder = BatchBuilder::new(1024);
    builder.push_with_fields(&OriginHandle::new(origin), meta, body, fields);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let report = JsonLines::new(options).encode_batch(&builder.seal(), 0..1, &mut out, &mut ends);
    assert_eq!(ends, [out.len()]);
    (String::from_utf8(out).unwrap(), report)
}

/// Members in the order in which they were written, which `serde_json::Map` would hide.
fn members(line: &[u8]) -> Vec<(String, Value)> {
    struct Members(Vec<(String, Value)>);
    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_slice::<Members>(line).unwrap().0
}

#[test]
fn a_kernel_record_as_talos_writes_it() {
    let meta = RecordMeta { level: Level::Warning, ..RecordMeta::line(1_637_945_601_325_869_981, b"") };
    let body = b"[talos] task startAllServices (1/1): waiting for 6 services\n";
    let fields = [
        ("seq", FieldValue::Integer(711)),
        ("clock", FieldValue::Integer(6_252_819)),
        ("facility", FieldValue::Text(b"user")),
        ("priority", FieldValue::Text(b"warning")),
    ];
    let kernel = Origin::new(OriginKind::Kernel, "kernel");
    assert_eq!(
        one(tcp(), kernel, meta, body, &fields),
        concat!(
            r#"{"clock":6252819,"facility":"user","msg":"[talos] task startAllServices (1/1): waiting for 6 "#,
            r#"services\n","priority":"warning","seq":711,"talos-level":"warn","#,
            r#""talos-time":"2021-11-26T16:53:21.325869981Z"}"#,
            "\n"
        )
    );
}

#[test]
fn a_service_record_as_talos_writes_it() {
    let service = Origin::new(OriginKind::Service, "svc");
    assert_eq!(
        one(JsonLinesOptions::default(), service, RecordMeta::line(NOW, b""), b"\"a json string\"", &[]),
        r#"{"msg":"\"a json string\"","talos-level":"info","talos-service":"svc","talos-time":"2026-01-02T03:04:05.123456789Z"}"#
    );
    let etcd = Origin::new(OriginKind::Service, "etcd");
    let fields = [
        ("caller", FieldValue::Text(b"mvcc/kvstore_compaction.go:57")),
        ("compact-revision", FieldValue::Json(b"34567")),
        ("took", FieldValue::Text(b"21.041639ms")),
        // What Talos overwrites when a line brings it.
        ("msg", FieldValue::Text(b"spoof")),
        ("talos-service", FieldValue::Text(b"spoof")),
        ("talos-level", FieldValue::Text(b"spoof")),
        ("talos-time", FieldValue::Text(b"spoof")),
    ];
    assert_eq!(
        one(
            JsonLinesOptions::default(),
            etcd,
            RecordMeta::line(1_634_655_185_815_000_000, b""),
            b"finished scheduled compaction",
            &fields
        ),
        r#"{"caller":"mvcc/kvstore_compaction.go:57","compact-revision":34567,"msg":"finished scheduled compaction","talos-level":"info","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.815Z","took":"21.041639ms"}"#
    );
}

#[test]
fn a_container_record() {
    assert_eq!(
        one(tcp(), container(), RecordMeta::line(NOW, b""), b"<hello> \xff", &[]),
        concat!(
            r#"{"container":"4f0c","msg":"\u003chello\u003e \ufffd","namespace":"default","pod":"web-0","#,
            r#""stream":"stdout","talos-level":"info","talos-service":"web","#,
            r#""talos-time":"2026-01-02T03:04:05.123456789Z"}"#,
            "\n"
        )
    );
}

#[test]
fn flags_are_members_and_a_loss_is_not() {
    let meta = RecordMeta { flags: Flags::from_bits(31).unwrap(), level: Level::Err, ..RecordMeta::line(0, b"") };
    assert_eq!(
        one(JsonLinesOptions::default(), Origin::new(OriginKind::Service, "s"), meta, b"x", &[]),
        r#"{"cut":true,"msg":"x","overlap":true,"partial":true,"recovered":true,"talos-level":"error","talos-service":"s","talos-time":"1970-01-01T00:00:00Z"}"#
    );
    let meta = RecordMeta { flags: Flags::LOSS, ..RecordMeta::line(0, b"") };
    assert_eq!(
        one(JsonLinesOptions::default(), Origin::new(OriginKind::Ringward, "ringward"), meta, b"x", &[]),
        r#"{"msg":"x","talos-level":"info","talos-service":"ringward","talos-time":"1970-01-01T00:00:00Z"}"#
    );
}

#[test]
fn every_severity_has_its_talos_level() {
    let levels = (0..8).map(|priority| {
        let meta = RecordMeta { level: Level::from_priority(priority), ..RecordMeta::line(0, b"") };
        let line = one(tcp(), container(), meta, b"", &[]);
        members(line.as_bytes()).into_iter().find(|(key, _)| key == "talos-level").unwrap().1
    });
    let expected = ["error", "error", "error", "error", "warn", "info", "info", "debug"];
    assert_eq!(levels.collect::<Vec<_>>(), expected);
}

#[test]
fn the_last_claim_on_a_key_has_it() {
    let fields = [
        ("pod", FieldValue::Text(b"from the line")),
        ("stream", FieldValue::Text(b"from the line")),
        ("twice", FieldValue::Json(b"1")),
        ("twice", FieldValue::Json(b"2")),
        ("tagged", FieldValue::Json(b"[]")),
        ("cut", FieldValue::Json(b"0")),
    ];
    let options = JsonLinesOptions {
        extra_tags: tags(&[("tagged", "t"), ("namespace", "n<"), ("talos-service", "other"), ("zone", "z")]),
        ..JsonLinesOptions::default()
    };
    let meta = RecordMeta { flags: Flags::CUT, ..RecordMeta::line(0, b"") };
    assert_eq!(
        one(options, container(), meta, b"m", &fields),
        concat!(
            r#"{"container":"4f0c","cut":true,"msg":"m","namespace":"n\u003c","pod":"web-0","stream":"stdout","#,
            r#""tagged":"t","talos-level":"info","talos-service":"other","talos-time":"1970-01-01T00:00:00Z","#,
            r#""twice":2,"zone":"z"}"#
        )
    );
}

#[test]
fn tags_may_replace_everything() {
    let everything = tags(&[("msg", "m"), ("talos-level", "l"), ("talos-service", "s"), ("talos-time", "t")]);
    let options = JsonLinesOptions { extra_tags: everything, max_record_bytes: Some(10), ..Default::default() };
    let (line, report) =
        one_reported(options, Origin::new(OriginKind::Service, "s"), RecordMeta::line(NOW, b""), b"body", &[]);
    assert_eq!(line, r#"{"cut":true,"msg":"m","talos-level":"l","talos-service":"s","talos-time":"t"}"#);
    assert_eq!(report, EncodeReport { cut: 0, oversized: 1 });
}

#[test]
fn no_member_but_the_flag_fits() {
    let options = JsonLinesOptions { newline: true, max_record_bytes: Some(20), ..Default::default() };
    let (line, report) = one_reported(options, container(), RecordMeta::line(NOW, b""), b"body", &[]);
    assert_eq!(report, EncodeReport { cut: 0, oversized: 1 });
    let members = members(line.as_bytes());
    assert!(members.contains(&("msg".into(), "".into())) && members.contains(&("cut".into(), true.into())));
}

/// An object that has all of its text in fields, as one with `message` in place of `msg`.
#[test]
fn the_longest_fields_are_left_out_where_they_leave_no_room() {
    let origin = || Origin::new(OriginKind::Service, "s");
    let (long, longer) = ("<".repeat(20), "x".repeat(110));
    let fields = [
        ("a", FieldValue::Integer(1)),
        ("b", FieldValue::Text(long.as_bytes())),
        ("c", FieldValue::Text(longer.as_bytes())),
        ("d", FieldValue::Json(b"[2]")),
    ];
    let end = r#""talos-level":"info","talos-service":"s","talos-time":"2026-01-02T03:04:05.123456789Z"}"#;
    let with = |limit, msg: &str| {
        let options = JsonLinesOptions { max_record_bytes: Some(limit), ..Default::default() };
        one_reported(options, origin(), RecordMeta::line(NOW, b""), msg.as_bytes(), &fields)
    };
    let cut = EncodeReport { cut: 1, oversized: 0 };
    // `b` is longer than `c`, escaped: without it there is room for some of the text.
    let expected = format!(r#"{{"a":1,"c":"{longer}","cut":true,"d":[2],"msg":"te",{end}"#);
    assert_eq!(with(expected.len(), "text"), (expected.clone(), cut));
    assert_eq!(with(expected.len() - 3, "text").0, format!(r#"{{"a":1,"cut":true,"d":[2],"msg":"text",{end}"#));
    let least = format!(r#"{{"cut":true,"msg":"",{end}"#);
    assert_eq!(with(least.len(), "text"), (least.clone(), cut));
    assert_eq!(with(least.len() - 1, "text"), (least.clone(), EncodeReport { cut: 0, oversized: 1 }));
    // A field that a member overrules takes no room, however long it is.
    let overruled = [("a", FieldValue::Integer(1)), ("msg", FieldValue::Text(longer.as_bytes())), fields[1]];
    let options = JsonLinesOptions { max_record_bytes: Some(least.len() + 10), ..Default::default() };
    let (line, report) = one_reported(options, origin(), RecordMeta::line(NOW, b""), b"text", &overruled);
    assert_eq!((line, report), (format!(r#"{{"a":1,"cut":true,"msg":"text",{end}"#), cut));
}

#[test]
fn templates_are_bounded() {
    let mut lines = JsonLines::new(tcp());
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for first in [0, 3000, 6000, 9000] {
        let mut builder = BatchBuilder::new(1 << 20);
        for number in first..first + 3000 {
            let origin = OriginHandle::new(Origin::new(OriginKind::Service, format!("s{number}")));
            builder.push(&origin, RecordMeta::line(0, b""), number.to_string().as_bytes());
        }
        lines.encode_batch(&builder.seal(), 0..3000, &mut out, &mut ends);
        assert!(lines.templates.len() <= MAX_TEMPLATES + 3000);
        assert_eq!(lines.templates.len(), lines.by_origin.len());
    }
    let names = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for (number, line) in names.enumerate() {
        let members = members(line);
        assert!(members.contains(&("msg".into(), number.to_string().into())), "{members:?}");
        assert!(members.contains(&("talos-service".into(), format!("s{number}").into())), "{members:?}");
    }
    assert_eq!(ends.len(), 12_000);
}

/// One encoder for all, with more shapes than it keeps and some that it never keeps, writes what a new one writes.
#[test]
fn shapes_that_come_and_go() {
    let many: Vec<String> = (0..100).map(|number| format!("key {}", number * 37 % 100)).collect();
    let long = "k".repeat(5000);
    let mut shapes: Vec<Vec<&str>> = vec![
        vec![],
        vec!["a"],
        vec!["b"],
        vec!["a", "b"],
        vec!["b", "a"],
        vec!["ab"],
        vec!["a", "a"],
        vec!["msg", "pod", "cut"],
        many.iter().map(String::as_str).collect(),
        vec![&long],
    ];
    shapes.push(shapes[8][..99].to_vec());
    let origin = OriginHandle::new(container());
    let mut builder = BatchBuilder::new(1 << 20);
    let mut state = 1u32;
    for number in 0..400 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let keys = &shapes[state as usize / 65_536 % shapes.len()];
        let flags = [Flags::NONE, Flags::PARTIAL, Flags::CUT | Flags::OVERLAP][state as usize / 1024 % 3];
        let values: Vec<String> = (0..keys.len()).map(|field| format!("{number} {field} <\u{e9}>")).collect();
        let fields: Vec<_> =
            keys.iter().zip(&values).map(|(key, value)| (*key, FieldValue::Text(value.as_bytes()))).collect();
        builder.push_with_fields(&origin, RecordMeta { flags, ..RecordMeta::line(number, b"") }, b"body", &fields);
    }
    let batch = builder.seal();
    for limit in [None, Some(150)] {
        let options = JsonLinesOptions { max_record_bytes: limit, ..tcp() };
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        JsonLines::new(options.clone()).encode_batch(&batch, 0..400, &mut out, &mut ends);
        let (mut expected, mut expected_ends) = (Vec::new(), Vec::new());
        for index in 0..400 {
            JsonLines::new(options.clone()).encode_batch(&batch, index..index + 1, &mut expected, &mut expected_ends);
        }
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(ends, expected_ends);
    }
}

/// Shapes count as templates do.
#[test]
fn shapes_are_bounded() {
    let mut lines = JsonLines::new(tcp());
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for first in [0, 1500, 3000] {
        let mut builder = BatchBuilder::new(1 << 20);
        for number in first..first + 1500 {
            let origin = OriginHandle::new(Origin::new(OriginKind::Service, format!("s{number}")));
            for key in ["a", "b", "c"] {
                builder.push_with_fields(&origin, RecordMeta::line(0, b""), b"", &[(key, FieldValue::Text(b""))]);
            }
        }
        lines.encode_batch(&builder.seal(), 0..4500, &mut out, &mut ends);
        assert_eq!((lines.templates.len(), lines.shapes), (1500, 4500));
    }
}

#[derive(Clone, Debug)]
struct AnyRecord {
    origin: Origin,
    meta: RecordMeta,
    body: Vec<u8>,
    fields: Vec<(String, Vec<u8>, bool)>,
}

fn any_key() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] =
        &["msg", "cut", "stream", "talos-service", "talos-time", "talos-level", "a", "Z", "pod", "<&>"];
    prop_oneof![proptest::sample::select(KNOWN).prop_map(String::from), any::<String>()]
}

fn any_origin() -> impl Strategy<Value = Origin> {
    let kinds = [OriginKind::Kernel, OriginKind::Container, OriginKind::Process, OriginKind::Ringward];
    let streams = [Stream::None, Stream::Stdout, Stream::Stderr, Stream::Tty];
    let kind = proptest::sample::select(kinds.to_vec());
    let stream = proptest::sample::select(streams.to_vec());
    let attributes = proptest::collection::vec((any_key(), any::<String>()), 0..3);
    (kind, any::<String>(), stream, attributes).prop_map(|(kind, name, stream, attributes)| Origin {
        kind,
        name,
        stream,
        source: String::new(),
        attributes,
    })
}

fn any_record() -> impl Strategy<Value = AnyRecord> {
    let body =
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), any::<String>().prop_map(String::into_bytes),];
    let field = (any_key(), proptest::collection::vec(any::<u8>(), 0..20), any::<bool>());
    let fields = prop_oneof![Just(Vec::new()), proptest::collection::vec(field, 0..5)];
    let flags = prop_oneof![Just(0u8), 0u8..32];
    (any_origin(), any::<i64>(), 0u32..8, flags, body, fields).prop_map(|(origin, time, level, flags, body, fields)| {
        let meta = RecordMeta {
            flags: Flags::from_bits(flags).unwrap(),
            level: Level::from_priority(level),
            ..RecordMeta::line(time, &body)
        };
        AnyRecord { origin, meta, body, fields }
    })
}

fn text_of(bytes: &[u8]) -> String {
    bytes
        .utf8_chunks()
        .fold(String::new(), |text, chunk| text + chunk.valid() + &"\u{fffd}".repeat(chunk.invalid().len()))
}

/// What the object must hold, put together in the plainest way.
fn expected(record: &AnyRecord, options: &JsonLinesOptions, cut: bool) -> BTreeMap<String, Value> {
    let mut object = BTreeMap::new();
    for (key, value, json) in &record.fields {
        let value = if *json { Value::from(value.len()) } else { text_of(value).into() };
        object.insert(key.clone(), value);
    }
    let mut attributes = record.origin.attributes.clone();
    attributes.sort();
    object.extend(attributes.into_iter().map(|(key, value)| (key, value.into())));
    object.insert("msg".into(), text_of(&record.body).into());
    let level = ["error", "error", "error", "error", "warn", "info", "info", "debug"][record.meta.level as usize];
    object.insert("talos-level".into(), level.into());
    let time = jiff::Timestamp::from_nanosecond(record.meta.time_ns.into()).unwrap();
    object.insert("talos-time".into(), time.to_string().into());
    if record.origin.kind != OriginKind::Kernel {
        object.insert("talos-service".into(), record.origin.name.clone().into());
    }
    if let Some(stream) = record.origin.stream.name() {
        object.insert("stream".into(), stream.into());
    }
    for (flag, key) in
        [(Flags::CUT, "cut"), (Flags::OVERLAP, "overlap"), (Flags::RECOVERED, "recovered"), (Flags::PARTIAL, "partial")]
    {
        if record.meta.flags.contains(flag) || cut && key == "cut" {
            object.insert(key.into(), true.into());
        }
    }
    object.extend(options.extra_tags.iter().map(|(key, value)| (key.clone(), value.clone().into())));
    object
}

proptest! {
    #[test]
    fn every_record_is_a_valid_object_with_what_it_holds(
        records in proptest::collection::vec(any_record(), 1..8),
        extra_tags in proptest::collection::btree_map(any_key(), any::<String>(), 0..3),
        newline in any::<bool>(),
        limit in proptest::option::of(0usize..600),
    ) {
        let options = JsonLinesOptions { extra_tags, newline, max_record_bytes: limit };
        let mut builder = BatchBuilder::new(4096);
        for record in &records {
            let numbers: Vec<String> = record.fields.iter().map(|(_, value, _)| value.len().to_string()).collect();
            let fields: Vec<_> = record.fields.iter().zip(&numbers).map(|((key, value, json), number)| {
                (key.as_str(), if *json { FieldValue::Json(number.as_bytes()) } else { FieldValue::Text(value) })
            }).collect();
            builder.push_with_fields(&OriginHandle::new(record.origin.clone()), record.meta, &record.body, &fields);
        }
        let batch = builder.seal();
        let (mut out, mut ends) = (b"before".to_vec(), vec![6]);
        let mut lines = JsonLines::new(options.clone());
        let mut total = lines.encode_batch(&batch, 0..1, &mut out, &mut ends);
        total += lines.encode_batch(&batch, 1..batch.record_count(), &mut out, &mut ends);
        prop_assert_eq!(ends.len(), records.len() + 1);
        prop_assert_eq!(ends.last(), Some(&out.len()));

        let mut seen = EncodeReport::default();
        for (record, ends) in records.iter().zip(ends.windows(2)) {
            let line = &out[ends[0]..ends[1]];
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), usize::from(newline));
            prop_assert_eq!(line.last() == Some(&b'\n'), newline);
            let members = members(line);
            prop_assert!(members.is_sorted_by(|a, b| a.0 < b.0), "{:?}", members);
            simd_json::to_owned_value(&mut line.to_vec()).unwrap();

            let got: BTreeMap<String, Value> = members.into_iter().collect();
            let whole = expected(record, &options, false);
            if got == whole && line.len() <= limit.unwrap_or(usize::MAX) {
                continue;
            }
            // It was cut: the same but for a shorter message, and as long as the limit allows.
            let limit = limit.expect("without a limit everything is there");
            let mut rest = expected(record, &options, true);
            if !options.extra_tags.contains_key("msg") {
                let message = got["msg"].as_str().unwrap().to_string();
                let full = text_of(&record.body);
                prop_assert!(full.starts_with(&message));
                let fits = line.len() <= limit;
                prop_assert!(fits || message.is_empty());
                // The longest escape of a character has six bytes.
                prop_assert!(!fits || message.len() == full.len() || line.len() + 6 > limit, "{} of {}", line.len(), limit);
                rest.insert("msg".into(), message.into());
            }
            // Of its own fields some may be left out.
            prop_assert!(got.keys().all(|key| rest.contains_key(key)), "{:?}", got);
            rest.retain(|key, value| {
                got.get(key) == Some(value) || !record.fields.iter().any(|(field, ..)| field == key)
            });
            let bare = AnyRecord { fields: Vec::new(), origin: record.origin.clone(), body: Vec::new(), ..*record };
            if line.len() > limit {
                rest = expected(&bare, &options, true);
                seen.oversized += 1;
            } else {
                seen.cut += 1;
            }
            let kept: BTreeMap<_, _> = got.iter().filter(|(key, _)| rest.contains_key(*key)).collect();
            prop_assert_eq!(kept, rest.iter().collect());
        }
        prop_assert_eq!(total, seen);
    }
}
