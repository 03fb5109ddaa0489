use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::stream::{Stream as Captured, StreamLimits};
use super::*;
use crate::record::{Flags, Origin, OriginHandle, OriginKind};
use crate::source::framer::Framed;

/// In the first day of the epoch.
const START: i64 = 3600 * 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;
/// From the write to the runtime's stamp.
const DELAY: i64 = 3 * MILLISECOND;

/// A container's log file, written as its runtime does.
struct Log {
    folder: tempfile::TempDir,
    format: LogFormat,
    rotations: u32,
}

impl Log {
    fn new(format: LogFormat) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), format, rotations: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("0.log")
    }

    fn write(&self, stream: &str, written_ns: i64, line: &str) {
        let (second, nanos) = ((written_ns + DELAY) / 1_000_000_000, (written_ns + DELAY) % 1_000_000_000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let stamp = format!("1970-01-01T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z");
        let line = match self.format {
            LogFormat::DockerJson => {
                let line = serde_json::json!({"log": format!("{line}\n"), "stream": stream, "time": stamp});
                format!("{line}\n")
            }
            LogFormat::Cri | LogFormat::K8sFile => format!("{stamp} {stream} F {line}\n"),
        };
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.path()).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let to = format!("0.log.20240101-{:06}", self.rotations);
        let _ = std::fs::rename(self.path(), self.folder.path().join(to));
    }

    fn question(&self, gap: Gap, is_last_attempt: bool) -> (Arc<()>, FillQuestion) {
        let open = Arc::new(());
        let file = LogFile { path: self.path(), format: self.format };
        let question =
            FillQuestion { open: Arc::downgrade(&open), target: 1, file, stream: Stream::Stdout, gap, is_last_attempt };
        (open, question)
    }
}

fn gap(before: (&str, i64), bytes: &str, head: &str) -> Gap {
    let (before, last_ns) = before;
    Gap {
        offset: before.len() as u64,
        bytes: bytes.len() as u64,
        before: Anchor { bytes: before.into(), from_ns: START, last_ns },
        head: head.into(),
    }
}

fn found(fill: Fill) -> String {
    match fill {
        Fill::Found(pieces) => String::from_utf8(pieces.bytes().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A log of `one`, `two`, `three`, `four`, 10 ms apart, with the other stream's lines in between.
fn four(format: LogFormat) -> Log {
    let log = Log::new(format);
    for (at, line) in ["one", "two", "three", "four"].into_iter().enumerate() {
        log.write("stdout", START + at as i64 * 10 * MILLISECOND, line);
        log.write("stderr", START + at as i64 * 10 * MILLISECOND, "something else");
    }
    log
}

#[test]
fn a_gap_between_what_was_captured() {
    for format in [LogFormat::Cri, LogFormat::DockerJson] {
        let log = four(format);
        let (_open, question) = log.question(gap(("one\n", START), "two\nthree\n", "four\n"), false);
        let question = FillQuestion { is_last_attempt: true, ..question };
        assert_eq!(found(Filler::default().find(&question)), "two\nthree\n");
    }
}

#[test]
fn what_follows_is_waited_for_and_must_fit() {
    let log = four(LogFormat::Cri);
    let find = |gap: Gap, is_last_attempt| {
        let (_open, question) = log.question(gap, is_last_attempt);
        Filler::default().find(&question)
    };
    let other = gap(("one\n", START), "two\nthree\n", "something longer than four\n");
    assert!(matches!(find(other, false), Fill::Never(_)));
    let short = gap(("one\n", START), "two\nthree\nfour\n", "and what is not logged yet\n");
    assert_eq!(find(short.clone(), false), Fill::NotYet);
    assert_eq!(found(find(short, true)), "two\nthree\nfour\n");
    let at_the_end = gap(("one\n", START), "two\nthree\nfour\n", "");
    assert_eq!(found(find(at_the_end, false)), "two\nthree\nfour\n");
}

#[test]
fn what_is_not_there_comes_in_parts_or_never() {
    let log = four(LogFormat::Cri);
    let mut filler = Filler::default();
    let long = gap(("three\n", START + 20 * MILLISECOND), "four\nfive\n", "six\n");
    let (_open, question) = log.question(long, false);
    assert_eq!(found(filler.find(&question)), "four\n");
    let rest = Gap { offset: question.gap.offset + 5, bytes: 5, ..gap(("four\n", START), "", "six\n") };
    let (_open, question) = log.question(rest.clone(), false);
    assert_eq!(filler.find(&question), Fill::NotYet);
    let (_open, question) = log.question(rest, true);
    assert!(matches!(filler.find(&question), Fill::Never(_)));
    let (_open, question) = log.question(gap(("unheard\n", START), "x", ""), false);
    assert_eq!(Filler::default().find(&question), Fill::NotYet);
    let nowhere = LogFile { path: "/nonexistent/0.log".into(), format: LogFormat::Cri };
    let question = FillQuestion { file: nowhere, ..question };
    assert_eq!(Filler::default().find(&question), Fill::NotYet);
    assert!(matches!(Filler::default().find(&FillQuestion { is_last_attempt: true, ..question }), Fill::Never(_)));
}

#[test]
fn what_was_lost_before_anything_was_captured() {
    let log = Log::new(LogFormat::Cri);
    let line = |at: usize| format!("a line that is long enough, number {at}");
    (0..10).for_each(|at| log.write("stdout", START + at as i64, &line(at)));
    let missed = format!("{}\n{}\n", line(0), line(1));
    let head = (2..10).map(|at| line(at) + "\n").collect::<String>();
    let before = Gap { before: Anchor::default(), ..gap(("", START), &missed, &head) };
    let (_open, question) = log.question(before, false);
    assert_eq!(found(Filler::default().find(&question)), missed);
}

#[test]
fn of_lines_that_are_the_same_the_right_ones() {
    let log = Log::new(LogFormat::Cri);
    for at in 0..10 {
        log.write("stdout", START + at * 10 * MILLISECOND, if at == 6 { "tock" } else { "tick" });
    }
    let before = ("tick\ntick\n", START + 50 * MILLISECOND);
    let (_open, question) = log.question(gap(before, "tock\ntick\n", ""), false);
    assert_eq!(found(Filler::default().find(&question)), "tock\ntick\n");
}

#[test]
fn what_docker_has_replaced_is_not_guessed() {
    let log = Log::new(LogFormat::DockerJson);
    for line in ["one", "t\u{fffd}o", "three"] {
        log.write("stdout", START, line);
    }
    let (_open, question) = log.question(gap(("one\n", START), "t?o\n", ""), true);
    assert!(matches!(Filler::default().find(&question), Fill::Never(_)));
}

/// The gap begins beyond what is looked at in one go, and across its end.
#[test]
fn a_place_far_into_the_file() {
    let log = Log::new(LogFormat::Cri);
    let lines: Vec<String> = (0..6000).map(|at| format!("line {at} {}", "x".repeat(40))).collect();
    let text = |range: std::ops::Range<usize>| lines[range].iter().map(|line| line.clone() + "\n").collect::<String>();
    let mut file = String::new();
    lines.iter().for_each(|line| file += &format!("1970-01-01T01:00:00Z stdout F {line}\n"));
    std::fs::write(log.path(), file).unwrap();
    for at in [100, 1270, 1280, 1300, 5990] {
        let before = text(at - 10..at);
        let (_open, question) = log.question(gap((&before, START), &text(at..at + 5), &text(at + 5..at + 9)), false);
        assert_eq!(found(Filler::default().find(&question)), text(at..at + 5), "{at}");
    }
}

/// A captured stream, and what came out of it.
struct Run {
    stream: Captured,
    filler: Filler,
    seen: Vec<u8>,
    lost: u64,
    last_ns: i64,
}

impl Run {
    fn new(hold: usize) -> Self {
        let limits = StreamLimits { max_line: 1 << 20, hold, ahead: 1 << 20 };
        let mut stream = Captured::new(limits, 0);
        stream.fill_gaps();
        stream.name(OriginHandle::new(Origin::new(OriginKind::Container, "c")), &mut |_, _| {});
        Self { stream, filler: Filler::default(), seen: Vec::new(), lost: 0, last_ns: 0 }
    }

    fn on(&mut self, what: impl FnOnce(&mut Captured, &mut super::super::stream::Out<'_>)) {
        let Self { stream, seen, lost, last_ns, .. } = self;
        what(stream, &mut |_, framed| match framed {
            Framed::Line { time_ns, flags, body } => {
                seen.extend_from_slice(body);
                if !flags.contains(Flags::PARTIAL) {
                    seen.push(b'\n');
                }
                assert!(time_ns >= *last_ns, "times go back");
                *last_ns = time_ns;
            }
            Framed::Lost { bytes, .. } => *lost += bytes,
        });
    }

    /// Asks until there is nothing more to be had.
    fn fill(&mut self, log: &Log, is_last: bool) {
        while let Some(gap) = self.stream.gap() {
            let (_open, question) = log.question(gap, is_last);
            match self.filler.find(&question) {
                Fill::Found(pieces) => self.on(|stream, out| stream.fill(&pieces, out)),
                Fill::NotYet => return,
                Fill::Never(why) => panic!("{why}: {question:?}", question = question.gap),
            }
        }
    }
}

proptest! {
    /// Whatever is missed, and whenever the runtime writes and rotates its file: the stream comes out whole, in order.
    #[test]
    fn every_gap_is_filled(
        lines in proptest::collection::vec(("[ab]{0,3}", 0..4u8, 0..12u8), 1..80),
        lag in 0..6usize,
        docker: bool,
        hold in 20..400usize,
    ) {
        let mut log = Log::new(if docker { LogFormat::DockerJson } else { LogFormat::Cri });
        let mut run = Run::new(hold);
        let at = |index: usize| START + index as i64 * 10 * MILLISECOND;
        let all: String = lines.iter().map(|(line, ..)| format!("{line}\n")).collect();
        // The first line is never missed: nothing would tell where so few bytes begin.
        let (mut offset, mut logged) = (0u64, 0);
        for (index, (line, fate, event)) in lines.iter().enumerate() {
            let bytes = format!("{line}\n");
            let here = offset;
            offset += bytes.len() as u64;
            match fate {
                0 if index > 0 => {}
                1 if index > 0 => run.on(|stream, out| stream.missed(here, at(index), bytes.len() as u64, out)),
                _ => run.on(|stream, out| stream.data(here, at(index), 1, bytes.as_bytes(), out)),
            }
            while logged + lag < index {
                log.write("stdout", at(logged), &lines[logged].0);
                logged += 1;
            }
            if *event == 0 {
                log.rotate();
            }
            if *event < 4 {
                run.on(|stream, out| stream.give_up_hole(out));
                run.fill(&log, false);
            }
        }
        while logged < lines.len() {
            log.write("stdout", at(logged), &lines[logged].0);
            logged += 1;
        }
        run.on(|stream, out| { stream.settle(offset, at(lines.len()), out); });
        run.fill(&log, false);
        run.fill(&log, true);
        run.on(Captured::flush);
        prop_assert_eq!(String::from_utf8_lossy(&run.seen), all);
        prop_assert_eq!(run.lost, 0);
    }
}

/// More is missed than is captured, for long: what is held is bounded, and the file has the rest.
#[test]
fn a_flood() {
    let log = Log::new(LogFormat::Cri);
    let mut run = Run::new(64 << 10);
    let (mut offset, mut all) = (0u64, String::new());
    for number in 0..30_000i64 {
        let line = format!("line {number} {}", "x".repeat(number as usize % 200));
        let time = START + number * 2000;
        if number % 7 < 3 {
            run.on(|stream, out| stream.data(offset, time, 1, format!("{line}\n").as_bytes(), out));
        }
        log.write("stdout", time, &line);
        offset += line.len() as u64 + 1;
        all += &(line + "\n");
        if number % 1000 == 0 {
            run.on(|stream, out| {
                while stream.has_hole() {
                    stream.give_up_hole(out)
                }
            });
            run.fill(&log, false);
        }
    }
    run.on(|stream, out| {
        stream.settle(offset, START * 2, out);
    });
    run.fill(&log, true);
    run.on(Captured::flush);
    assert!(run.seen == all.as_bytes(), "{} of {} bytes", run.seen.len(), all.len());
    assert_eq!(run.lost, 0);
}
