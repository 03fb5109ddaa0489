//! Objects as Go's `encoding/json` reads and writes them, and lines as Talos reads them: damaged in many ways, and given
//! to Go itself.
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
use service_lines::{Random, ServiceLines};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/json_objects.go");
const TALOS_PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/talos_lines.go");
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
    let hex: String =
        lines.iter().map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n").collect();
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
