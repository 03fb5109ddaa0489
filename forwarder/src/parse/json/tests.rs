//! Against Go itself, by its recorded answers; against serde_json; and against anything at all.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The object as Go would write it again.
fn written(parser: &mut JsonParser, line: &[u8]) -> Option<Vec<u8>> {
    if !parser.read(line, 0) {
        return None;
    }
    let mut out = vec![b'{'];
    for (index, (key, value, is_json)) in parser.members(line).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        assert!(std::str::from_utf8(key).is_ok());
        string::put_quoted(key, &mut out);
        out.push(b':');
        if is_json {
            out.extend_from_slice(value);
        } else {
            assert!(std::str::from_utf8(value).is_ok());
            string::put_quoted(value, &mut out);
        }
    }
    out.push(b'}');
    Some(out)
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `forwarder/tests/go/json_objects.go` has written the file, with Go 1.26.
#[test]
fn go_says_the_same() {
    let golden = include_str!("../../../tests/go/json_objects.txt");
    let lines: Vec<&str> = golden.lines().collect();
    let mut parser = JsonParser::default();
    assert!(lines.len() > 1000);
    for pair in lines.chunks(2) {
        let line = unhex(pair[0]);
        let expected = pair[1].strip_prefix("ok ");
        assert_eq!(expected.is_none(), pair[1] == "no");
        let found = written(&mut parser, &line).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(found.as_deref(), expected, "{}", String::from_utf8_lossy(&line));
    }
}

/// Go 1.26 takes the former and not the latter; more levels than a thread's stack would hold.
#[test]
fn ten_thousand_levels() {
    let mut parser = JsonParser::default();
    let arrays = |depth| format!(r#"{{"k":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth| format!(r#"{{"k":{}0{}}}"#, r#"{"b":1,"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(written(&mut parser, arrays(9999).as_bytes()).unwrap(), arrays(9999).as_bytes());
    let sorted = format!(r#"{{"k":{}0{}}}"#, r#"{"a":"#.repeat(9999), r#","b":1}"#.repeat(9999));
    assert_eq!(written(&mut parser, objects(9999).as_bytes()).unwrap(), sorted.as_bytes());
    assert!(!parser.read(arrays(10_000).as_bytes(), 0) && !parser.read(objects(10_000).as_bytes(), 0));
    assert!(!parser.read("[".repeat(100_000).as_bytes(), 0));
}

#[test]
fn limits_of_ours() {
    let mut parser = JsonParser::default();
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|number| format!(r#""{number:05}":1"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(parser.read(members(MAX_MEMBERS).as_bytes(), 0));
    assert_eq!(parser.members(b"").len(), MAX_MEMBERS);
    assert!(!parser.read(members(MAX_MEMBERS + 1).as_bytes(), 0));
    let text = |len: usize| format!(r#"{{"k":"{}"}}"#, "x".repeat(len - 8));
    assert!(parser.read(text(MAX_OBJECT_BYTES).as_bytes(), 0));
    assert!(!parser.read(text(MAX_OBJECT_BYTES + 1).as_bytes(), 0));
}

#[test]
fn plain_values_are_not_copied() {
    let line = r#"{"a":"text <&> é","b":-12.5,"c":true,"d":"<"}"#.as_bytes();
    let mut parser = JsonParser::default();
    assert!(parser.read(line, 0));
    assert!(parser.more.is_empty());
    let members: Vec<_> = parser.members(line).collect();
    assert_eq!(members[0], (&b"a"[..], "text <&> é".as_bytes(), false));
    assert_eq!(members[1], (&b"b"[..], &b"-12.5"[..], true));
}

/// JSON of any shape, with spaces in any place.
fn value() -> impl Strategy<Value = Value> {
    let text = "[a-c\"\\\\\n<&\u{0}-\u{10}é\u{2028}😀]{0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        (-1_000_000i64..1_000_000).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((text, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What Go would write for a value: serde_json's maps are sorted as well.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    let list = |open: u8, close: u8, items: Vec<(Option<&String>, &Value)>, out: &mut Vec<u8>| {
        out.push(open);
        for (index, (key, value)) in items.into_iter().enumerate() {
            out.extend((index > 0).then_some(b','));
            if let Some(key) = key {
                canonical(&Value::from(key.as_str()), out);
                out.push(b':');
            }
            canonical(value, out);
        }
        out.push(close);
    };
    match value {
        Value::Number(number) => number::render(number.to_string().as_bytes(), out).unwrap(),
        Value::String(text) => {
            let text = serde_json::to_string(text).unwrap();
            let escaped = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028")];
            let text = escaped.into_iter().fold(text, |text, (char, sequence)| text.replace(char, sequence));
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => list(b'[', b']', items.iter().map(|item| (None, item)).collect(), out),
        Value::Object(members) => {
            list(b'{', b'}', members.iter().map(|(key, item)| (Some(key), item)).collect(), out);
        }
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

proptest! {
    /// Keys that are alike for eight bytes and more, or end where others go on; of the same ones the last stays.
    #[test]
    fn members_come_in_order(keys in proptest::collection::vec("(talos-le|talos-l|)[\u{0} !a-c\u{e9}]{0,2}", 0..40)) {
        let members: Vec<String> =
            keys.iter().enumerate().map(|(number, key)| format!("{}:{number}", Value::from(key.as_str()))).collect();
        let line = format!("{{{}}}", members.join(","));
        let expected: std::collections::BTreeMap<&[u8], String> =
            keys.iter().enumerate().map(|(number, key)| (key.as_bytes(), number.to_string())).collect();
        let mut parser = JsonParser::default();
        prop_assert!(parser.read(line.as_bytes(), 0));
        let found: Vec<_> = parser.members(line.as_bytes()).map(|(key, value, _)| (key, value)).collect();
        let expected: Vec<_> = expected.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn values_as_serde_json_made_them(members in proptest::collection::btree_map("[a-e<\"é]{0,3}", value(), 0..30), pretty in any::<bool>()) {
        let object = Value::Object(members.into_iter().collect());
        let text = if pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) }.unwrap();
        let found = written(&mut JsonParser::default(), &text).expect("it is an object");
        let mut expected = Vec::new();
        canonical(&object, &mut expected);
        prop_assert_eq!(String::from_utf8(found.clone()).unwrap(), String::from_utf8(expected).unwrap());
        // What is canonical stays as it is.
        prop_assert_eq!(written(&mut JsonParser::default(), &found).unwrap(), found);
    }

    /// Whatever a part of an object is replaced by: refused, or an object that serde_json reads as well.
    #[test]
    fn any_bytes_are_an_object_or_refused(
        members in proptest::collection::btree_map("[a-c]{0,2}", value(), 0..6),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0..4usize, proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b','), Just(b'u'), any::<u8>()], 0..4)), 0..4),
    ) {
        let mut text = serde_json::to_vec(&Value::Object(members.into_iter().collect())).unwrap();
        for (at, remove, insert) in damage {
            let at = at.index(text.len() + 1);
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert);
        }
        let found = written(&mut JsonParser::default(), &text);
        if let Some(canonical) = &found {
            prop_assert!(serde_json::from_slice::<Value>(canonical).unwrap().is_object());
        }
        // Of what is UTF-8, serde_json refuses lone surrogates alone; and a number without a float64.
        let theirs = serde_json::from_slice::<Value>(&text);
        prop_assert!(found.is_some() || !theirs.is_ok_and(|value| value.is_object()));
    }

    #[test]
    fn numbers_as_go_writes_them(number in any::<f64>()) {
        prop_assume!(number.is_finite());
        let line = format!(r#"{{"k":{number:e}}}"#);
        let found = String::from_utf8(written(&mut JsonParser::default(), line.as_bytes()).unwrap()).unwrap();
        let text = &found[5..found.len() - 1];
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        let exponent = number != 0.0 && !(1e-6..1e21).contains(&number.abs());
        prop_assert_eq!(text.contains('e'), exponent);
    }
}
