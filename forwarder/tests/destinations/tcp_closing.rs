//! TCP receivers that close: nothing is missing that they had not read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringward::io::IoMode;
use ringward::observe::counters::DestinationCounters;

use crate::bench::{AMPLE, Bench, PATIENCE, assert_numbers, destination, number_of, wait_until};
use crate::receiver::{listen, read_exactly, serve};

crate::on_both_backends!(
    a_clean_close_after_reading_leads_to_no_doubles_and_no_loss,
    a_restart_on_the_same_port,
    closing_after_each_line_with_data_unread_makes_progress,
    closing_after_a_few_lines_with_data_unread_makes_progress,
    a_shutdown_before_the_close_does_not_hide_what_was_unread,
    closing_anywhere_in_the_stream_misses_nothing,
    ten_closes_with_everything_read_lose_and_double_nothing,
    ten_closes_with_data_unread_lose_nothing_and_double_a_window_each,
);

/// How often each number was read.
type Seen = BTreeMap<u64, u32>;

fn note(seen: &mut Seen, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        *seen.entry(number).or_default() += 1;
    }
}

fn assert_all_seen(seen: &Seen, count: u64) {
    let missing: Vec<u64> = (0..count).filter(|number| !seen.contains_key(number)).collect();
    assert!(missing.is_empty(), "{} were never read, the first is {}", missing.len(), missing[0]);
}

fn a_clean_close_after_reading_leads_to_no_doubles_and_no_loss(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let mut expected = 0;
    for lines in [1, 10, 500, 3, 2000, 1] {
        let (mut stream, _) = listener.accept().unwrap();
        bench.send(expected..expected + lines);
        assert_numbers(&read_exactly(&mut stream, lines as usize), expected..expected + lines);
        expected += lines;
        // Dropped with nothing unread: a FIN.
    }
    let counters = bench.counters("a");
    wait_until("the last end is known", || counters.acknowledged.value() == expected);
    assert_eq!((counters.sent.value(), counters.resent.value(), counters.resets.value()), (expected, 0, 0));
    drop(listener);
    drop(bench.finish(Duration::ZERO));
}

fn a_restart_on_the_same_port(mode: IoMode) {
    let (listener, endpoint) = listen();
    let address = listener.local_addr().unwrap();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    let (mut stream, _) = listener.accept().unwrap();
    bench.send(0..50);
    assert_eq!(read_exactly(&mut stream, 50).len(), 50);
    drop((stream, listener));
    wait_until("the end is known", || !counters.is_connected() && counters.refused.value() > 0);
    // What is written while nobody listens.
    bench.send(50..100);
    let listener = TcpListener::bind(address).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert_numbers(&read_exactly(&mut stream, 50), 50..100);
    drop(stream);
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_eq!(counters.resent.value(), 0);
}

/// Reads `lines` lines of each connection and closes, with whatever is behind them unread, until it has read all.
fn closing_after(mode: IoMode, lines: usize, count: u64) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..count);
    let begin = Instant::now();
    let receiver = serve(
        listener,
        move |mut stream: TcpStream, seen: &mut Seen| note(seen, read_exactly(&mut stream, lines)),
        Seen::new(),
        move |seen| (0..count).all(|number| seen.contains_key(&number)) || begin.elapsed() > PATIENCE,
    );
    let (seen, connections) = receiver.join().unwrap();
    assert_all_seen(&seen, count);
    let counters = bench.counters("a");
    let doubles: u32 = seen.values().map(|times| times - 1).sum();
    eprintln!(
        "{mode:?}, {lines} lines a connection: {count} lines in {:?} and {connections} connections, {} reset, {doubles} read twice",
        begin.elapsed(),
        counters.resets.value(),
    );
    assert!(counters.resets.value() > 0, "the test is about resets");
    drop(bench.finish(Duration::ZERO));
}

fn closing_after_each_line_with_data_unread_makes_progress(mode: IoMode) {
    closing_after(mode, 1, 40);
}

fn closing_after_a_few_lines_with_data_unread_makes_progress(mode: IoMode) {
    closing_after(mode, 7, 70);
}

/// A program that shuts both sides down and closes sends a FIN, and an RST only after it.
fn a_shutdown_before_the_close_does_not_hide_what_was_unread(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..300);
    let mut seen = Seen::new();
    let (mut stream, _) = listener.accept().unwrap();
    note(&mut seen, read_exactly(&mut stream, 5));
    wait_until("data is unread", || stream.peek(&mut [0; 1]).is_ok_and(|bytes| bytes > 0));
    stream.shutdown(Shutdown::Write).unwrap();
    drop(stream);
    let (mut stream, _) = listener.accept().unwrap();
    while seen.len() < 300 {
        let numbers = read_exactly(&mut stream, 1);
        if numbers.is_empty() {
            stream = listener.accept().unwrap().0;
        }
        note(&mut seen, numbers);
    }
    assert_all_seen(&seen, 300);
    assert!(bench.counters("a").resets.value() > 0, "the FIN must not be believed");
    drop(bench.finish(Duration::ZERO));
}

/// Reads a pseudo-random number of bytes of each connection, in pieces of any size, and closes.
fn closing_anywhere_in_the_stream_misses_nothing(mode: IoMode) {
    const COUNT: u64 = 20_000;
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let begin = Instant::now();
    let receiver = serve(
        listener,
        move |mut stream: TcpStream, seen: &mut Seen| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let budget = 600_000 + random % 2_000_000;
            note(seen, read_bytes(&mut stream, budget as usize, 1 + random as usize % 60_000));
        },
        Seen::new(),
        move |seen| seen.len() as u64 == COUNT || begin.elapsed() > PATIENCE,
    );
    bench.send(0..COUNT);
    let (seen, connections) = receiver.join().unwrap();
    assert_all_seen(&seen, COUNT);
    let counters = bench.counters("a");
    let doubles: u32 = seen.values().map(|times| times - 1).sum();
    eprintln!(
        "{mode:?}: {COUNT} lines in {:?} and {connections} connections, {} reset, {doubles} read twice",
        begin.elapsed(),
        counters.resets.value(),
    );
    assert!(connections > 3);
    drop(bench.finish(Duration::ZERO));
}

/// Lines that a receiver gets that closes [`CLOSES`] times meanwhile.
const LINES: u64 = 300_000;
const CLOSES: u64 = 10;
/// A line's length, encoded.
const LINE_BYTES: usize = 280;

fn ten_closes_with_everything_read_lose_and_double_nothing(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    let mut seen = Seen::new();
    let part = LINES / (CLOSES + 1) + 1;
    for from in (0..LINES).step_by(part as usize) {
        let to = LINES.min(from + part);
        let (mut stream, _) = listener.accept().unwrap();
        bench.send(from..to);
        note(&mut seen, read_lines(&mut stream, to - from));
    }
    wait_until("the last end is known", || counters.acknowledged.value() == LINES);
    report("everything read", mode, &seen, &bench);
    assert_eq!((counters.sent.value(), counters.resent.value(), counters.resets.value()), (LINES, 0, 0));
    assert!(seen.len() as u64 == LINES && seen.values().all(|times| *times == 1));
    drop(listener);
    drop(bench.finish(Duration::ZERO));
}

/// The sender is always ahead, so that each close meets data that the program has not read.
fn ten_closes_with_data_unread_lose_nothing_and_double_a_window_each(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    bench.send(0..LINES);
    let window = LargestWindow::watch(&counters);
    let mut seen = Seen::new();
    for _ in 0..CLOSES {
        let (mut stream, _) = listener.accept().unwrap();
        note(&mut seen, read_bytes(&mut stream, LINE_BYTES * LINES as usize / 15, 60_000));
        wait_until("data is unread", || stream.peek(&mut [0; 1]).is_ok_and(|bytes| bytes > 0));
    }
    let mut stream = BufReader::new(listener.accept().unwrap().0);
    while !seen.contains_key(&(LINES - 1)) {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).unwrap();
        note(&mut seen, number_of(&line));
    }
    let window = window.end();
    report("data unread", mode, &seen, &bench);
    assert_all_seen(&seen, LINES);
    assert_eq!(counters.resets.value(), CLOSES);
    let doubled: u64 = seen.values().map(|times| u64::from(times - 1)).sum();
    let most = CLOSES * (window / LINE_BYTES as u64 + 1);
    assert!(doubled <= most, "{doubled} read twice, more than {CLOSES} windows of {window} bytes");
    drop(bench.finish(Duration::ZERO));
}

/// Looks all the time for how large the resend window gets.
struct LargestWindow {
    end: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl LargestWindow {
    fn watch(counters: &Arc<DestinationCounters>) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let (counters, ended) = (Arc::clone(counters), Arc::clone(&end));
        let watcher = std::thread::spawn(move || {
            let mut largest = 0;
            while !ended.load(Ordering::Relaxed) {
                largest = counters.resend_window_bytes.value().max(largest);
                std::thread::sleep(Duration::from_micros(200));
            }
            largest
        });
        Self { end, watcher }
    }

    fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap()
    }
}

fn report(what: &str, mode: IoMode, seen: &Seen, bench: &Bench) {
    let doubled: u32 = seen.values().map(|times| times - 1).sum();
    let lost = LINES - seen.len() as u64;
    let counters = bench.counters("a");
    let (resets, resent) = (counters.resets.value(), counters.resent.value());
    eprintln!(
        "{mode:?}, {what}: {LINES} lines, {CLOSES} closes, {resets} resets: \
         {lost} lost, {doubled} doubled, {resent} sent again"
    );
}

/// The next `lines` lines, and not one byte more.
fn read_lines(stream: &mut TcpStream, lines: u64) -> Vec<u64> {
    let mut first = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
        first.extend(byte);
    }
    // They have one length: their numbers have.
    let rest = first.len() * (lines as usize - 1);
    let numbers = number_of(&first).into_iter();
    numbers.chain(read_bytes(stream, rest, 1 << 20)).collect()
}

/// The whole lines among the next `budget` bytes.
fn read_bytes(stream: &mut TcpStream, budget: usize, piece: usize) -> Vec<u64> {
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut bytes = Vec::new();
    let mut part = vec![0; piece];
    while bytes.len() < budget {
        let wanted = piece.min(budget - bytes.len());
        match stream.read(&mut part[..wanted]) {
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).filter_map(number_of).collect()
}
