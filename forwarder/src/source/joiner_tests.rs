use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

fn joiner(grouping: Grouping, max_lines: usize, max_bytes: usize) -> Joiner {
    Joiner::new(Arc::new(JoinOptions { grouping, max_lines, max_bytes, timeout: Duration::from_secs(1) }))
}

fn indented() -> Grouping {
    Grouping::Continuation(Regex::new(r"^\s").unwrap())
}

/// `…` behind a line marks a part of one; `|` is where everything is flushed.
fn records(joiner: &mut Joiner, lines: &[&str]) -> Vec<(i64, String)> {
    let mut seen = Vec::new();
    let mut out = |joined: Joined<'_>| {
        let mark = if joined.flags.contains(Flags::PARTIAL) { "…" } else { "" };
        seen.push((joined.time_ns, format!("{}{mark}", String::from_utf8_lossy(joined.body))));
    };
    for (time, line) in lines.iter().enumerate() {
        match line.strip_suffix('…') {
            _ if *line == "|" => joiner.flush(&mut out),
            Some(part) => joiner.push(time as i64, Flags::PARTIAL, part.as_bytes(), &mut out),
            None => joiner.push(time as i64, Flags::NONE, line.as_bytes(), &mut out),
        }
    }
    joiner.flush(&mut out);
    assert!(!joiner.is_open());
    seen
}

fn texts(grouping: Grouping, max_lines: usize, max_bytes: usize, lines: &[&str]) -> Vec<String> {
    records(&mut joiner(grouping, max_lines, max_bytes), lines).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_group_has_the_time_of_its_first_line() {
    let got = records(&mut joiner(indented(), 100, 100), &["a", " b", "c", "|", " d", "", " "]);
    let expected = [(0, "a\n b"), (2, "c"), (4, " d"), (5, "\n ")];
    assert_eq!(got, expected.map(|(time, text)| (time, text.to_owned())));
}

#[test]
fn what_hits_a_bound_goes_out_and_the_next_begins() {
    assert_eq!(texts(indented(), 2, 100, &["a", " b", " c", " d", " e"]), ["a\n b", " c\n d", " e"]);
    assert_eq!(
        texts(indented(), 100, 6, &["a", " b", " c", " dddddddd", " e", "ffffffff"]),
        ["a\n b", " c", " dddddddd", " e", "ffffffff"]
    );
    let go = || Grouping::traces(&[crate::parse::multiline::Language::Go]);
    let lines = ["panic: x", "", "goroutine 1 [running]:", "main.main()", "\t/a.go:1", "x"];
    assert_eq!(texts(go(), 3, 100, &lines), ["panic: x\n\ngoroutine 1 [running]:", "main.main()\n\t/a.go:1", "x"]);
}

#[test]
fn a_part_of_a_line_ends_its_group_and_the_rest_is_no_other_line() {
    assert_eq!(texts(indented(), 100, 100, &["a", " b…", "c", " d", "e"]), ["a\n b…", "c\n d", "e"]);
    let go = Grouping::traces(&[crate::parse::multiline::Language::Go]);
    assert_eq!(texts(go, 100, 100, &["x…", "panic: y…", "z", "w"]), ["x…", "panic: y…", "z", "w"]);
}

#[test]
fn lines_that_stand_alone_wait_for_nothing() {
    let mut joiner = joiner(Grouping::traces(&crate::parse::multiline::Language::ALL), 100, 1000);
    let mut seen = 0;
    for line in ["2026-01-02 started", "{\"msg\":\"x\"}", "level=info msg=y", ""] {
        joiner.push(1, Flags::NONE, line.as_bytes(), &mut |joined| seen += usize::from(!joined.is_before));
        assert!(!joiner.is_open());
    }
    assert_eq!(seen, 4);
}

proptest! {
    /// Bodies, one newline for each record that is not partial: what comes in goes out.
    #[test]
    fn every_byte_goes_out(
        lines in proptest::collection::vec(("[ a-c]{0,9}", prop::bool::weighted(0.2), prop::bool::weighted(0.1)), 0..40),
        max_lines in 1..5usize,
        max_bytes in 1..20usize,
        alone in any::<bool>(),
    ) {
        let grouping = if alone { Grouping::traces(&crate::parse::multiline::Language::ALL) } else { indented() };
        let mut joiner = joiner(grouping, max_lines, max_bytes);
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let mut out = |joined: Joined<'_>| {
            assert!(joined.body.len() <= max_bytes || !joined.body.contains(&b'\n'));
            output.extend_from_slice(joined.body);
            if !joined.flags.contains(Flags::PARTIAL) {
                output.push(b'\n');
            }
        };
        for (line, is_part, flush) in &lines {
            input.extend_from_slice(line.as_bytes());
            if !is_part {
                input.push(b'\n');
            }
            joiner.push(1, if *is_part { Flags::PARTIAL } else { Flags::NONE }, line.as_bytes(), &mut out);
            if *flush {
                joiner.flush(&mut out);
            }
        }
        joiner.flush(&mut out);
        prop_assert_eq!(output, input);
    }
}
