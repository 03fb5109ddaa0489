//! Objects as Go's `encoding/json` reads and writes them, lines as Talos reads them, and messages as its syslogd does: damaged in
//! many ways, and given to Go itself.
//!
//! Go's answers to a fixed list of lines are recorded and checked by the parser's own tests; this one asks the Go that
//! is installed about others.

#[path = "go/service_lines.rs"]
mod service_lines;

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ringward::encode::simd::{EscapeStyle, escape_into};
use ringward::parse::json::JsonParser;
use ringward::parse::line::{LineKind, LineParser};
use serde_json::{Map, Value};
use service_lines::{Random, ServiceLines};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/json_objects.go");
const TALOS_PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/talos_lines.go");
const SYSLOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/syslog");
const LINES: usize = 40_000;
const SERVICE: &str = "svc";
const NOW: &str = "2026-01-02T03:04:05.123456789Z";

/// Lines made of recorded ones: parts of two, with bytes changed.
fn lines() -> Vec<Vec<u8>> {
    let golden = include_str!("go/json_objects.txt");
    let unhex = |text: &str| {
        let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect::<Vec<u8>>()
    };
    let seeds: Vec<Vec<u8>> = golden.lines().step_by(2).map(unhex).filter(|line| !line.is_empty()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let special = b"\"\\{}[],:u0-.eE+\xff\xe2\x80\xa8 tn";
    let mut make = || {
        let mut line = seeds[random.below(seeds.len())].clone();
        if random.below(2) == 0 {
            // Another line's value in the place of this one's.
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            let at = random.below(line.len());
            line.splice(at..at, other[from..].iter().copied());
        }
        for _ in 0..random.below(3) {
            let at = random.below(line.len());
            match random.below(3) {
                0 => line[at] = special[random.below(special.len())],
                1 => line.insert(at, special[random.below(special.len())]),
                _ => drop(line.remove(at)),
            }
            if line.is_empty() {
                line.push(b'{');
            }
        }
        line
    };
    (0..LINES).map(|_| make()).collect()
}

fn hex(lines: &[Vec<u8>]) -> String {
    lines.iter().map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n").collect()
}

fn ours(parser: &mut JsonParser, line: &[u8]) -> Vec<u8> {
    if !parser.read(line, 0) {
        return b"no".to_vec();
    }
    let mut out = b"ok {".to_vec();
    for (index, (key, value, is_json)) in parser.members(line).enumerate() {
        out.extend((index > 0).then_some(b','));
        out.push(b'"');
        escape_into(&mut out, key, EscapeStyle::Html);
        out.extend_from_slice(b"\":");
        if is_json {
            out.extend_from_slice(value);
        } else {
            out.push(b'"');
            escape_into(&mut out, value, EscapeStyle::Html);
            out.push(b'"');
        }
    }
    out.push(b'}');
    out
}

#[test]
fn damaged_objects_are_what_go_takes_them_for() {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("skipped: no Go is installed; its recorded answers are checked by the tests of parse/json");
        return;
    }
    let mut go = Command::new("go");
    let mut go = go.args(["run", PROGRAM]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = lines();
    let hex = hex(&lines);
    let mut input = go.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(hex.as_bytes()));
    let mut parser = JsonParser::default();
    let (mut answers, mut objects) = (0, 0);
    for (answer, line) in BufReader::new(go.stdout.take().unwrap()).split(b'\n').zip(&lines) {
        let (answer, found) = (answer.unwrap(), ours(&mut parser, line));
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        assert!(found == answer, "{:?}\n{}\ninstead of\n{}", shown(line), shown(&found), shown(&answer));
        answers += 1;
        objects += usize::from(found != b"no");
    }
    writer.join().unwrap().unwrap();
    assert!(go.wait().unwrap().success());
    assert!(answers == LINES && objects > LINES / 10, "{objects} objects of {answers}");
}

/// Our answer to lines, by the program that people run.
fn encode() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringward"));
    command.args(["encode", "--as", "talos-service", "--service", SERVICE, "--now", NOW]);
    command
}

/// Talos' algorithm on Go's own library.
fn oracle(folder: &Path) -> Command {
    let program = folder.join("talos_lines");
    let built = Command::new("go").arg("build").arg("-o").arg(&program).arg(TALOS_PROGRAM).status().unwrap();
    assert!(built.success());
    let mut command = Command::new(program);
    command.args([SERVICE, NOW]);
    command
}

/// Starts a program that gets the first `count` lines; what it answers.
fn answers(mut command: Command, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = BufWriter::with_capacity(1 << 18, child.stdin.take().unwrap());
    std::thread::spawn(move || {
        let mut lines = ServiceLines::new();
        // One that does not read on has not answered either.
        let mut write = || input.write_all(lines.next()).and_then(|()| input.write_all(b"\n"));
        (0..count).try_for_each(|_| write())
    });
    let answers = BufReader::with_capacity(1 << 18, child.stdout.take().unwrap()).split(b'\n').map(Result::unwrap);
    // After the last answer: it has ended, and well.
    answers.chain(std::iter::from_fn(move || {
        assert!(child.wait().unwrap().success());
        None
    }))
}

/// `RINGWARD_TEST_LINES=2000000` asks about so many.
#[test]
fn lines_of_services_become_what_talos_makes_of_them() {
    if Command::new("go").arg("version").output().is_err() {
        eprintln!("skipped: no Go is installed; the recorded lines are checked by the tests of parse/talos");
        return;
    }
    let count = std::env::var("RINGWARD_TEST_LINES").map_or(10_000, |lines| lines.parse().expect("a number of lines"));
    let folder = tempfile::tempdir().unwrap();
    let (mut ours, mut talos) = (answers(encode(), count), answers(oracle(folder.path()), count));
    let mut lines = ServiceLines::new();
    let (mut objects, mut timed) = (0, 0);
    for number in 0..count {
        let (line, ours, talos) = (lines.next(), ours.next(), talos.next());
        let shown = |text: &Option<Vec<u8>>| text.as_ref().map(|text| text.escape_ascii().to_string());
        assert!(
            ours == talos,
            "{number}: {}\n{:?}\ninstead of\n{:?}",
            line.escape_ascii(),
            shown(&ours),
            shown(&talos)
        );
        let answer = talos.unwrap();
        timed += usize::from(!answer.ends_with(format!("\"{NOW}\"}}").as_bytes()));
        objects += usize::from(!answer.starts_with(b"{\"msg\""));
    }
    assert_eq!((ours.next(), talos.next()), (None, None));
    eprintln!("{count} lines, {objects} with fields, {timed} with a time of their own or fields behind it");
    assert!(objects > count / 4 && timed > count / 10);
}

/// Messages with parts of others in their places.
fn messages() -> Vec<Vec<u8>> {
    let seeds: [&[&'static str]; 9] = [
        &["<6>", "<165>", "<13>", "<999>", "<1000>", "<>", "13>", "<6x>", " <6>", "<13> ", "x<6>", "<00000000>"],
        &["", "", "1 ", "1 ", "1", "2 ", "12 ", "1  ", "0 "],
        &[
            "Mar  3 12:55:18",
            "2003-10-11T22:14:15.003Z",
            "mAR 13 2:55:18",
            "Mar 3 2:55:18.5",
            "Feb 29 00:00:00",
            "Feb 30 00:00:00",
            "Mar 13 24:00:00",
            "Mar 13 12:55:60",
            "Mar  13 2:55:18",
            "Mar 1 2:55:18,25",
            "2003-02-31T22:14:15Z",
            "2003-10-11T22:14:15.1234567Z",
            "+003-+1-31T+2:14:15.+",
            "2003-10-11T22:14:15.123456-07:30",
            "2003-10-11T22:14:15+00:00",
            "2003-10-11T22:14:15.Z",
            "0000-01-01T00:00:00-01:00",
            "-",
            "2003-10-11t22:14:15Z",
            "2003-10-11T22:14:15",
            "2003-10-11T22:14",
            "",
        ],
        &[" ", " ", " ", "  ", ""],
        &["box ", "", "mymachine.example.com ", "- ", "\u{e9} "],
        &[
            "app[12]: ",
            "evntslog - ID47 ",
            "app: ",
            "app[12] ",
            "a-tag-that-has-more-than-thirty-two-bytes[1]: ",
            ": ",
            "[x]: ",
            "- - - ",
            "a b c d ",
            "",
        ],
        &["[exampleSDID@32473 iut=\"3\"]", "- ", "[a b=\"]\"] ", "[a b=\"] c\"] ", "[", "-x", ""],
        &[" An event", "text <&>", "", " ", "\u{feff}x", "x]: y", "  x  "],
        &["", "\n", "\0", " \n"],
    ];
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut make = || {
        let mut part = |parts: &[&'static str]| {
            // The first ones are those that are right.
            let among = if random.below(6) == 0 { parts.len() } else { parts.len().min(4) };
            parts[random.below(among)].bytes()
        };
        let mut message: Vec<u8> = seeds.iter().flat_map(|parts| part(parts)).collect();
        for _ in 0..random.below(6) / 3 {
            let at = random.below(message.len() + 1);
            match random.below(4) {
                0 => message.truncate(at),
                1 => message.insert(at, b" :]>[\xff1-"[random.below(8)]),
                2 if at < message.len() => drop(message.remove(at)),
                _ => drop(message.splice(at..at, std::iter::repeat_n(b'y', random.below(1100)))),
            }
        }
        message
    };
    (0..LINES).map(|_| make()).collect()
}

/// Our answer in the form of the program's, but for the text of what Talos would end at.
fn syslogd(parser: &mut LineParser, message: &[u8], now_ns: i64) -> Option<Map<String, Value>> {
    let parts = parser.parse(LineKind::TalosSyslog, message, now_ns)?.parts;
    let text = |span| String::from_utf8_lossy(parts.bytes(span)).into_owned();
    let value = |text: String, is_json| if is_json { serde_json::from_str(&text).unwrap() } else { Value::from(text) };
    Some(parts.fields.iter().map(|field| (text(field.key), value(text(field.value), field.is_json))).collect())
}

#[test]
fn damaged_messages_are_what_talos_takes_them_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("syslogd");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(SYSLOG).output();
    if !built.as_ref().is_ok_and(|built| built.status.success()) {
        eprintln!("skipped: there is no Go, or no library for it: {built:?}; parse/syslog has recorded answers");
        return;
    }
    let messages = messages();
    let mut syslogd_of_talos =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).env("TZ", "UTC").spawn().unwrap();
    let (mut input, hex) = (syslogd_of_talos.stdin.take().unwrap(), hex(&messages));
    let writer = std::thread::spawn(move || input.write_all(hex.as_bytes()));
    let mut parser = LineParser::default();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    let now_ns = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    for (answer, message) in BufReader::new(syslogd_of_talos.stdout.take().unwrap()).lines().zip(&messages) {
        let (answer, found) = (answer.unwrap(), syslogd(&mut parser, message, now_ns));
        let (kind, expected) = match answer.split_once(' ') {
            Some((_, object)) => ("ok", Some(serde_json::from_str(object).unwrap())),
            None if answer == "drop" => ("drop", None),
            None => ("fatal", Some(Map::new())),
        };
        assert_eq!(found, expected, "{:?}: {answer}", String::from_utf8_lossy(message));
        *seen.entry(kind).or_default() += 1;
    }
    writer.join().unwrap().unwrap();
    assert!(syslogd_of_talos.wait().unwrap().success());
    assert!(seen.len() == 3 && seen["ok"] > LINES / 20 && seen.values().sum::<usize>() == LINES, "{seen:?}");
}
