//! Messages of the world, to the object that is sent: through parser, batch and encoder.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::parse::line::{LineKind, LineParser};
use crate::record::{BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta, bytes};
use jiff::tz::TimeZone;

/// 2026-03-04T05:06:07.89Z
const NOW: i64 = 1_772_600_767_890_000_000;

/// The object that goes out for a message; nothing where there is none.
fn sent(kind: LineKind, zone: &TimeZone, message: &[u8], now_ns: i64) -> Option<String> {
    let mut parser = LineParser::new(zone.clone());
    let parsed = parser.parse(kind, message, now_ns)?;
    let mut builder = BatchBuilder::new(1024);
    let meta = RecordMeta {
        time_ns: parsed.time_ns.unwrap_or(now_ns),
        level: parsed.level,
        flags: Flags::NONE,
        ..RecordMeta::line(now_ns, b"")
    };
    builder.push_parts(&OriginHandle::new(Origin::new(OriginKind::Peer, "syslogd")), meta, &parsed.parts);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    JsonLines::new(JsonLinesOptions::default()).encode_batch(&builder.seal(), 0..1, &mut out, &mut ends);
    Some(String::from_utf8(out).unwrap())
}

fn object(kind: LineKind, zone: &TimeZone, message: &[u8]) -> Map<String, Value> {
    let object = sent(kind, zone, message, NOW).expect("it is not blank");
    serde_json::from_str(&object).unwrap_or_else(|error| panic!("{error}: {object}"))
}

/// Message and time, level by its priority, and the fields.
fn said(kind: LineKind, zone: &TimeZone, message: &[u8]) -> (String, String, Value) {
    let mut object = object(kind, zone, message);
    let mut text = |key: &str| object.remove(key).and_then(|value| value.as_str().map(str::to_owned)).unwrap();
    let (msg, time, level) = (text("msg"), text("talos-time"), text("talos-level"));
    assert_eq!(text("talos-service"), "syslogd");
    let by_priority = match object.get("priority").and_then(Value::as_str) {
        Some("emerg" | "alert" | "crit" | "err") => "error",
        Some("warning") => "warn",
        Some("debug") => "debug",
        _ => "info",
    };
    assert_eq!(level, by_priority);
    (msg, time, object.into())
}

const RECEIPT: &str = "2026-03-04T05:06:07.89Z";

#[track_caller]
fn check(kind: LineKind, message: &[u8], msg: &str, time: &str, fields: Value) {
    let shown = String::from_utf8_lossy(message);
    assert_eq!(said(kind, &TimeZone::UTC, message), (msg.into(), time.into(), fields), "{shown}");
}

#[track_caller]
fn remote(message: &[u8], msg: &str, time: &str, fields: Value) {
    check(LineKind::Syslog, message, msg, time, fields);
}

#[test]
fn what_programs_write_to_dev_log() {
    let local = |message: &[u8], msg: &str, fields| check(LineKind::LocalSyslog, message, msg, RECEIPT, fields);
    // syslog(3) of glibc and musl, with and without LOG_PID; of Python; logger without flags.
    local(
        b"<13>Mar  4 05:06:07 root: hello  there\0",
        "hello  there",
        json!({"app": "root", "facility": "user", "priority": "notice"}),
    );
    local(
        b"<86>Mar  4 05:06:07 sshd[412]: Accepted publickey\n",
        "Accepted publickey",
        json!({"app": "sshd", "pid": "412", "facility": "authpriv", "priority": "info"}),
    );
    local(
        b"<85>Mar  4 05:06:07 sudo:   ann : TTY=pts/0",
        "  ann : TTY=pts/0",
        json!({"app": "sudo", "facility": "authpriv", "priority": "notice"}),
    );
    local(
        b"<78>Mar  4 05:06:07 CRON[7]: (root) CMD (x)",
        "(root) CMD (x)",
        json!({"app": "CRON", "pid": "7", "facility": "cron", "priority": "info"}),
    );
    local(
        b"<30>Mar  4 05:06:07 /usr/bin/a.py: x",
        "x",
        json!({"app": "/usr/bin/a.py", "facility": "daemon", "priority": "info"}),
    );
    // Without a tag all of it is text; logger --rfc3164 names the host.
    local(b"<13>Mar  4 05:06:07 no tag here", "no tag here", json!({"facility": "user", "priority": "notice"}));
    local(
        b"<13>Mar  4 05:06:07 box root: hello",
        "hello",
        json!({"app": "root", "hostname": "box", "facility": "user", "priority": "notice"}),
    );
    // A time with a zone says more than when it came.
    check(
        LineKind::LocalSyslog,
        b"<13>1 2026-03-04T06:06:07.123456+01:00 box root - - - x",
        "x",
        "2026-03-04T05:06:07.123456Z",
        json!({"app": "root", "hostname": "box", "facility": "user", "priority": "notice"}),
    );
}

#[test]
fn rfc_3164_and_what_is_like_it() {
    let user = |more: Value| {
        let mut fields = json!({"facility": "user", "priority": "notice"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let host = json!({"hostname": "box", "app": "app"});
    let pid = json!({"hostname": "box", "app": "app", "pid": "7"});
    let time = "2026-03-04T05:06:07Z";
    remote(b"<13>Mar  4 05:06:07 box app[7]: x: y", "x: y", time, user(pid.clone()));
    remote(b"<13>Mar 04 05:06:07 box app[7] x", "x", time, user(pid.clone()));
    remote(b"<13>Mar 4 05:06:07 box app: x\r\n", "x", time, user(host.clone()));
    remote(b"<13>Mar  4 05:06:07 app: x", "x", time, user(json!({"app": "app"})));
    remote(b"<13>Mar  4 05:06:07 box some words", "some words", time, user(json!({"hostname": "box"})));
    remote(b"<13>Mar  4 05:06:07 box", "box", time, user(json!({})));
    remote(b"<13>Mar  4 05:06:07", "", time, user(json!({})));
    remote(b"<13>Mar  4 05:06:07 fe80::1 app: x", "x", time, user(json!({"hostname": "fe80::1", "app": "app"})));
    remote(b"<13>Mar  4 05:06:07 box [main] x", "[main] x", time, user(json!({"hostname": "box"})));
    // rsyslog's forwarding format, Go's log/syslog, Cisco's.
    remote(b"<13>2026-03-04T07:06:07.5+02:00 box app[7]: x", "x", "2026-03-04T05:06:07.5Z", user(pid.clone()));
    remote(b"<13>2026-03-04T05:06:07Z box app[7]: x\n", "x", time, user(pid));
    remote(b"<13>2026-03-04T05:06:07 box app: x", "x", time, user(host.clone()));
    remote(
        b"<13>*Mar  4 2026 05:06:07.250: %SYS-5-X: up",
        "up",
        "2026-03-04T05:06:07.25Z",
        user(json!({"app": "%SYS-5-X"})),
    );
    // No time: Python's SysLogHandler, as it is and with an `ident`.
    remote(b"<13>it: did\nhappen\0", "did\nhappen", RECEIPT, user(json!({"app": "it"})));
    remote(b"<13>a message: with a colon\0", "a message: with a colon", RECEIPT, user(json!({})));
    remote(b"<13>\xef\xbb\xbfx", "x", RECEIPT, user(json!({})));
    remote(b"<13>", "", RECEIPT, user(json!({})));
    remote(b"<13> indented", " indented", RECEIPT, user(json!({})));
    remote(b"<13>http://x 12:30 x", "http://x 12:30 x", RECEIPT, user(json!({})));
    // No priority.
    remote(b"Mar  4 05:06:07 box app: x", "x", time, host);
    // Wrong dates, and a second that is one too many.
    for wrong in ["Feb 30 05:06:07", "Mar  4 25:06:07", "2026-13-04T05:06:07Z", "2026-03-04T05:06:07+25:00"] {
        let fields = user(json!({"hostname": "box", "app": "app", "timestamp": wrong}));
        remote(format!("<13>{wrong} box app: x").as_bytes(), "x", RECEIPT, fields);
    }
    remote(b"<13>Jun 30 23:59:60 app: x", "x", "2025-07-01T00:00:00Z", user(json!({"app": "app"})));
}

#[test]
fn rfc_5424_and_what_is_like_it() {
    let user = json!({"facility": "user", "priority": "notice"});
    remote(
        b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"App\\\"l\\\\i\\]\\c\"][a@1 x=\"\"][b] \xef\xbb\xbfAn event\n",
        "An event",
        "2003-10-11T22:14:15.003Z",
        json!({
            "app": "evntslog", "facility": "local4", "hostname": "mymachine.example.com", "msgid": "ID47",
            "priority": "notice", "sd.a@1.x": "", "sd.b": true, "sd.exampleSDID@32473.eventSource": "App\"l\\i]\\c",
            "sd.exampleSDID@32473.iut": "3",
        }),
    );
    remote(b"<13>1 - - - - - -", "", RECEIPT, user.clone());
    remote(b"<13>1 - - - - - - ", "", RECEIPT, user.clone());
    remote(b"<13>1 - - - - - - -", "-", RECEIPT, user.clone());
    remote(b"<13>1 - - - - - ", "", RECEIPT, user.clone());
    let fields = json!({"app": "a", "pid": "b-1", "facility": "user", "priority": "notice"});
    remote(b"<13>1 - - a b-1 - - x\ny", "x\ny", RECEIPT, fields.clone());
    // Without structured data, or with what is none.
    for text in ["text", "[main] [x] y", "[a b=\"c", "[a b=c] x", "[a]x", "[] x", "-x", "[\u{e9}] x"] {
        let is_element = text.starts_with("[main] ");
        let (msg, mut fields) = (if is_element { &text[7..] } else { text }, fields.clone());
        if is_element {
            fields["sd.main"] = true.into();
        }
        remote(format!("<13>1 - - a b-1 - {text}").as_bytes(), msg, RECEIPT, fields);
    }
    // What comes twice, as RFC 5424 allows for `ip` (7.2.1).
    let twice = json!({"sd.origin.ip": ["::1", "\u{fffd}"], "facility": "user", "priority": "notice"});
    remote(b"<13>1 - - - - - [origin ip=\"::1\" ip=\"\xff\"] x", "x", RECEIPT, twice);
    let wrong = json!({"timestamp": "2026-02-30T00:00:00Z", "facility": "user", "priority": "notice"});
    remote(b"<13>1 2026-02-30T00:00:00Z - - - - - x", "x", RECEIPT, wrong);
    let far = json!({"timestamp": "9999-12-31T23:59:59Z", "facility": "user", "priority": "notice"});
    remote(b"<13>1 9999-12-31T23:59:59Z - - - - - x", "x", RECEIPT, far);
    // As many as a record can carry, and one more.
    for (count, is_text) in [(60_000, false), (60_001, true)] {
        let message = format!("<13>1 - - - - - [a{}] x", " b=\"\"".repeat(count));
        let object = object(LineKind::Syslog, &TimeZone::UTC, message.as_bytes());
        assert_eq!((object["msg"] == "x", object.contains_key("sd.a.b")), (!is_text, !is_text));
    }
}

#[test]
fn what_is_none_is_text_and_says_so() {
    for text in
        ["hi", "<192>x", "<>x", "<13x", "<1a>x", "<-1>x", "<0013>x", "[1] x", "{\"a\":1}", "1 - - - - x", "\u{fffd}\0x"]
    {
        remote(text.as_bytes(), text, RECEIPT, json!({"unparsed": true}));
    }
    for text in ["<13>1 yesterday - - - - - x", "<13>1 - - -", "<13>1 2026-01-01T00:00:00Zx - - - - - x", "<13>1  - x"]
    {
        let fields = json!({"facility": "user", "priority": "notice", "unparsed": true});
        remote(text.as_bytes(), text, RECEIPT, fields);
    }
    for blank in [&b""[..], b"\n", b"\0\r\n"] {
        assert_eq!(sent(LineKind::Syslog, &TimeZone::UTC, blank, NOW), None);
    }
}

#[test]
fn a_year_is_found() {
    let zone = TimeZone::fixed(jiff::tz::offset(-5));
    let time = |now: &str, zone: &TimeZone, stamp: &str| {
        let now: jiff::Timestamp = now.parse().unwrap();
        let object = sent(LineKind::Syslog, zone, format!("<13>{stamp} x: y").as_bytes(), now.as_nanosecond() as i64);
        serde_json::from_str::<Map<String, Value>>(&object.unwrap()).unwrap()["talos-time"].as_str().unwrap().to_owned()
    };
    for (now, stamp, expected) in [
        ("2027-01-01T00:00:05Z", "Dec 31 23:59:59", "2026-12-31T23:59:59Z"),
        ("2026-12-31T23:59:58Z", "Jan  1 00:00:03", "2027-01-01T00:00:03Z"),
        ("2026-12-31T23:59:58Z", "Jan  1 00:00:03", "2027-01-01T00:00:03Z"),
        ("2026-03-04T00:00:00Z", "Apr  3 00:00:00", "2026-04-03T00:00:00Z"),
        ("2026-03-04T00:00:00Z", "Apr  5 00:00:00", "2025-04-05T00:00:00Z"),
        ("2028-03-01T00:00:00Z", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("2029-01-15T00:00:00Z", "Feb 29 12:00:00", "2028-02-29T12:00:00Z"),
        ("2027-03-01T00:00:00Z", "Feb 29 12:00:00", "2027-03-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "Dec 31 23:59:59", "1969-12-31T23:59:59Z"),
    ] {
        assert_eq!(time(now, &TimeZone::UTC, stamp), expected, "{stamp} at {now}");
    }
    assert_eq!(time("2027-01-01T05:00:01Z", &zone, "Dec 31 23:59:59"), "2027-01-01T04:59:59Z");
    // An hour that there is not, and one that there is twice.
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert_eq!(time("2026-04-01T00:00:00Z", &berlin, "Mar 29 02:30:00"), "2026-03-29T01:30:00Z");
    assert_eq!(time("2026-11-01T00:00:00Z", &berlin, "Oct 25 02:30:00"), "2026-10-25T00:30:00Z");
}

/// What the answer of Talos' syslogd becomes when machined sends it on, at [`NOW`].
fn forwarded(answer: &str) -> String {
    let mut object: Map<String, Value> = serde_json::from_str(answer).unwrap();
    for (key, value) in [("msg", ""), ("talos-level", "info"), ("talos-service", "syslogd"), ("talos-time", RECEIPT)] {
        object.insert(key.into(), value.into());
    }
    let text = serde_json::to_string(&object).unwrap();
    // As Go writes them.
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

fn talos(message: &[u8]) -> Option<String> {
    sent(LineKind::TalosSyslog, &TimeZone::UTC, message, NOW)
}

#[track_caller]
fn as_talos(message: &[u8], answer: &str) {
    let shown = String::from_utf8_lossy(message);
    let text = format!(
        r#"{{"msg":{},"talos-level":"info","talos-service":"syslogd","talos-time":"{RECEIPT}"}}"#,
        serde_json::to_string(&shown[..shown.len().min(1024)]).unwrap()
    );
    let expected = match answer.split_once(' ') {
        Some(("ok" | "OUT", object)) => Some(forwarded(object)),
        Some(("PANIC", _)) => Some(text.replace('<', "\\u003c").replace('>', "\\u003e")),
        Some(("DROP", _)) => None,
        _ if answer == "fatal" => {
            assert!(talos(message).unwrap().contains(r#","talos-service":"syslogd""#), "{shown}");
            return;
        }
        _ => None,
    };
    assert_eq!(talos(message), expected, "{shown}");
}

#[test]
fn recorded_from_talos() {
    let mut lines = include_str!("../../../tests/data/talos_syslogd.txt").lines();
    let mut seen = 0;
    while let (Some(message), Some(answer)) = (lines.next(), lines.next()) {
        let message: String = serde_json::from_str(message.strip_prefix("IN  ").unwrap()).unwrap();
        as_talos(message.as_bytes(), answer);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

/// The priority, a time, and what may follow.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let text = "(<[0-9]{0,4}>)?(1 )?((Jan|Feb|mar|Xxx) {1,2}[0-9]{1,2} [0-9]{1,2}:[0-9]{2}:[0-6][0-9]|2026-[0-9]{2}-[0-9]{2}T[0-9:.Z+]{8,15}|-)?( [a-z\\[\\]0-9:=\"\\\\<> -]{0,12}){0,8}[\n\0]?";
    prop_oneof![text.prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..80)]
}

proptest! {
    /// What was sent is somewhere in what goes out, whatever it was taken for.
    #[test]
    fn nothing_is_dropped(message in message()) {
        for kind in [LineKind::Syslog, LineKind::LocalSyslog] {
            let Some(object) = sent(kind, &TimeZone::UTC, &message, NOW) else {
                prop_assert!(message.iter().all(|byte| b"\0\r\n".contains(byte)));
                continue;
            };
            let object: Map<String, Value> = serde_json::from_str(&object).unwrap();
            let all: String = object.values().map(|value| value.to_string()).collect();
            let shown = String::from_utf8_lossy(&message);
            for word in shown.split(|char: char| !char.is_ascii_lowercase()).filter(|word| word.len() > 3) {
                prop_assert!(all.contains(word), "{word} of {message:?} is not in {object:?}");
            }
        }
    }

    #[test]
    fn talos_never_panics_and_sees_1024_bytes(message in message(), long in any::<bool>()) {
        let mut message = message;
        if long {
            message.resize(1024, b'x');
            let cut = talos(&message);
            message.extend_from_slice(b"more");
            prop_assert_eq!(talos(&message), cut);
        } else {
            let _ = talos(&message);
        }
    }

    #[test]
    fn values_are_read_as_they_were_written(value in "[a-z\\\\\"\\] =\\[\n]{0,20}") {
        let escaped: String = value.chars().map(|char| match char {
            '"' | '\\' | ']' => format!("\\{char}"),
            char => char.to_string(),
        }).collect();
        let message = format!("<13>1 - - - - - [x@1 a=\"{escaped}\" b=\"1\"] text");
        let object = object(LineKind::Syslog, &TimeZone::UTC, message.as_bytes());
        prop_assert_eq!(&object["sd.x@1.a"], &Value::from(value));
        prop_assert_eq!((&object["sd.x@1.b"], &object["msg"]), (&"1".into(), &"text".into()));
    }
}

#[test]
fn a_process_that_the_kernel_names_stands_where_the_message_names_none() {
    use crate::parse::line::Process;
    let by = |message: &str| {
        let mut parser = LineParser::default();
        let parsed = parser.parse_from(Process { pid: 412, uid: 1000 }, message.as_bytes(), NOW).unwrap();
        let (parts, text) =
            (parsed.parts, |span| String::from_utf8_lossy(bytes(parsed.parts.line, parsed.parts.more, span)));
        let fields = parts.fields.iter().map(|field| format!("{}={}", text(field.key), text(field.value)));
        fields.filter(|field| field.contains("id=")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(by("<13>app: x"), "pid=412 uid=1000");
    assert_eq!(by("<13>app[7]: x"), "pid=7 uid=1000");
    assert_eq!(by("<13>1 - - app 8 - [x pid=\"9\"] x"), "pid=8 sd.x.pid=9 uid=1000");
    assert_eq!(by("<13>1 - - app - - [pid] x"), "pid=412 sd.pid=true uid=1000");
    assert_eq!(by("anything"), "pid=412 uid=1000");
}
