use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SHIM: &str = r#"time="2020-02-21T10:31:27.810781647Z" level=info msg="release sandbox" arch=amd64 container=a1 name=kata-runtime pid=14314 source=virtcontainers subsystem=sandbox"#;
const AGENT: &str = r#"{"msg":"announce","level":"INFO","ts":"2023-06-07T10:17:23.537542429Z","pid":"1","subsystem":"baremount","name":"kata-agent","source":"agent"}"#;
const KERNEL: &str = "[    0.395399] random: crng init done";

/// Time, level, body and fields of each piece.
fn records(line: &str) -> Vec<(Option<i64>, Level, String, Value)> {
    let mut parser = KataParser::default();
    let mut times = TimeReader::default();
    let record = |piece| {
        let parsed = parser.parse(&mut times, piece);
        let parts = parsed.parts;
        let text = |span| String::from_utf8_lossy(bytes(parts.line, parts.more, span)).into_owned();
        let value = |field: &FieldSpan| match field.is_json {
            true => serde_json::from_str(&text(field.value)).unwrap(),
            false => Value::from(text(field.value)),
        };
        let fields = parts.fields.iter().map(|field| (text(field.key), value(field))).collect();
        (parsed.time_ns, parsed.level, text(parts.body), Value::Object(fields))
    };
    split(line.as_bytes()).map(record).collect()
}

fn pieces(line: &str) -> Vec<&str> {
    split(line.as_bytes()).map(|piece| std::str::from_utf8(piece).unwrap()).collect()
}

#[test]
fn the_shims_pairs_and_the_agents_objects() {
    let [(time, level, body, fields)] = &records(SHIM)[..] else { panic!() };
    assert_eq!((*time, *level, body.as_str()), (Some(1_582_281_087_810_781_647), Level::Info, "release sandbox"));
    assert_eq!(fields["pid"], 14314);
    let [(time, level, body, fields)] = &records(&AGENT.replace("INFO", "ERRO"))[..] else { panic!() };
    assert_eq!((*time, *level, body.as_str()), (Some(1_686_133_043_537_542_429), Level::Err, "announce"));
    assert_eq!(fields, &json!({"pid": "1", "subsystem": "baremount", "name": "kata-agent", "source": "agent"}));
    for (name, level) in
        [("CRIT", Level::Crit), ("WARN", Level::Warning), ("DEBG", Level::Debug), ("TRCE", Level::Debug)]
    {
        assert_eq!(records(&AGENT.replace("INFO", name))[0].1, level);
    }
}

#[test]
fn what_the_guest_wrote_is_the_record() {
    let console = |line: &str| {
        format!(
            r#"time="2020-02-21T10:31:27Z" level=debug msg="reading guest console" name=containerd-shim-v2 pid=7 sandbox=s1 source=virtcontainers vmconsole={line:?}"#
        )
    };
    let [(time, level, body, fields)] = &records(&console(&AGENT.replace("INFO", "WARN")))[..] else { panic!() };
    assert_eq!((*time, *level, body.as_str()), (Some(1_582_281_087_000_000_000), Level::Warning, "announce"));
    let expected = json!({
        "ts": "2023-06-07T10:17:23.537542429Z", "pid": "1", "subsystem": "baremount", "name": "kata-agent",
        "source": "agent", "sandbox": "s1", "shim_level": "debug", "shim_msg": "reading guest console",
        "shim_name": "containerd-shim-v2", "shim_pid": 7, "shim_source": "virtcontainers",
    });
    assert_eq!(fields, &expected);
    let [(_, level, body, fields)] = &records(&console(KERNEL))[..] else { panic!() };
    assert_eq!((*level, body.as_str(), &fields["name"]), (Level::Debug, KERNEL, &json!("containerd-shim-v2")));
    assert!(fields.get("unparsed").is_none());
    let [(.., body, fields)] = &records(&console(&AGENT[..40]))[..] else { panic!() };
    assert_eq!((body.as_str(), &fields["unparsed"]), (&AGENT[..40], &json!(true)));
    let old = SHIM.replace("release sandbox", r#"time=\"2020-02-21T10:31:28Z\" level=error msg=\"no\" pid=9"#);
    let [(time, level, body, fields)] = &records(&old.replace("virtcontainers", "agent"))[..] else { panic!() };
    assert_eq!((*time, *level, body.as_str()), (Some(1_582_281_087_810_781_647), Level::Err, "no"));
    assert_eq!(
        (&fields["pid"], &fields["shim_pid"], &fields["ts"]),
        (&json!(9), &json!(14314), &json!("2020-02-21T10:31:28Z"))
    );
}

#[test]
fn records_are_found_again_in_what_is_glued() {
    let cut = &AGENT[..50];
    for (glued, expected) in [
        (format!("{KERNEL}{AGENT}"), vec![KERNEL, AGENT]),
        (format!("{AGENT}{KERNEL}"), vec![AGENT, KERNEL]),
        (format!("{AGENT}{AGENT} {SHIM}"), vec![AGENT, AGENT, SHIM]),
        (format!("{SHIM}{SHIM}"), vec![SHIM, SHIM]),
        (format!("{SHIM}{KERNEL}"), vec![SHIM, KERNEL]),
        (format!("{SHIM}{AGENT}{KERNEL}"), vec![SHIM, AGENT, KERNEL]),
        (format!("{cut}{AGENT}"), vec![cut, AGENT]),
        (format!("{cut}{KERNEL}"), vec![]),
        (format!("{} {SHIM}", &SHIM[..60]), vec![&SHIM[..60], SHIM]),
        (SHIM.replace("pid=14314", "pid=14"), vec![]),
        (format!("uptime=\"1\" {KERNEL}"), vec![]),
    ] {
        let expected = if expected.is_empty() { vec![glued.as_str()] } else { expected };
        let trimmed: Vec<_> = pieces(&glued).into_iter().map(str::trim_end).collect();
        assert_eq!(trimmed, expected, "{glued}");
    }
    let marked: Vec<_> =
        records(&format!("{cut}{AGENT}{KERNEL}")).iter().map(|record| record.3.get("unparsed").is_some()).collect();
    assert_eq!(marked, [true, false, true]);
    assert!(pieces("  ").is_empty());
}

/// Each of these would take minutes if it were looked through again for each beginning in it.
#[test]
fn what_only_begins_is_looked_at_once() {
    for part in [
        r#"{"msg":"#,
        r#"{"msg":{},"#,
        r#"{"msg":["#,
        r#"time="".""#,
        r#"time="{"#,
        r#"{"msg":"x"#,
        "{",
        r#"time="" a={"#,
    ] {
        let line = part.repeat((1 << 20) / part.len());
        let mut parser = KataParser::default();
        let mut len = 0;
        for piece in split(line.as_bytes()) {
            len += piece.iter().filter(|byte| **byte != b' ').count();
            if len < 10_000 {
                parser.parse(&mut TimeReader::default(), piece);
            }
        }
        assert_eq!(len, line.len() - line.matches(' ').count(), "{part}");
    }
}

proptest! {
    /// Whatever comes, every byte but white space is in a piece.
    #[test]
    fn nothing_is_left_out(
        parts in proptest::collection::vec(prop_oneof![
            Just(SHIM.to_owned()), Just(AGENT.to_owned()), Just(KERNEL.to_owned()), "[ -~]{0,12}",
            (0..AGENT.len()).prop_map(|at| AGENT[..at].to_owned()), (0..SHIM.len()).prop_map(|at| SHIM[at..].to_owned()),
        ], 0..8),
        noise in proptest::collection::vec(any::<u8>(), 0..30),
    ) {
        let line = [parts.concat().as_bytes(), &noise].concat();
        let mut parser = KataParser::default();
        let mut put = Vec::<u8>::new();
        for piece in split(&line) {
            put.extend(piece.iter().filter(|byte| !byte.is_ascii_whitespace()));
            parser.parse(&mut TimeReader::default(), piece);
        }
        let expected: Vec<u8> = line.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        prop_assert_eq!(put, expected);
    }
}
