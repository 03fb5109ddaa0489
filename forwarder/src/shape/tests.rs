//! Steps as configurations have them, on records as sources make them.

use serde_json::{Value, json};

use super::*;
use crate::config::from_text;
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::record::{
    Batch, BatchBuilder, FieldValue, Flags, Level, Lost, Origin, OriginHandle, OriginKind, RecordMeta,
};
use crate::ring::Targets;

mod entrance;
mod hostile;
mod routing;

const TIME: i64 = 1_767_225_600_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn steps(process: &str) -> Vec<spec::Step> {
    match from_text("t.yaml", &format!("process:\n{process}\n")) {
        Ok(config) => config.process,
        Err(problems) => panic!("{problems}"),
    }
}

fn origin() -> OriginHandle {
    let attributes = [("container", "4f"), ("namespace", "default"), ("pod", "web-0")];
    let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    OriginHandle::new(Origin { attributes, ..Origin::new(OriginKind::Container, "web") })
}

/// Records of text, a second apart.
fn lines(lines: &[&str]) -> Batch {
    let (mut builder, origin) = (BatchBuilder::new(4096), origin());
    for (line, number) in lines.iter().zip(0..) {
        let meta = RecordMeta::line(TIME + number * SECOND, line.as_bytes());
        builder.push(&origin, meta, line.as_bytes());
    }
    builder.seal()
}

/// A record with fields: texts, and others in JSON.
fn record(body: &str, fields: &[(&str, Value)]) -> Batch {
    let rendered: Vec<Vec<u8>> = fields
        .iter()
        .map(|(_, value)| {
            value.as_str().map_or_else(|| value.to_string().into_bytes(), |text| text.as_bytes().to_vec())
        })
        .collect();
    let fields: Vec<(&str, FieldValue<'_>)> = fields
        .iter()
        .zip(&rendered)
        .map(|((name, value), text)| {
            (*name, if value.is_string() { FieldValue::Text(text) } else { FieldValue::Json(text) })
        })
        .collect();
    let mut builder = BatchBuilder::new(4096);
    builder.push_with_fields(&origin(), RecordMeta::line(TIME, body.as_bytes()), body.as_bytes(), &fields);
    builder.seal()
}

fn objects(batches: &[(Batch, Targets)]) -> Vec<Value> {
    let mut encoder = JsonLines::new(JsonLinesOptions { newline: true, ..JsonLinesOptions::default() });
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for (batch, _) in batches {
        encoder.encode_batch(batch, 0..batch.record_count(), &mut out, &mut ends);
    }
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// What comes out at once, and at the end.
fn shaped(process: &str, batch: Batch) -> Vec<Value> {
    let mut trial = Trial::new(&steps(process), None);
    let mut out = trial.run(batch);
    out.extend(trial.finish());
    objects(&out)
}

/// The only record that comes out, without what all records of these tests have.
fn one(process: &str, batch: Batch) -> Value {
    let mut out = shaped(process, batch);
    assert_eq!(out.len(), 1, "{out:?}");
    let mut object = out.remove(0);
    let members = object.as_object_mut().unwrap();
    for name in ["container", "namespace", "pod", "talos-service"] {
        members.remove(name);
    }
    if members["talos-time"] == "2026-01-01T00:00:00Z" {
        members.remove("talos-time");
    }
    if members["talos-level"] == "info" {
        members.remove("talos-level");
    }
    object
}

fn messages(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["msg"].as_str().unwrap()).collect()
}

#[test]
fn a_batch_in_which_nothing_changes_is_passed_on_as_it_is() {
    let batch = lines(&["a", "b"]);
    let mut trial =
        Trial::new(&steps("- {when: {field: level, equals: err}, add: {x: y}}\n- drop: {field: msg, equals: c}"), None);
    let out = trial.run(batch.clone());
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].0.data().as_ptr(), batch.data().as_ptr());
}

#[test]
fn fields_are_added_with_what_the_record_has() {
    let batch = record("text", &[("n", json!(5)), ("o", json!({"a": "x<y"}))]);
    let process = "- add: {cluster: eu, all: '${field:msg} ${field:n} ${field:o.a} ${field:pod} ${field:none}.', n2: '${field:n}', cost: '$5'}";
    assert_eq!(
        one(process, batch),
        json!({"msg": "text", "n": 5, "o": {"a": "x<y"}, "cluster": "eu", "all": "text 5 x<y web-0 .", "n2": 5, "cost": "$5"})
    );
    assert_eq!(
        one("- add: {msg: '${field:level}: ${field:msg}', a: b}", record("x", &[("a", json!(1))])),
        json!({"msg": "info: x", "a": "b"})
    );
}

#[test]
fn fields_are_removed_kept_renamed_copied_and_prefixed() {
    let batch = || {
        let labels = json!({"labels": {"app": "x", "tier.io/y": "z"}, "uid": 1});
        record("t", &[("kubernetes", labels), ("kata_a", json!("1")), ("kata_b", json!(2)), ("c", json!("3"))])
    };
    assert_eq!(
        one("- remove: [kubernetes.labels.*, kata_*]", batch()),
        json!({"msg": "t", "kubernetes": {"labels": {}, "uid": 1}, "c": "3"})
    );
    assert_eq!(
        one("- keep: [kubernetes.labels.app, kata_?]", batch()),
        json!({"msg": "t", "kubernetes": {"labels": {"app": "x"}}, "kata_a": "1", "kata_b": 2})
    );
    let renamed = one("- rename: {kubernetes.uid: uid, kata_a: c, msg: message}\n- remove: [kubernetes]", batch());
    assert_eq!(renamed, json!({"msg": "", "message": "t", "uid": 1, "kata_b": 2, "c": "1"}));
    assert_eq!(one("- keep: [c]\n- rename: {c: msg, none: x}", batch()), json!({"msg": "3"}));
    assert_eq!(
        one("- keep: [kata_b]\n- copy: {msg: m, kata_b: n, pod: p, none: x}\n- prefix: node_", batch()),
        json!({"msg": "t", "node_kata_b": 2, "node_m": "t", "node_n": 2, "node_p": "web-0"})
    );
}

#[test]
fn text_is_parsed() {
    let line = r#"{"time":"2020-02-21T10:31:27.5Z","level":"WARN","msg":"a \"b\"","pid":7,"o":{"x":[1]}}"#;
    assert_eq!(
        one("- parse: {format: json}", lines(&[line])),
        json!({"msg": "a \"b\"", "level": "WARN", "pid": 7, "o": {"x": [1]}, "talos-level": "warn", "talos-time": "2020-02-21T10:31:27.5Z"})
    );
    let logfmt = r#"ts=2020-02-21T10:31:27Z level=erro msg="a \"b\"" pid=7"#;
    assert_eq!(
        one("- parse: {format: logfmt, prefix: k_, reserve: true}", lines(&[logfmt])),
        json!({"msg": logfmt, "k_level": "erro", "k_msg": "a \"b\"", "k_pid": 7, "talos-level": "error", "talos-time": "2020-02-21T10:31:27Z"})
    );
    assert_eq!(
        one("- parse: {format: talos}", lines(&["text {\"msg\":\"x\",\"a\":1}"])),
        json!({"msg": "text x", "a": 1})
    );
    assert_eq!(
        one("- parse: {format: syslog, prefix: s_}", lines(&["<13>1 2020-02-21T10:31:27Z host app 7 - - hello"])),
        json!({"msg": "hello", "s_msg": "hello", "s_facility": "user", "s_hostname": "host", "s_app": "app", "s_pid": "7",
               "s_priority": "notice", "talos-time": "2020-02-21T10:31:27Z"})
    );
}

#[test]
fn text_is_parsed_as_sources_read_it() {
    let klog = "E0102 03:04:05.678901   12345 file.go:12] it's gone: x";
    let out = one("- parse: {format: klog}", lines(&[klog]));
    assert_eq!(
        (&out["msg"], &out["talos-level"], &out["caller"]),
        (&json!("it's gone: x"), &json!("error"), &json!("file.go:12"))
    );
    for line in [
        klog,
        r#"{"msg":"it's gone: x","caller":"file.go:12","level":"error"}"#,
        "level=error caller=file.go:12 msg=\"it's gone: x\"",
    ] {
        let out = one("- parse: {format: detect}", lines(&[line]));
        assert_eq!((&out["msg"], &out["caller"]), (&json!("it's gone: x"), &json!("file.go:12")), "{line}");
    }
    assert_eq!(one("- parse: {format: detect}", lines(&["just text"])), json!({"msg": "just text"}));
    let shim = r#"time="2020-02-21T10:31:27Z" level=debug msg="reading guest console" vmconsole="{\"msg\":\"announce\",\"level\":\"WARN\",\"pid\":\"1\"}""#;
    let out = one("- parse: {format: kata}", lines(&[shim]));
    assert_eq!((&out["msg"], &out["talos-level"], &out["pid"]), (&json!("announce"), &json!("warn"), &json!("1")));
    let process = "- parse: {key: url, format: regex, pattern: '^/(?<area>[a-z]+)/(?<id>[0-9]+)', reserve: true}";
    assert_eq!(
        one(process, record("GET", &[("url", json!("/items/7"))])),
        json!({"msg": "GET", "url": "/items/7", "area": "items", "id": "7"})
    );
    assert_eq!(
        one(process, record("GET", &[("url", json!("/"))])),
        json!({"msg": "GET", "url": "/", "unparsed": true})
    );
}

/// Agent's JSON in a pair of the shim's logfmt in the text.
#[test]
fn what_was_parsed_is_parsed_again() {
    let line = r#"time="2020-02-21T10:31:27.1Z" level=debug msg="reading guest console" vmconsole="{\"msg\":\"announce\",\"level\":\"INFO\",\"pid\":\"1\"}""#;
    let process = "- parse: {format: logfmt}\n- parse: {key: vmconsole, format: json, prefix: agent_}\n- convert: {agent_pid: int}";
    assert_eq!(
        one(process, lines(&[line])),
        json!({"msg": "reading guest console", "level": "debug", "agent_msg": "announce", "agent_level": "INFO", "agent_pid": 1,
               "talos-time": "2020-02-21T10:31:27.1Z"})
    );
    let nested = record("t", &[("a", json!({"b": "x=1 y=2"}))]);
    assert_eq!(
        one("- parse: {key: a.b, format: logfmt}", nested),
        json!({"msg": "t", "a": {"b": "x=1 y=2"}, "x": 1, "y": 2})
    );
}

#[test]
fn what_does_not_parse_stays_and_is_marked() {
    for line in ["", "no json", "{\"a\":", "[1]"] {
        assert_eq!(one("- parse: {format: json}", lines(&[line])), json!({"msg": line, "unparsed": true}));
    }
    let batch = record("t", &[("k", json!("x"))]);
    assert_eq!(
        one("- parse: {key: k, format: json, prefix: p_}", batch.clone()),
        json!({"msg": "t", "k": "x", "unparsed": true})
    );
    assert_eq!(one("- parse: {key: none, format: json}", batch), json!({"msg": "t", "k": "x"}));
}

#[test]
fn values_are_converted_or_marked() {
    let batch =
        record("t", &[("a", json!("07")), ("b", json!("yes")), ("c", json!(5)), ("d", json!("x")), ("e", json!("y"))]);
    assert_eq!(
        one("- convert: {a: int, b: bool, c: string, '[de]': int, d: int, e: float}", batch),
        json!({"msg": "t", "a": 7, "b": true, "c": "5", "d": "x", "e": "y", "unconverted": "d,e"})
    );
}

#[test]
fn conditions_choose_records() {
    let chosen = |when: &str, batch: Batch| !shaped(&format!("- keep_records: {when}"), batch).is_empty();
    let batch = || record("GET /api", &[("n", json!(5)), ("o", json!({"p": "q"})), ("level", json!("error"))]);
    for (when, holds) in [
        ("{field: msg, matches: ^GET}", true),
        ("{field: msg, matches: '^POST'}", false),
        ("{field: n, equals: 5}", true),
        ("{field: n, one_of: [4, 5]}", true),
        ("{field: o.p, equals: q}", true),
        ("{field: none, exists: true}", false),
        ("{field: none, exists: false}", true),
        ("{field: none, equals: ''}", false),
        ("{field: level, at_least: warn}", true),
        ("{field: level, at_least: crit}", false),
        ("{field: namespace, equals: default}", true),
        ("{field: talos-service, equals: web, matches: x}", false),
        ("{origin: web}", true),
        ("{origin: default/web-*/web}", true),
        ("{origin: 'kube-system/*'}", false),
        ("{not: {origin: web}}", false),
        ("{all: [{origin: web}, {field: n, equals: 6}]}", false),
        ("{any: [{origin: db}, {field: n, equals: 5}]}", true),
    ] {
        assert_eq!(chosen(when, batch()), holds, "{when}");
    }
    assert!(!chosen("{field: level, at_least: warn}", lines(&["info"])));
    // Numbers that mean something else: the record's own severity counts.
    assert!(chosen("{field: level, at_least: info}", record("x", &[("level", json!(30))])));
    assert!(!chosen("{field: level, at_least: warn}", record("x", &[("level", json!(30))])));
    assert!(chosen("{field: PRIORITY, at_least: warn}", record("x", &[("PRIORITY", json!("4"))])));
    assert!(!chosen("{field: PRIORITY, at_least: warn}", record("x", &[("PRIORITY", json!("5"))])));
    assert_eq!(
        messages(&shaped("- {when: {field: msg, matches: b}, drop: true}", lines(&["a", "b", "c"]))),
        ["a", "c"]
    );
}

#[test]
fn one_of_so_many_goes_on() {
    let texts: Vec<String> = (0..1000).map(|number| format!("{number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(messages(&shaped("- sample: {rate: 400}", lines(&texts))), ["0", "400", "800"]);
    let by_value = |rate| shaped(&format!("- sample: {{rate: {rate}, by: msg}}"), lines(&texts));
    let (some, again) = (by_value(10), by_value(10));
    assert!(some == again && (60..140).contains(&some.len()), "{}", some.len());
}

/// Two a second, three at once; the report says what went, at its place.
#[test]
fn more_than_are_let_through_is_reported() {
    let (mut builder, origin) = (BatchBuilder::new(4096), origin());
    for (text, after_ms) in [("a", 0), ("b", 0), ("c", 0), ("d", 0), ("e", 100), ("f", 500), ("g", 1200), ("h", 2000)] {
        builder.push(&origin, RecordMeta::line(TIME + after_ms * 1_000_000, text.as_bytes()), text.as_bytes());
    }
    let out = shaped("- throttle: {rate: 2, burst: 3, report: 1s}", builder.seal());
    assert_eq!(messages(&out), ["a", "b", "c", "f", "2 records were discarded: more than are let through", "g", "h"]);
    assert_eq!(out[4]["discarded-records"], 2);
    assert_eq!(
        (&out[4]["discarded-from"], &out[4]["discarded-to"]),
        (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-01T00:00:00.1Z"))
    );
    assert_eq!(out[4]["talos-service"], "web");
}

#[test]
fn repeats_within_a_window_become_one() {
    let out = shaped("- deduplicate: {window: 3s}\n- add: {x: y}", lines(&["a", "a", "b", "a", "a", "b"]));
    assert_eq!(
        messages(&out),
        ["a", "b", "a", "a", "b", "a"],
        "a comes again at 3 s, when the window has ended, and at 4 s"
    );
    assert_eq!(
        (&out[2]["repeated"], &out[2]["repeated-from"], &out[2]["x"]),
        (&json!(1), &json!("2026-01-01T00:00:01Z"), &json!("y"))
    );
    assert_eq!(out[3].get("repeated"), None);
    let out = shaped("- deduplicate: {window: 1h}", lines(&["a", "a", "a", "b"]));
    assert_eq!(messages(&out), ["a", "b", "a"]);
    assert_eq!(out[2]["repeated"], 2);
    let by = shaped("- deduplicate: {window: 1h, by: [level]}", lines(&["a", "b"]));
    assert_eq!(messages(&by), ["a", "a"]);
}

/// Each window ends when it has, though nothing comes any more, and no other one with it.
#[test]
fn windows_end_one_by_one() {
    let (mut builder, origin) = (BatchBuilder::new(4096), origin());
    for (text, after_ms) in [("a", 0), ("c", 500), ("a", 1000), ("b", 2000), ("b", 2500)] {
        builder.push(&origin, RecordMeta::line(TIME + after_ms * 1_000_000, text.as_bytes()), text.as_bytes());
    }
    let mut trial = Trial::new(&steps("- deduplicate: {window: 3s}"), None);
    assert_eq!(messages(&objects(&trial.run(builder.seal()))), ["a", "c", "b"]);
    let mut after = |ms| objects(&trial.wait(std::time::Duration::from_millis(ms)));
    assert!(after(499).is_empty());
    assert_eq!(messages(&after(500)), ["a"]);
    assert!(after(2499).is_empty());
    let last = after(2500);
    assert_eq!((messages(&last), &last[0]["repeated"]), (vec!["b"], &json!(1)));
}

/// A record from the past has windows end no later than they would have.
#[test]
fn times_that_go_back_hold_up_no_report() {
    let (mut builder, origin) = (BatchBuilder::new(4096), origin());
    for (text, second) in [("a", 1_000_000), ("a", 1_000_000), ("b", 0)] {
        builder.push(&origin, RecordMeta::line(TIME + second * SECOND, text.as_bytes()), text.as_bytes());
    }
    let mut trial = Trial::new(&steps("- deduplicate: {window: 3s}"), None);
    trial.run(builder.seal());
    assert!(trial.wait(std::time::Duration::from_millis(2999)).is_empty());
    assert_eq!(messages(&objects(&trial.wait(std::time::Duration::from_secs(3)))), ["a"]);
}

#[test]
fn secrets_are_replaced_everywhere_they_may_be() {
    let fields = [
        ("url", json!("/x?token=abcdef")),
        ("card", json!(4111111111111111u64)),
        ("o", json!({"mail": "a.b@example.org"})),
    ];
    let process = "- redact: {presets: [tokens, email, cards], with: '***'}";
    assert_eq!(
        one(process, record("password=hunter22", &fields)),
        json!({"msg": "password=***", "url": "/x?token=***", "card": "***", "o": {"mail": "***"}})
    );
    let named =
        [("password", json!("hunter22")), ("API_KEY", json!(12345)), ("max_tokens", json!(500)), ("pwd", json!("-"))];
    assert_eq!(
        one(process, record("x", &named)),
        json!({"msg": "x", "password": "***", "API_KEY": "***", "max_tokens": 500, "pwd": "-"})
    );
    let only = "- redact: {patterns: ['[0-9]+'], fields: [url], with: N}";
    assert_eq!(
        one(only, record("5", &[("url", json!("/5")), ("n", json!(5))])),
        json!({"msg": "5", "url": "/N", "n": 5})
    );
}

/// Nothing of what says that something is missing may go missing.
#[test]
fn reports_of_losses_are_never_discarded() {
    let mut builder = BatchBuilder::new(4096);
    for _ in 0..3 {
        builder.push_loss(&origin(), Lost::Bytes(7), "in a test", TIME, TIME);
    }
    let process = "- drop: {origin: '*'}\n- keep_records: {field: none, exists: true}\n- sample: {rate: 9}\n- throttle: {rate: 1}\n- deduplicate: {window: 1h}";
    assert_eq!(shaped(process, builder.seal()).len(), 3);
}

#[test]
fn records_keep_what_they_are_and_their_order() {
    let (mut builder, web) = (BatchBuilder::new(4096), origin());
    let other = OriginHandle::new(Origin { source: "file:x".into(), ..Origin::new(OriginKind::File, "x") });
    for number in 0..100u32 {
        let meta = RecordMeta {
            position: u64::from(number) * 10,
            level: Level::from_priority(number),
            flags: if number % 3 == 0 { Flags::PARTIAL } else { Flags::NONE },
            ..RecordMeta::line(TIME + i64::from(number), b"")
        };
        builder.push(if number % 2 == 0 { &web } else { &other }, meta, number.to_string().as_bytes());
    }
    let batch = builder.seal();
    let mut trial = Trial::new(
        &steps("- {when: {field: msg, matches: '5'}, add: {x: y}}\n- drop: {field: msg, matches: '7$'}"),
        None,
    );
    let out = trial.run(batch.clone());
    let kept = batch.records().filter(|record| !record.body.ends_with(b"7"));
    let shaped = out.iter().flat_map(|(batch, _)| batch.records().map(move |record| (batch, record)));
    for (before, (into, after)) in kept.zip(shaped) {
        assert_eq!((before.body, before.time_ns, before.position), (after.body, after.time_ns, after.position));
        assert_eq!((before.level, before.flags, before.original_len), (after.level, after.flags, after.original_len));
        assert_eq!(batch.origin_id(before.origin), into.origin_id(after.origin));
        assert_eq!(after.has_fields(), before.body.contains(&b'5'));
    }
    assert_eq!(out.iter().map(|(batch, _)| batch.record_count()).sum::<u32>(), 90);
}
