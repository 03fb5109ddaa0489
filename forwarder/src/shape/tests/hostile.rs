//! Records that nobody would want.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// Every step, for all records.
const ALL: &str = r"- parse: {format: logfmt, prefix: k_, reserve: true}
- parse: {format: json}
- parse: {key: o, format: json, prefix: o_, reserve: true}
- copy: {msg: m, o.x: ox}
- rename: {a: b, o.y: oy}
- convert: {n: int, '*_b': bool, '*f*': float}
- remove: ['*z*', o.*.q]
- redact: {presets: [tokens, email, cards], patterns: ['(a*)*b', '(?s).*x$']}
- add: {t: '${field:msg}${field:o}'}
- deduplicate: {window: 1s}
- throttle: {rate: 1000000}
- prefix: p_
";

#[test]
fn many_fields() {
    let mut object = String::from("{");
    for number in 0..10_000 {
        let _ = write!(object, "\"key{number}\":\"{number}\",");
    }
    object.push_str("\"key5\":1}");
    let out = one("- parse: {format: json}\n- prefix: p_\n- remove: [p_key1*]", lines(&[&object]));
    assert_eq!(out.as_object().unwrap().len(), 10_000 - 1111 + 1);
    assert_eq!(out["p_key5"], 1, "of two the last one");
    assert!(!shaped(ALL, lines(&[&object])).is_empty());
}

/// There is no room for the fields of the second one.
#[test]
fn more_fields_than_a_record_can_carry() {
    let object = |letter: char| {
        let members: Vec<String> = (0..40_000).map(|number| format!("\"{letter}{number}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let batch = record(&object('a'), &[("o", object('b').into())]);
    let out = one("- parse: {format: json}\n- parse: {key: o, format: json}", batch);
    assert_eq!(out.as_object().unwrap().len(), 40_000 + 3);
    assert_eq!(out["unparsed"], true);
}

#[test]
fn deep_objects() {
    let deep = "{\"a\":".repeat(1000) + "1" + &"}".repeat(1000);
    let mut trial = Trial::new(&steps(ALL), None);
    let out = trial.run(lines(&[&deep, "after"]));
    assert_eq!(out.iter().map(|(batch, _)| batch.record_count()).sum::<u32>(), 2);
}

#[test]
fn what_is_copied_again_and_again_is_bounded() {
    let large = "x".repeat(3 << 20);
    let mut process = String::new();
    for number in 0..60 {
        let _ = writeln!(process, "- copy: {{msg: a{number}}}\n- add: {{b{number}: '${{field:msg}}${{field:msg}}'}}");
    }
    let mut trial = Trial::new(&steps(&process), None);
    let out = trial.run(lines(&[&large]));
    assert_eq!(out.len(), 1);
    assert!(out[0].0.byte_len() < 64 << 20, "{}", out[0].0.byte_len());
    assert_eq!(out[0].0.record(0).body.len(), large.len());
}

/// The ring may lie on a disk, and be read by others.
#[test]
fn what_is_taken_out_of_a_record_lies_nowhere() {
    let line = "user=jane password=hunter22 pin=hunter22 n=1";
    let object = r#"{"user":"jane","password":"hunter22","in":{"pin":"hunter22","n":1}}"#;
    for (format, line, process) in [
        ("logfmt", line, "- remove: [password, pin]"),
        ("logfmt", line, "- keep: [user]"),
        ("logfmt", line, "- add: {password: x, pin: x}"),
        ("logfmt", line, "- rename: {user: password}\n- rename: {n: pin}"),
        ("json", object, "- remove: [password, in.pin]"),
        ("json", object, "- redact: {patterns: [hunter22]}"),
        ("json", object, "- redact: {presets: [tokens]}\n- remove: ['i*']"),
    ] {
        for steps in [
            format!("- parse: {{format: {format}}}\n{process}"),
            format!("{process}\n- parse: {{format: {format}}}\n{process}"),
        ] {
            let out = Trial::new(&self::steps(&steps), None).run(lines(&["text", line]));
            let lies = out.iter().any(|(batch, _)| memchr::memmem::find(batch.data(), b"hunter22").is_some());
            assert!(!lies, "{steps}");
            let says = out.iter().any(|(batch, _)| memchr::memmem::find(batch.data(), b"jane").is_some());
            assert!(says, "{steps}");
        }
    }
}

#[test]
fn a_pattern_that_is_slow_elsewhere() {
    let text = "a".repeat(1 << 20);
    assert_eq!(shaped("- redact: {patterns: ['(a|a)*b', '(.*)*c', '(x+x+)+y']}", lines(&[&text])).len(), 1);
}

/// Records of so many origins, a microsecond apart, each twice.
fn crowd(origins: usize) -> impl Iterator<Item = Batch> {
    let mut time = TIME;
    (0..origins).step_by(1000).map(move |first| {
        let mut builder = BatchBuilder::new(1 << 20);
        for number in first..first + 1000 {
            let origin = OriginHandle::new(Origin::new(OriginKind::Service, format!("service {number}")));
            for _ in 0..2 {
                builder.push(&origin, RecordMeta::line(time, b"the same"), b"the same");
                time += 1000;
            }
        }
        builder.seal()
    })
}

/// Every record goes on or is reported, however many there are whose.
#[test]
fn a_crowd_of_origins_is_counted_to_the_last_one() {
    for (process, counted) in
        [("- throttle: {rate: 1}", "discarded-records"), ("- deduplicate: {window: 1s}", "repeated")]
    {
        let mut trial = Trial::new(&steps(process), None);
        let (mut gone_on, mut reported) = (0u64, 0u64);
        let mut count = |out: &[(Batch, Targets)]| {
            for record in out.iter().flat_map(|(batch, _)| batch.records()) {
                let report = record.fields().find(|(key, _)| *key == counted.as_bytes());
                match report {
                    Some((_, FieldValue::Json(number))) => {
                        reported += std::str::from_utf8(number).unwrap().parse::<u64>().unwrap()
                    }
                    _ => gone_on += 1,
                }
            }
        };
        for batch in crowd(20_000) {
            count(&trial.run(batch));
        }
        count(&trial.finish());
        assert_eq!((gone_on, reported), (20_000, 20_000), "{process}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes, nothing panics, nothing is lost, and what comes out is a batch that holds.
    #[test]
    fn any_bytes(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8),
        fields in proptest::collection::vec(("[a-z.]{1,3}", proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
    ) {
        let (mut builder, origin) = (BatchBuilder::new(4096), origin());
        let fields: Vec<_> = fields.iter().map(|(key, value)| (key.as_str(), FieldValue::Text(value))).collect();
        for (body, number) in bodies.iter().zip(0..) {
            builder.push_with_fields(&origin, RecordMeta::line(TIME + number * 2 * SECOND, body), body, &fields);
        }
        let batch = builder.seal();
        let mut trial = Trial::new(&steps(ALL), None);
        let mut out = trial.run(batch.clone());
        out.extend(trial.finish());
        prop_assert_eq!(out.iter().map(|(batch, _)| batch.record_count()).sum::<u32>(), batch.record_count());
        prop_assert_eq!(objects(&out).len(), bodies.len());
        for (batch, _) in &out {
            let mut stored = batch.stamp(1).to_vec();
            stored.extend_from_slice(&batch.data()[crate::record::HEADER_LEN..]);
            prop_assert!(Batch::parse(stored.into()).is_ok());
        }
    }
}
