//! Commands that are fed, and programs that listen on a unix socket.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringward::destination::DestinationConfig;
use ringward::io::IoMode;

use crate::bench::{AMPLE, Bench, PATIENCE, assert_numbers, destination, number_of, wait_until};
use crate::receiver::{healthy, listen, take};

crate::on_both_backends!(
    a_command_gets_every_line_and_the_end,
    a_command_that_ends_is_started_again_where_it_stopped_reading,
    a_command_that_is_not_there_disturbs_nobody_and_is_tried_again,
    a_command_that_does_not_read_blocks_nothing_and_is_ended,
    a_listening_program_gets_every_line,
    one_that_closes_with_everything_read_misses_and_doubles_nothing,
    one_that_closes_with_data_unread_misses_nothing,
    one_that_is_always_behind_does_not_make_memory_grow,
    one_that_closes_its_sending_side_is_not_taken_for_one_that_read,
    a_socket_that_appears_later_gets_the_backlog,
);

/// A destination that runs `script` with `folder` as its first argument.
fn command(script: &str, folder: &Path) -> DestinationConfig {
    destination("a", &format!("exec:/bin/sh -c '{script}' {}", folder.display()))
}

fn socket(path: &Path) -> DestinationConfig {
    destination("a", &format!("unix://{}", path.display()))
}

fn listener() -> (tempfile::TempDir, PathBuf, UnixListener) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    (folder, path, listener)
}

fn numbers_in(file: &Path) -> Vec<u64> {
    let text = std::fs::read(file).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).filter_map(number_of).collect()
}

/// The next `count` lines, read byte by byte: not one more.
fn read_exactly(stream: &mut UnixStream, count: usize) -> Vec<u64> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = Vec::new();
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.extend(byte);
        if byte == *b"\n" {
            numbers.extend(number_of(&line));
            line.clear();
        }
    }
    numbers
}

fn a_command_gets_every_line_and_the_end(mode: IoMode) {
    let folder = tempfile::tempdir().unwrap();
    // Only what has seen the end of its input renames the file.
    let script = "cat > $0/part && echo $RINGWARD_DESTINATION > $0/name && mv $0/part $0/whole";
    let bench = Bench::start(mode, AMPLE, vec![command(script, folder.path())]);
    let counters = bench.counters("a");
    bench.send(0..20_000);
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_numbers(&numbers_in(&folder.path().join("whole")), 0..20_000);
    assert_eq!(std::fs::read_to_string(folder.path().join("name")).unwrap(), "a\n");
    assert_eq!((counters.acknowledged.value(), counters.resent.value()), (20_000, 0));
}

/// A shell reads lines byte by byte: what is behind the 50th stays in the pipe.
fn a_command_that_ends_is_started_again_where_it_stopped_reading(mode: IoMode) {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"n=0; while [ $n -lt 50 ] && IFS= read -r line; do echo "$line" >> $0/lines; n=$((n+1)); done"#;
    let bench = Bench::start(mode, AMPLE, vec![command(script, folder.path())]);
    bench.send(0..500);
    let counters = bench.counters("a");
    wait_until("everything is read", || counters.acknowledged.value() == 500);
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_numbers(&numbers_in(&folder.path().join("lines")), 0..500);
    assert!(counters.connects.value() >= 10, "{counters}");
}

fn a_command_that_is_not_there_disturbs_nobody_and_is_tried_again(mode: IoMode) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let (tcp, endpoint) = listen();
    let missing = destination("a", &format!("exec:{} {}", program.display(), folder.path().display()));
    let bench = Bench::start(mode, AMPLE, vec![missing, destination("b", &endpoint)]);
    bench.send(0..100);
    assert_numbers(&take(&healthy(tcp), 100), 0..100);
    let counters = bench.counters("a");
    wait_until("the start was tried twice", || counters.refused.value() > 1);
    let error = counters.last_error().unwrap();
    assert!(error.contains("could not start") && error.contains("No such file"), "{error}");
    // Made under another name: a file that is being written can't be run.
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/bin/sh\ncat >> $1/lines\n").unwrap();
    assert!(std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    std::fs::rename(&script, &program).unwrap();
    wait_until("it was started", || counters.acknowledged.value() == 100);
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_numbers(&numbers_in(&folder.path().join("lines")), 0..100);
}

fn a_command_that_does_not_read_blocks_nothing_and_is_ended(mode: IoMode) {
    let folder = tempfile::tempdir().unwrap();
    // Two processes: the whole group is asked to end.
    let script = "echo $$ > $0/pid; sleep 1000; echo on";
    let bench = Bench::start(mode, AMPLE, vec![command(script, folder.path())]);
    bench.send(0..10_000);
    let written = || std::fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
    wait_until("it runs", || written().ends_with('\n'));
    let counters = bench.counters("a");
    wait_until("its pipe is full", || counters.sent_bytes.value() >= 64 << 10);
    let report = &bench.finish(Duration::from_millis(200))["a"];
    assert_eq!(counters.acknowledged.value(), 0);
    assert_eq!(report.unsent + report.unconfirmed, 10_000, "{report:?}");
    let stat = PathBuf::from(format!("/proc/{}/stat", written().trim()));
    let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    wait_until("it has ended", gone);
}

fn a_listening_program_gets_every_line(mode: IoMode) {
    let (_folder, path, listener) = listener();
    let bench = Bench::start(mode, AMPLE, vec![socket(&path)]);
    bench.send(0..20_000);
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(listener.accept().unwrap().0).lines();
        lines.map(|line| number_of(line.unwrap().as_bytes()).unwrap()).collect::<Vec<_>>()
    });
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_numbers(&reader.join().unwrap(), 0..20_000);
}

fn one_that_closes_with_everything_read_misses_and_doubles_nothing(mode: IoMode) {
    let (_folder, path, listener) = listener();
    let bench = Bench::start(mode, AMPLE, vec![socket(&path)]);
    let counters = bench.counters("a");
    for round in 0..10 {
        let (mut stream, _) = listener.accept().unwrap();
        bench.send(round * 300..(round + 1) * 300);
        assert_numbers(&read_exactly(&mut stream, 300), round * 300..(round + 1) * 300);
    }
    wait_until("the last end is known", || counters.acknowledged.value() == 3000);
    assert_eq!((counters.sent.value(), counters.resent.value(), counters.resets.value()), (3000, 0, 0));
    drop(listener);
    drop(bench.finish(Duration::ZERO));
}

fn one_that_closes_with_data_unread_misses_nothing(mode: IoMode) {
    let (_folder, path, listener) = listener();
    let bench = Bench::start(mode, AMPLE, vec![socket(&path)]);
    bench.send(0..5_000);
    let mut seen = Vec::new();
    for _ in 0..10 {
        let (mut stream, _) = listener.accept().unwrap();
        seen.extend(read_exactly(&mut stream, 100));
    }
    let lines = BufReader::new(listener.accept().unwrap().0).lines();
    let last = lines.map(|line| number_of(line.unwrap().as_bytes()).unwrap());
    seen.extend(last.take_while(|number| *number < 4_999));
    seen.sort_unstable();
    seen.dedup();
    assert_numbers(&seen, 0..4_999);
    assert!(bench.counters("a").resets.value() >= 10);
    drop(bench.finish(Duration::ZERO));
}

/// Its socket is never empty; all the same what it has read is let go, but for what fits the socket.
fn one_that_is_always_behind_does_not_make_memory_grow(mode: IoMode) {
    const COUNT: u64 = 20_000;
    let (_folder, path, listener) = listener();
    let bench = Bench::start(mode, AMPLE, vec![socket(&path)]);
    let counters = bench.counters("a");
    bench.send(0..COUNT);
    let (stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::with_capacity(4096, stream).lines();
    let mut next = || number_of(lines.next().unwrap().unwrap().as_bytes()).unwrap();
    // 300 bytes a line: what is not read is more than the socket takes.
    for number in 0..COUNT / 2 {
        assert_eq!(next(), number);
    }
    wait_until("most of it is known to be read", || counters.acknowledged.value() >= COUNT / 4);
    assert!(counters.acknowledged.value() < COUNT, "not all was read");
    for number in COUNT / 2..COUNT {
        assert_eq!(next(), number);
    }
    wait_until("the rest is known, too", || counters.acknowledged.value() == COUNT);
    drop(bench.finish(Duration::ZERO));
}

/// It goes on reading, and closes later with data unread.
fn one_that_closes_its_sending_side_is_not_taken_for_one_that_read(mode: IoMode) {
    let (_folder, path, listener) = listener();
    let bench = Bench::start(mode, AMPLE, vec![socket(&path)]);
    bench.send(0..5_000);
    let (mut half, _) = listener.accept().unwrap();
    let mut seen = read_exactly(&mut half, 10);
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let (next, _) = listener.accept().unwrap();
    drop(half);
    let lines = BufReader::new(next).lines();
    seen.extend(lines.map(|line| number_of(line.unwrap().as_bytes()).unwrap()).take_while(|number| *number < 4_999));
    seen.sort_unstable();
    seen.dedup();
    assert_numbers(&seen, 0..4_999);
    drop(bench.finish(Duration::ZERO));
}

fn a_socket_that_appears_later_gets_the_backlog(mode: IoMode) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let bench = Bench::start(mode, AMPLE, vec![socket(&path)]);
    bench.send(0..1_000);
    let counters = bench.counters("a");
    wait_until("it was tried", || counters.refused.value() > 0);
    let listener = UnixListener::bind(&path).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert_numbers(&read_exactly(&mut stream, 1_000), 0..1_000);
    drop(bench.finish(Duration::ZERO));
}
