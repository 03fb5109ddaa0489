//! TCP receivers that close: nothing is missing that they had not read.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ringward::io::IoMode;

use crate::bench::{AMPLE, Bench, PATIENCE, assert_numbers, destination, number_of, wait_until};
use crate::receiver::{listen, read_exactly, serve};

crate::on_both_backends!(
    a_clean_close_after_reading_leads_to_no_doubles_and_no_loss,
    a_restart_on_the_same_port,
    closing_after_each_line_with_data_unread_makes_progress,
    closing_after_a_few_lines_with_data_unread_makes_progress,
    a_shutdown_before_the_close_does_not_hide_what_was_unread,
    closing_anywhere_in_the_stream_misses_nothing,
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
    const COUNT: u64 = 40_000;
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
