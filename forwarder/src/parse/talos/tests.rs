//! Lines as machined reads them, to the object that it sends: through parser, batch and encoder.

use proptest::prelude::*;

use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::parse::line::{LineKind, LineParser};
use crate::record::{BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta};

/// 2026-01-02T03:04:05.123456789Z
const NOW: i64 = 1_767_323_045_123_456_789;

/// The object that goes out for a line; nothing for a blank one.
fn sent(kind: LineKind, line: &[u8], tags: &[(&str, &str)]) -> Option<String> {
    let mut parser = LineParser::default();
    let parsed = parser.parse(kind, line, NOW)?;
    let mut builder = BatchBuilder::new(1024);
    let meta = RecordMeta {
        time_ns: parsed.time_ns.unwrap_or(NOW),
        level: parsed.level,
        flags: Flags::NONE,
        ..RecordMeta::line(NOW, b"")
    };
    builder.push_parts(&OriginHandle::new(Origin::new(OriginKind::Peer, "svc")), meta, &parsed.parts);
    let extra_tags = tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let mut encoder = JsonLines::new(JsonLinesOptions { extra_tags, ..JsonLinesOptions::default() });
    encoder.encode_batch(&builder.seal(), 0..1, &mut out, &mut ends);
    Some(String::from_utf8(out).unwrap())
}

fn talos(line: &str) -> String {
    sent(LineKind::Talos, line.as_bytes(), &[]).unwrap()
}

/// Recorded from Talos' own parser, with a Go that wrote `\b` and `\f` the long way.
#[test]
fn the_recorded_lines() {
    let pairs = include_bytes!("../../../tests/data/talos_service_lines.txt");
    let mut lines = pairs.split(|byte| *byte == b'\n');
    let mut seen = 0;
    while let (Some(line), Some(object)) = (lines.next(), lines.next()) {
        let line = line.strip_prefix(b"IN  ").unwrap();
        let object = std::str::from_utf8(object.strip_prefix(b"OUT ").unwrap()).unwrap();
        let expected = object.replace("\\u0008", "\\b").replace("\\u000c", "\\f");
        assert_eq!(sent(LineKind::Talos, line, &[]).unwrap(), expected, "{}", String::from_utf8_lossy(line));
        seen += 1;
    }
    assert_eq!(seen, 21);
}

/// Talos' own test (`extract_test.go`), and what its code says beyond that.
#[test]
fn more_lines() {
    let end = r#""talos-service":"svc","talos-time":"2026-01-02T03:04:05.123456789Z"}"#;
    for (line, expected) in [
        ("null", format!(r#"{{"msg":"","talos-level":"info",{end}"#)),
        ("  x \u{a0}", format!(r#"{{"msg":"x","talos-level":"info",{end}"#)),
        ("{", format!(r#"{{"msg":"{{","talos-level":"info",{end}"#)),
        (r#"t {"msg":" m ","err":" e "}"#, format!(r#"{{"msg":"t m: e","talos-level":"warn",{end}"#)),
        (r#"t {"msg":""}"#, format!(r#"{{"msg":"t ","talos-level":"info",{end}"#)),
        (r#"t {"err":"e"}"#, format!(r#"{{"msg":"t: e","talos-level":"warn",{end}"#)),
        (r#"{"msg":" ","err":"e"}"#, format!(r#"{{"msg":"e","talos-level":"warn",{end}"#)),
        (r#"{"msg":"a\u0062","err":"\t"}"#, format!(r#"{{"msg":"ab: ","talos-level":"warn",{end}"#)),
        (r#"{"level":"error","err":"e"}"#, format!(r#"{{"msg":"e","talos-level":"error",{end}"#)),
        (r#"{"level":"WARNİNG","msg":"m"}"#, format!(r#"{{"msg":"m","talos-level":"warn",{end}"#)),
        (r#"{"level":"panic","err":"e"}"#, format!(r#"{{"msg":"e","talos-level":"panic",{end}"#)),
        (r#"{"level":"","z":1}"#, format!(r#"{{"msg":"","talos-level":"info",{}"#, end.replace('}', r#","z":1}"#))),
        (r#"{"level":5,"msg":6}"#, format!(r#"{{"level":5,"msg":"","talos-level":"info",{end}"#)),
        (r#"{"level":"informational"}"#, format!(r#"{{"level":"informational","msg":"","talos-level":"info",{end}"#)),
        (r#"{"talos-service":1,"msg":{"a":1}} "#, format!(r#"{{"msg":"","talos-level":"info",{end}"#)),
        (r#"x {"a":1} {"b":2}"#, format!(r#"{{"msg":"x {{\"a\":1}} {{\"b\":2}}","talos-level":"info",{end}"#)),
        (r#"{"n":1e400}"#, format!(r#"{{"msg":"{{\"n\":1e400}}","talos-level":"info",{end}"#)),
        (
            r#"[1] {"a":[1.0,{"c":1,"b":2}]}"#,
            format!(r#"{{"a":[1,{{"b":2,"c":1}}],"msg":"[1]","talos-level":"info",{end}"#),
        ),
    ] {
        assert_eq!(talos(line), expected, "{line}");
    }
    for (line, time) in [
        (r#"{"ts":1635266764792.703,"v":0}"#, "2021-10-26T16:46:04.792702913Z"),
        (r#"{"ts":1635266751595.943,"v":0}"#, "2021-10-26T16:45:51.595943212Z"),
        (r#"{"ts":0,"v":0}"#, "1970-01-01T00:00:00Z"),
        (r#"{"time":"0001-01-01T00:00:00Z","ts":1e0,"v":0}"#, "1970-01-01T00:00:01Z"),
        (r#"{"ts":"3021-10-19T12:00:00Z","v":0}"#, "3021-10-19T12:00:00Z"),
    ] {
        let sent = talos(line);
        assert!(sent.contains(&format!(r#""talos-time":"{time}","#)), "{sent}");
        assert!(!sent.contains(r#""ts""#), "{sent}");
    }
    assert_eq!(sent(LineKind::Talos, " \t\u{2003}\r".as_bytes(), &[]), None);
}

#[test]
fn a_ready_object_stays_as_it_is() {
    for object in [
        r#"{"caller":"mvcc/kvstore_compaction.go:57","compact-revision":34567,"msg":"finished scheduled compaction","talos-level":"info","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.815Z","took":"21.041639ms"}"#,
        r#"{"clock":6252819,"facility":"user","msg":"[talos] waiting\n","priority":"warning","seq":711,"talos-level":"warn","talos-service":"kernel","talos-time":"2021-11-26T16:53:21.325869981Z"}"#,
        r#"{"msg":"\u001b[34mINFO\u001b[0m \u003ca\u003e \u2028 é","talos-level":"fatal","talos-service":"x","talos-time":"53789-07-16T15:59:52.702880859Z"}"#,
        r#"{"msg":{"no":"text"},"talos-level":"WARN","talos-service":null,"talos-time":"2021-11-26T16:53:21.320Z"}"#,
        r#"{"msg":"","talos-level":5,"talos-service":"x","talos-time":"2021-11-26T16:53:21+01:00"}"#,
        r#"{"cut":true,"lost-records":5,"msg":"a","partial":true,"talos-level":"debug","talos-service":"x","talos-time":"2021-11-26T16:53:21Z"}"#,
    ] {
        let expected = object.replacen('{', r#"{"a":"tag","#, 1);
        assert_eq!(sent(LineKind::Auto, object.as_bytes(), &[("a", "tag")]).unwrap(), expected);
        // Spaces go, order comes, and a tag replaces whatever has its name.
        let spaced = object.replacen('{', "{ \"~\" : 1.0 ,\t\"msg\":0,", 1) + "\r";
        let expected = format!("{},\"~\":1}}", &object[..object.len() - 1]);
        assert_eq!(sent(LineKind::Auto, spaced.as_bytes(), &[]).unwrap(), expected);
        let tagged = sent(LineKind::Auto, object.as_bytes(), &[("msg", "t"), ("talos-time", "t")]).unwrap();
        assert!(tagged.contains(r#""msg":"t","#) && tagged.contains(r#""talos-time":"t""#), "{tagged}");
    }
}

#[test]
fn what_an_object_does_not_say_is_added() {
    let sent = |line: &str| sent(LineKind::Auto, line.as_bytes(), &[]);
    let end = r#""talos-level":"info","talos-service":"svc","talos-time":"2026-01-02T03:04:05.123456789Z"}"#;
    assert_eq!(sent(r#"{"b":1,"a":"x"}"#).unwrap(), format!(r#"{{"a":"x","b":1,"msg":"",{end}"#));
    assert_eq!(sent(" text {}").unwrap(), format!(r#"{{"msg":" text {{}}",{end}"#));
    assert_eq!(sent("{\"a\":1} x").unwrap(), format!(r#"{{"msg":"{{\"a\":1}} x",{end}"#));
    assert_eq!(sent("[1]").unwrap(), format!(r#"{{"msg":"[1]",{end}"#));
    assert_eq!((sent(""), sent(" \r")), (None, None));
    let text =
        |line: &str| super::super::line::LineParser::default().parse(LineKind::Text, line.as_bytes(), NOW).is_some();
    assert!(text("") && text("{}"));
}

proptest! {
    #[test]
    fn every_line_becomes_an_object(line in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'"'), Just(b'}'), Just(b':'), any::<u8>()], 0..60)) {
        for kind in [LineKind::Auto, LineKind::Talos, LineKind::Logfmt, LineKind::Text] {
            if let Some(object) = sent(kind, &line, &[]) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&object).unwrap().is_object());
            }
        }
    }

    /// Talos' objects again and again: nothing changes after the first time.
    #[test]
    fn objects_are_passed_on_unchanged(line in r#"(text )?\{("(msg|err|ts|time|level|talos-time|talos-level|b)":("[a-z <é]{0,5}"|-?[0-9]{1,17}|"debug"|"2021-10-19T14:53:05.8Z"),){0,6}"a":1\}"#) {
        let first = talos(&line);
        prop_assert_eq!(sent(LineKind::Auto, first.as_bytes(), &[]).unwrap(), first);
    }
}
