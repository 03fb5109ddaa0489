//! Lines as programs write them, and as nobody should.

use proptest::prelude::*;

use crate::parse::line::{LineKind, LineParser};
use crate::record::Level;

/// What became of a line: time, level, body, and its fields, those that are JSON with `=` before them.
#[derive(Debug, PartialEq)]
struct Seen {
    time_ns: Option<i64>,
    level: Level,
    body: String,
    fields: Vec<(String, String)>,
}

/// None where it is text.
fn seen(line: &[u8]) -> Option<Seen> {
    let mut parser = LineParser::default();
    let parsed = parser.parse(LineKind::Logfmt, line, 0)?;
    assert!(!parsed.is_object, "it is not known to be whole");
    if parsed.parts.bytes(parsed.parts.body) == line {
        assert!(parsed.parts.fields.is_empty() && parsed.time_ns.is_none());
        return None;
    }
    let text = |span| String::from_utf8_lossy(parsed.parts.bytes(span)).into_owned();
    let fields = parsed.parts.fields.iter().map(|field| {
        let value = text(field.value);
        (text(field.key), if field.is_json { format!("={value}") } else { value })
    });
    let (time_ns, level) = (parsed.time_ns, parsed.level);
    Some(Seen { time_ns, level, body: text(parsed.parts.body), fields: fields.collect() })
}

fn pairs(line: &str) -> Vec<(String, String)> {
    seen(line.as_bytes()).unwrap_or_else(|| panic!("{line} is text")).fields
}

fn list(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn a_line_of_katas_runtime() {
    let line = br#"time="2020-02-21T10:31:27.810781647Z" level=info msg="release sandbox" arch=amd64 command=state container=7cdd31660d87 name=kata-runtime pid=14314 sandbox=1c3e source=virtcontainers subsystem=sandbox"#;
    let expected = Seen {
        time_ns: Some(1_582_281_087_810_781_647),
        level: Level::Info,
        body: "release sandbox".to_owned(),
        fields: list(&[
            ("arch", "amd64"),
            ("command", "state"),
            ("container", "7cdd31660d87"),
            ("name", "kata-runtime"),
            ("pid", "=14314"),
            ("sandbox", "1c3e"),
            ("source", "virtcontainers"),
            ("subsystem", "sandbox"),
        ]),
    };
    assert_eq!(seen(line), Some(expected));
}

#[test]
fn a_line_of_katas_guest_holds_another_one() {
    let line =
        br#"level=debug msg="reading guest console" vmconsole="{\"msg\":\"a \\\"b\\\"\",\"level\":\"INFO\"}" empty= "#;
    let seen = seen(line).unwrap();
    assert_eq!((seen.level, seen.body.as_str()), (Level::Debug, "reading guest console"));
    assert_eq!(seen.fields, list(&[("empty", ""), ("vmconsole", r#"{"msg":"a \"b\"","level":"INFO"}"#)]));
}

#[test]
fn a_line_of_herokus_router() {
    let line = r#"at=info method=GET path="/a?b=c" host=x.herokuapp.com fwd="10.0.0.1" dyno=web.1 connect=1ms status=200 bytes=13 protocol=https tls retry=false sample#load=0.25"#;
    let expected = list(&[
        ("at", "info"),
        ("bytes", "=13"),
        ("connect", "1ms"),
        ("dyno", "web.1"),
        ("fwd", "10.0.0.1"),
        ("host", "x.herokuapp.com"),
        ("method", "GET"),
        ("path", "/a?b=c"),
        ("protocol", "https"),
        ("retry", "=false"),
        ("sample#load", "=0.25"),
        ("status", "=200"),
        ("tls", "=true"),
    ]);
    assert_eq!(pairs(line), expected);
    assert_eq!(pairs("url=/a?b=c&d= x"), list(&[("url", "/a?b=c&d="), ("x", "=true")]));
}

#[test]
fn time_level_and_message_are_taken_where_they_hold() {
    let of = |line: &str| seen(line.as_bytes()).unwrap();
    assert_eq!(of("time=2020-02-21T10:31:27+01:00 level=WARNING msg=x").level, Level::Warning);
    assert_eq!(of("time=2020-02-21T10:31:27+01:00 a=b").time_ns, Some(1_582_277_487_000_000_000));
    assert_eq!(of("ts=1635266764.5 a=b").time_ns, Some(1_635_266_764_500_000_000));
    // The one that holds gives the time, the other stays.
    let both = of("ts=2020-02-21T10:31:27Z time=now");
    assert_eq!((both.time_ns.is_some(), both.fields), (true, list(&[("time", "now")])));
    let both = of("ts=1635266764 time=2020-02-21T10:31:27Z");
    assert_eq!((both.time_ns, both.fields), (Some(1_582_281_087_000_000_000), list(&[("ts", "=1635266764")])));
    // Too far away for a record.
    assert_eq!(of("time=9999-01-01T00:00:00Z").fields, list(&[("time", "9999-01-01T00:00:00Z")]));
    for (name, level, stays) in [
        ("debug", Level::Debug, false),
        ("error", Level::Err, false),
        ("Warn", Level::Warning, false),
        ("fatal", Level::Crit, true),
        ("panic", Level::Crit, true),
        ("trace", Level::Debug, true),
        ("DEBG", Level::Info, true),
        ("a-long-word", Level::Info, true),
        ("3", Level::Info, true),
    ] {
        let seen = of(&format!("level={name}"));
        assert_eq!((seen.level, !seen.fields.is_empty()), (level, stays), "{name}");
    }
    assert_eq!(of("msg=42 a=b").body, "42");
    assert_eq!(of("a=b msg").fields, list(&[("a", "b"), ("msg", "=true")]));
}

#[test]
fn a_key_that_comes_again_keeps_all_its_values() {
    let seen = seen(b"b=1 msg=one a=x b=\"\\xff<\" msg=two level=info level=error b").unwrap();
    assert_eq!((seen.body.as_str(), seen.level), ("", Level::Info));
    let expected = list(&[
        ("a", "x"),
        ("b", "=[1,\"\u{fffd}\\u003c\",true]"),
        ("level", r#"=["info","error"]"#),
        ("msg", r#"=["one","two"]"#),
    ]);
    assert_eq!(seen.fields, expected);
}

#[test]
fn escapes_are_gos_and_jsons() {
    let value = |text: &str| pairs(&format!("a=\"{text}\""))[0].1.clone();
    assert_eq!(value(r#"\a\b\f\n\r\t\v\\\"\/"#), "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"/");
    assert_eq!(value(r"\x41\u00e9\U0001f600\ud83d\ude00"), "A\u{e9}\u{1f600}\u{1f600}");
    // Halves of a character, and numbers that are none.
    assert_eq!(value(r"\ud83d\ud83dx\ude00\UFFFFFFFF"), "\u{fffd}\u{fffd}x\u{fffd}\u{fffd}");
    // What is no escape stands for itself.
    assert_eq!(value(r"C:\dir \xg0 \u12 \1"), r"C:\dir \xg0 \u12 \1");
    assert_eq!(value("tab\tand\nnewline"), "tab\tand\nnewline");
}

#[test]
fn words_that_json_writes_the_same_way_are_no_text() {
    for word in ["0", "7", "-7", "14314", "999999999999999", "0.5", "-0.25", "1.000001", "true", "false"] {
        assert_eq!(pairs(&format!("a={word}")), list(&[("a", &format!("={word}"))]), "{word}");
        let number: serde_json::Value = serde_json::from_str(word).unwrap();
        assert_eq!(serde_json::to_string(&number).unwrap(), word);
    }
    for word in ["-", "-0", "007", "1.", ".5", "1.50", "1e3", "1.0000001", "9999999999999999", "True", "1.2.3", "nan"] {
        assert_eq!(pairs(&format!("a={word}")), list(&[("a", word)]), "{word}");
    }
}

#[test]
fn what_is_none_of_the_format_is_text() {
    let lines: [&[u8]; 19] = [
        b"starting worker count=3",
        b"hello",
        b"=",
        b"=x",
        b"a=b =c",
        b"a=\"open",
        b"a=\"open\\",
        b"a=\"open\\\"",
        b"a=\"b\"c=d",
        b"a=b\"c",
        b"source=agenttime=\"2020-02-21T10:31:27Z\" level=info",
        b"a=b \"c\"",
        b"a=b\x00",
        b"a\x1b=b",
        b"a=b\nc=d",
        b"{\"a\":1}",
        b"\xff=b",
        b"a=b caf\xc3",
        b"[    0.395399] pci 0000:00:02.0: reg=0x10",
    ];
    for line in lines {
        assert_eq!(seen(line), None, "{}", String::from_utf8_lossy(line));
    }
    let mut parser = LineParser::default();
    assert!(parser.parse(LineKind::Logfmt, b" \t", 0).is_none());
    let long = [&b"a="[..], &vec![b'x'; super::MAX_LINE_BYTES]].concat();
    assert_eq!(seen(&long), None);
    assert!(seen(&long[..super::MAX_LINE_BYTES]).is_some());
    let many = |count: usize| (0..count).map(|number| format!("{number:x}=1")).collect::<Vec<_>>().join(" ");
    assert_eq!(seen(many(super::MAX_PAIRS).as_bytes()).unwrap().fields.len(), super::MAX_PAIRS);
    assert_eq!(seen(many(super::MAX_PAIRS + 1).as_bytes()), None);
}

/// As Go's `strconv.Quote`.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\u{7}' => out += "\\a",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\u{b}' => out += "\\v",
            '\0'..' ' | '\u{7f}' => out += &format!("\\x{:02x}", u32::from(char)),
            '\u{80}'..='\u{a0}' | '\u{2000}'..='\u{2fff}' => out += &format!("\\u{:04x}", u32::from(char)),
            '\u{1_0000}'.. => out += &format!("\\U{:08x}", u32::from(char)),
            _ => out.push(char),
        }
    }
    out + "\""
}

/// As logrus' TextFormatter.
fn written(value: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-._/@^+".contains(char);
    if value.chars().all(is_plain) { value.to_owned() } else { quoted(value) }
}

proptest! {
    #[test]
    fn what_logrus_writes_reads_back(fields in proptest::collection::btree_map("[a-z][a-z._-]{0,9}", any::<String>(), 1..9)) {
        let line = fields.iter().map(|(key, value)| format!("{key}={}", written(value))).collect::<Vec<_>>().join(" ");
        let read = seen(line.as_bytes()).unwrap();
        let named = ["time", "ts", "level", "msg"];
        let expected = fields.iter().filter(|(key, _)| !named.contains(&key.as_str()));
        let read = read.fields.into_iter().filter(|(key, _)| !named.contains(&key.as_str()));
        // What JSON writes the same way is that.
        let read = read.map(|(key, value)| (key, value.strip_prefix('=').map_or(value.clone(), str::to_owned)));
        let expected = expected.map(|(key, value)| (key.clone(), value.strip_prefix('=').map_or(value.clone(), str::to_owned)));
        prop_assert_eq!(read.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_word_ends_where_a_byte_says_so(text in proptest::collection::vec(prop_oneof![
        9 => b'a'..=b'z', 1 => 0x1eu8..0x24, 1 => Just(b'='), 1 => 0x7eu8..0x82, 1 => any::<u8>()
    ], 0..40), at in any::<prop::sample::Index>(), end in prop_oneof![Just(b'='), Just(b' ')]) {
        let at = at.index(text.len() + 1);
        let is_end = |byte: &u8| *byte <= b' ' || *byte == b'"' || *byte == 0x7f || *byte == end;
        let expected = text[at..].iter().position(is_end).unwrap_or(text.len() - at);
        prop_assert_eq!(super::word_end(&text, at, end), at + expected);
    }

    #[test]
    fn nothing_panics_and_all_fields_are_sorted(line in proptest::collection::vec(prop_oneof![
        4 => Just(b'='), 4 => Just(b' '), 3 => Just(b'"'), 2 => Just(b'\\'), 6 => b'a'..=b'f', 2 => b'0'..=b'9', 1 => any::<u8>()
    ], 0..80)) {
        if let Some(seen) = seen(&line) {
            prop_assert!(seen.fields.is_sorted_by(|a, b| a.0 < b.0));
            for (_, value) in &seen.fields {
                if let Some(json) = value.strip_prefix('=') {
                    // Or text that begins so.
                    let _ = serde_json::from_str::<serde_json::Value>(json);
                }
            }
        }
    }
}
