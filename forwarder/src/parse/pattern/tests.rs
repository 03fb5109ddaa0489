use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::bytes;

/// 2026-03-10T00:00:00Z.
const NOW: i64 = 1_773_100_800_000_000_000;

/// Time, level, body and fields.
fn parsed(pattern: &str, time: TimeFormat, line: &str) -> (Option<i64>, Level, String, Value) {
    let pattern = LinePattern::new(Regex::new(pattern).unwrap(), time);
    let mut parser = PatternParser::default();
    let parsed = parser.parse(&pattern, &TimeZone::UTC, line.as_bytes(), NOW);
    let parts = parsed.parts;
    let text = |span| String::from_utf8_lossy(bytes(parts.line, parts.more, span)).into_owned();
    let value = |field: &crate::record::FieldSpan| match field.is_json {
        true => serde_json::from_str(&text(field.value)).unwrap(),
        false => Value::from(text(field.value)),
    };
    let fields = parts.fields.iter().map(|field| (text(field.key), value(field))).collect();
    (parsed.time_ns, parsed.level, text(parts.body), Value::Object(fields))
}

#[test]
fn groups_take_their_roles() {
    let nginx = r"^(?<time>\S+ \S+) \[(?<level>\w+)\] (?<pid>\d+)#(?<tid>\d+): (?:\*(?<connection>\d+) )?(?<msg>.*)$";
    let format = TimeFormat::strptime("%Y/%m/%d %H:%M:%S").unwrap();
    let line = "2026/01/02 03:04:05 [error] 7#9: *33 open() failed";
    let (time, level, body, fields) = parsed(nginx, format.clone(), line);
    assert_eq!((time, level, body.as_str()), (Some(1_767_323_045_000_000_000), Level::Err, "open() failed"));
    assert_eq!(fields, json!({"pid": "7", "tid": "9", "connection": "33"}));
    let (.., fields) = parsed(nginx, format.clone(), "2026/01/02 03:04:05 [loud] 7#9: x");
    assert_eq!(fields, json!({"pid": "7", "tid": "9", "level": "loud"}));
    let (time, .., fields) = parsed(nginx, format, "2026/13/02 03:04:05 [info] 7#9: x");
    assert_eq!((time, fields), (None, json!({"pid": "7", "tid": "9", "time": "2026/13/02 03:04:05"})));
}

#[test]
fn what_does_not_match_is_text_and_marked() {
    let (time, level, body, fields) = parsed("^(?<a>x)$", TimeFormat::Auto, "yx");
    assert_eq!((time, level, body.as_str(), fields), (None, Level::Info, "yx", json!({"unparsed": true})));
    assert_eq!(parsed("(?<a>x)", TimeFormat::Auto, "yx").2, "yx");
}

#[test]
fn times_in_many_ways() {
    let time = |text: &str| TimeFormat::Auto.read(text.as_bytes(), &TimeZone::UTC, NOW);
    let expected = Some(1_767_323_045_678_000_000);
    for text in [
        "2026-01-02T03:04:05.678Z",
        "2026-01-02 03:04:05.678",
        "2026-01-02 03:04:05,678",
        "2026-01-02T04:04:05.678+01:00",
        "2026-01-02 04:04:05.678 +0100",
        "2026-01-02 03:04:05.678 UTC",
        "1767323045678",
        "1767323045678000",
        "1767323045678000000",
    ] {
        assert_eq!(time(text), expected, "{text}");
    }
    assert_eq!(time("1767323045"), Some(1_767_323_045_000_000_000));
    for text in ["", "now", "2026-01-02", "2026-01-02T03:04:05.678Zx", "2026-02-30T00:00:00Z", "1.2.3", "-1"] {
        assert_eq!(time(text), None, "{text}");
    }
    let strptime =
        |format, text: &str| TimeFormat::strptime(format).unwrap().read(text.as_bytes(), &TimeZone::UTC, NOW);
    assert_eq!(strptime("%d/%b/%Y:%H:%M:%S %z", "02/Jan/2026:04:04:05 +0100"), Some(1_767_323_045_000_000_000));
    assert_eq!(strptime("%Y-%m-%d %H:%M:%S%.f", "2026-01-02 03:04:05.678"), expected);
    // Of last year, as it is not much later than now.
    assert_eq!(strptime("%b %d %H:%M:%S", "Dec 31 00:00:00"), Some(1_767_139_200_000_000_000));
    assert_eq!(strptime("%b %d %H:%M:%S", "Jan  2 03:04:05"), Some(1_767_323_045_000_000_000));
    assert!(TimeFormat::strptime("%H:%M").is_err());
    assert!(TimeFormat::strptime("%!").is_err());
}

proptest! {
    #[test]
    fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..60), format in "[%a-zA-Z:. ]{0,10}") {
        let time = TimeFormat::strptime(&format).unwrap_or(TimeFormat::Auto);
        time.read(&line, &TimeZone::UTC, NOW);
        TimeFormat::Auto.read(&line, &TimeZone::UTC, i64::MIN);
        level_of(&line);
    }
}
