//! Objects as Go's `encoding/json` reads and writes them: damaged in many ways, and given to Go itself.
//!
//! Go's answers to a fixed list of lines are recorded and checked by the parser's own tests; this one asks the Go that
//! is installed about others.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use ringward::encode::simd::{EscapeStyle, escape_into};
use ringward::parse::json::JsonParser;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/json_objects.go");
const LINES: usize = 40_000;

/// Pseudo-random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

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
