//! What a destination gets when Ringward is killed or stopped while it can't be reached.
#![cfg(feature = "ebpf")]

mod harness;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver as Channel, channel};
use std::time::{Duration, Instant};

use harness::receiver::Receiver;
use harness::ringward::Ringward;
use harness::{Machine, PATIENCE};

/// Lines of 100 bytes: several times what the ring of these tests holds.
const LINES: u64 = 100_000;

/// A program that prints numbered lines when it is told to.
struct Printer {
    child: Child,
    printed: Channel<String>,
}

impl Printer {
    fn start() -> Self {
        let pad = "x".repeat(84);
        let script = format!("while read -r from to; do seq -f 'line %010.0f {pad}' $from $to; done");
        let mut child =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, printed) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, printed }
    }

    /// Returns when the last line has been read from its pipe.
    fn print(&mut self, numbers: std::ops::Range<u64>) {
        let order = format!("{} {}\n", numbers.start, numbers.end - 1);
        self.child.stdin.as_mut().unwrap().write_all(order.as_bytes()).unwrap();
        for number in numbers {
            let line = self.printed.recv_timeout(PATIENCE).unwrap();
            assert_eq!(line[5..15].parse::<u64>().unwrap(), number);
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The numbers that arrive.
fn receiver() -> Receiver<Vec<u64>> {
    Receiver::tcp_into(Vec::new(), |numbers, record| {
        let number = record.msg.get(5..15).and_then(|digits| digits.parse().ok());
        numbers.push(number.unwrap_or_else(|| panic!("{record:?}")));
    })
    .unwrap()
}

/// A port where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", listener.local_addr().unwrap())
}

fn start(state: tempfile::TempDir, printer: &Printer, endpoint: &str) -> Ringward {
    let config = state.path().join("ringward.yaml");
    let text = format!(
        "ring: {{bytes: 1MiB}}\nkernel: {{enabled: false}}\ncapture: {{containers: false, pids: [{}]}}\n\
         shutdown_timeout: 2s\ndestinations:\n- {{name: a, endpoint: '{endpoint}', spill: {{bytes: 256MiB}}}}\n",
        printer.child.id()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    Ringward::start_in(state, &["--config", &config])
}

/// In order, none missing, none twice?
#[track_caller]
fn exactly(numbers: &[u64], expected: impl Iterator<Item = u64>) {
    let expected = expected.collect::<Vec<_>>();
    let wrong = (0..numbers.len().max(expected.len())).find(|index| numbers.get(*index) != expected.get(*index));
    if let Some(index) = wrong {
        let near = &numbers[index.saturating_sub(3).min(numbers.len())..(index + 3).min(numbers.len())];
        panic!("{} of {} lines; at {index} came {near:?}", numbers.len(), expected.len());
    }
}

/// Waits for a line.
#[track_caller]
fn comes(receiver: &Receiver<Vec<u64>>, number: u64, ringward: &Ringward) {
    let has_come = receiver.wait(PATIENCE, |numbers| numbers.last() == Some(&number));
    let (count, last) = receiver.with(|numbers| (numbers.len(), numbers.last().copied()));
    assert!(has_come, "{count} lines came, the last is {last:?} and not {number}:\n{}", ringward.log().join("\n"));
}

fn spilled_bytes(state: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(state.join("spill/a")).unwrap();
    files.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn what_was_spilled_survives_kill_and_nothing_later_is_lost() {
    let Some(_machine) = Machine::claim() else { return };
    let mut printer = Printer::start();
    let ringward = start(harness::folder(), &printer, &nobody());
    printer.print(0..LINES);
    // The last of it is in the ring, and the ring is memory.
    let begin = Instant::now();
    while spilled_bytes(ringward.state()) < LINES * 100 {
        assert!(begin.elapsed() < PATIENCE, "{} bytes were spilled", spilled_bytes(ringward.state()));
        std::thread::sleep(Duration::from_millis(10));
    }
    let state = ringward.kill();
    let receiver = receiver();
    let ringward = start(state, &printer, &receiver.url());
    printer.print(LINES..2 * LINES);
    comes(&receiver, 2 * LINES - 1, &ringward);
    assert!(ringward.stop().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    let numbers = receiver.with(Vec::clone);
    let kept = numbers.iter().take_while(|number| **number < LINES).count() as u64;
    // A line of 100 bytes takes some 140 on disk.
    assert!(kept > LINES / 2, "{kept} lines were kept");
    exactly(&numbers, (0..kept).chain(LINES..2 * LINES));
}

#[test]
fn what_could_not_be_delivered_before_a_stop_is_delivered_after_it() {
    let Some(_machine) = Machine::claim() else { return };
    let mut printer = Printer::start();
    let ringward = start(harness::folder(), &printer, &nobody());
    printer.print(0..LINES);
    let (stopped, state) = ringward.stop_keeping_state();
    println!("{}", stopped.log.join("\n"));
    let receiver = receiver();
    let ringward = start(state, &printer, &receiver.url());
    printer.print(LINES..LINES + 100);
    comes(&receiver, LINES + 99, &ringward);
    let (_, state) = ringward.stop_keeping_state();
    exactly(&receiver.with(Vec::clone), 0..LINES + 100);
    // And not a second time.
    let ringward = start(state, &printer, &receiver.url());
    printer.print(LINES + 100..LINES + 200);
    comes(&receiver, LINES + 199, &ringward);
    assert!(ringward.stop().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    exactly(&receiver.with(Vec::clone), 0..LINES + 200);
}
