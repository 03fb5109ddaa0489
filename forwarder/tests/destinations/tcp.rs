//! TCP without accidents, and receivers that don't receive.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ringward::destination::{DestinationConfig, RetryPolicy};
use ringward::io::IoMode;
use ringward::ring::RingLimits;
use socket2::{Domain, Socket, Type};

use crate::bench::{AMPLE, Bench, PATIENCE, assert_numbers, destination, number_of, wait_until};
use crate::receiver::{healthy, listen, take};

crate::on_both_backends!(
    everything_arrives_in_order_and_is_confirmed_by_the_end,
    a_slow_reader_with_a_small_buffer_gets_everything,
    a_receiver_that_pauses_longer_than_the_timeout_is_waited_for,
    a_receiver_whose_host_falls_silent_is_given_up_and_misses_nothing,
    seventy_kilobytes_and_a_megabyte_in_one_record,
    records_longer_than_the_receiver_takes_are_cut_to_fit_with_their_newline,
    a_receiver_that_comes_later,
    one_that_is_down_delays_nobody,
    an_idle_destination_sends_at_once,
    an_idle_destination_sleeps,
    a_receiver_that_is_half_closed_from_the_start,
    a_receiver_that_closes_at_once_again_and_again_is_not_taken_for_half_closed,
    draining_is_bounded_and_says_what_is_left,
    what_the_receiver_sends_is_ignored,
);

fn everything_arrives_in_order_and_is_confirmed_by_the_end(mode: IoMode) {
    let (listener, endpoint) = listen();
    let numbers = healthy(listener);
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..20_000);
    assert_numbers(&take(&numbers, 20_000), 0..20_000);
    let counters = bench.counters("a");
    let reports = bench.finish(PATIENCE);
    assert!(reports["a"].is_complete(), "{reports:?}");
    assert_eq!((counters.sent.value(), counters.acknowledged.value()), (20_000, 20_000));
    assert_eq!((counters.resent.value(), counters.connects.value()), (0, 1));
}

/// Writes are taken in parts, and the next waits for the socket.
fn a_slow_reader_with_a_small_buffer_gets_everything(mode: IoMode) {
    let (listener, endpoint) = listen();
    Socket::from(listener.try_clone().unwrap()).set_recv_buffer_size(4096).unwrap();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..1_000);
    let (mut stream, _) = listener.accept().unwrap();
    let mut lines = Vec::new();
    let mut part = [0; 1500];
    while lines.iter().filter(|byte| **byte == b'\n').count() < 1_000 {
        let read = stream.read(&mut part).unwrap();
        lines.extend_from_slice(&part[..read]);
        std::thread::yield_now();
    }
    let numbers: Vec<u64> =
        lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).filter_map(number_of).collect();
    assert_numbers(&numbers, 0..1_000);
    drop(stream);
    assert_eq!(bench.counters("a").resent.value(), 0);
    drop(bench.finish(Duration::ZERO));
}

/// A program that pauses is not gone: its kernel answers. Giving up would send everything again that lies there.
fn a_receiver_that_pauses_longer_than_the_timeout_is_waited_for(mode: IoMode) {
    let (listener, endpoint) = listen();
    let config = DestinationConfig { silence_timeout: Duration::from_secs(1), ..destination("a", &endpoint) };
    let bench = Bench::start(mode, AMPLE, vec![config]);
    bench.send(0..100_000);
    let (stream, _) = listener.accept().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let mut lines = BufReader::new(stream).lines();
    for number in 0..100_000 {
        assert_eq!(number_of(lines.next().unwrap().unwrap().as_bytes()), Some(number));
    }
    let counters = bench.counters("a");
    assert_eq!((counters.resent.value(), counters.connects.value()), (0, 1));
    drop(lines);
    drop(bench.finish(Duration::ZERO));
}

fn a_receiver_whose_host_falls_silent_is_given_up_and_misses_nothing(mode: IoMode) {
    let (listener, endpoint) = listen();
    let port = listener.local_addr().unwrap().port();
    let numbers = healthy(listener);
    let retry = RetryPolicy { initial: Duration::from_millis(50), ..RetryPolicy::default() };
    let times = (Duration::from_secs(2), Duration::from_secs(1));
    let config =
        DestinationConfig { silence_timeout: times.0, connect_timeout: times.1, retry, ..destination("a", &endpoint) };
    let bench = Bench::start(mode, AMPLE, vec![config]);
    bench.send(0..100);
    assert_numbers(&take(&numbers, 100), 0..100);
    let silence = Silence::of(port);
    bench.send(100..30_000);
    let counters = bench.counters("a");
    wait_until("the connection is given up", || counters.resets.value() > 0);
    drop(silence);
    // Again from the resend window's start.
    let mut next = 100;
    let begin = Instant::now();
    while next < 30_000 {
        assert!(begin.elapsed() < PATIENCE);
        let number = take(&numbers, 1)[0];
        assert!(number <= next, "{next} is missing, {number} came");
        next = next.max(number + 1);
    }
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}

/// Nothing that is sent to a port arrives, and nobody says so.
struct Silence(u16);

impl Silence {
    fn of(port: u16) -> Self {
        Self::rule("--insert", port);
        Self(port)
    }

    fn rule(action: &str, port: u16) {
        let rule = ["--wait", action, "INPUT", "-p", "tcp", "-i", "lo", "--dport", &port.to_string(), "-j", "DROP"];
        let done = std::process::Command::new("iptables").args(rule).status();
        assert!(done.is_ok_and(|status| status.success()), "iptables must be there, and tests run as root");
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        Self::rule("--delete", self.0);
    }
}

/// More than a line may have for Talos, and more than a datagram holds.
fn seventy_kilobytes_and_a_megabyte_in_one_record(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    for (number, bytes) in [(1, 65_536), (2, 70_000), (3, 1 << 20)] {
        let body: Vec<u8> = (0..bytes).map(|index| b"abc\"\\<\n\xff"[index % 8]).collect();
        bench.send_body(&body);
        bench.send(number..number + 1);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"].as_str().unwrap(), String::from_utf8_lossy(&body));
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(number_of(line.as_bytes()), Some(number));
    }
    drop(reader);
    drop(bench.finish(Duration::ZERO));
}

fn records_longer_than_the_receiver_takes_are_cut_to_fit_with_their_newline(mode: IoMode) {
    const LIMIT: usize = 4096;
    let (listener, endpoint) = listen();
    let config = DestinationConfig { max_record_bytes: Some(LIMIT), ..destination("a", &endpoint) };
    let bench = Bench::start(mode, AMPLE, vec![config]);
    // Of each kind all lengths about the limit, and one far beyond it.
    let texts = ["x", "\u{e9}", "\u{1f980}", "<", "\u{1}", "\"\\"];
    let near = |text: &str| {
        let escaped = serde_json::to_string(text).unwrap().replace('<', "\\u003c").len() - 2;
        let fits = LIMIT / escaped;
        (fits - 120 / escaped..fits + 3).chain([300_000])
    };
    let bodies: Vec<String> = texts.iter().flat_map(|text| near(text).map(|times| text.repeat(times))).collect();
    bench.send_bodies(&bodies);
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut cut, mut longest) = (0, 0);
    for body in &bodies {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let text = value["msg"].as_str().unwrap();
        assert!(line.len() <= LIMIT && body.starts_with(text), "{} bytes", line.len());
        assert_eq!(value.get("cut").is_some(), text.len() < body.len());
        // Another escaped character has at most six bytes.
        assert!(text.len() == body.len() || line.len() > LIMIT - 6, "cut to {} bytes", line.len());
        cut += u64::from(text.len() < body.len());
        longest = longest.max(line.len());
    }
    let counters = bench.counters("a");
    assert!(longest == LIMIT && cut > texts.len() as u64 && cut < bodies.len() as u64, "{cut} of {}", bodies.len());
    assert_eq!((counters.cut.value(), counters.oversized.value()), (cut, 0));
    drop(reader);
    drop(bench.finish(Duration::ZERO));
}

fn a_receiver_that_comes_later(mode: IoMode) {
    let (listener, endpoint) = listen();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..100);
    let counters = bench.counters("a");
    wait_until("it was refused three times", || counters.refused.value() >= 3);
    assert!(!counters.is_connected());
    let error = counters.last_error().unwrap();
    assert!(error.starts_with(&format!("could not connect to {address}: ")) && error.contains("refused"), "{error}");
    let numbers = healthy(TcpListener::bind(address).unwrap());
    assert_numbers(&take(&numbers, 100), 0..100);
    assert!(counters.is_connected());
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}

/// One refuses, one does not answer, one accepts and never reads, one resets all the time, one has no address.
fn one_that_is_down_delays_nobody(mode: IoMode) {
    let (refusing, refusing_endpoint) = listen();
    drop(refusing);
    let (stalled, stalled_endpoint) = listen();
    let (resetting, resetting_endpoint) = listen();
    let resetter = std::thread::spawn(move || {
        for stream in resetting.incoming() {
            let stream = stream.unwrap();
            if stream.peek(&mut [0; 1]).is_err() {
                break;
            }
        }
    });
    let _ = resetter;
    let (silent, silent_endpoint) = black_hole();
    let (listener, healthy_endpoint) = listen();
    let numbers = healthy(listener);
    let limits = RingLimits { bytes: 16 << 20, records: u64::MAX };
    let bench = Bench::start(
        mode,
        limits,
        vec![
            destination("refusing", &refusing_endpoint),
            destination("stalled", &stalled_endpoint),
            destination("resetting", &resetting_endpoint),
            destination("silent", &silent_endpoint),
            destination("nameless", "tcp://no-such-host.invalid:5044"),
            destination("healthy", &healthy_endpoint),
        ],
    );
    let held = stalled.accept().unwrap();
    // One line at a time first: each must come before the next is sent.
    let mut slowest = Duration::ZERO;
    for number in 0..200 {
        let begin = Instant::now();
        bench.send(number..number + 1);
        assert_eq!(take(&numbers, 1), [number]);
        slowest = slowest.max(begin.elapsed());
    }
    // None waited for another destination's time-out.
    assert!(slowest < Duration::from_secs(5), "a line took {slowest:?}");
    let mut expected = 200;
    for _ in 0..20 {
        bench.send(expected..expected + 5_000);
        assert_numbers(&take(&numbers, 5_000), expected..expected + 5_000);
        expected += 5_000;
    }
    for name in ["refusing", "resetting", "nameless"] {
        assert!(bench.counters(name).retries.value() > 0, "{name}");
        assert_eq!(bench.counters(name).acknowledged.value(), 0, "{name}");
    }
    let counters = bench.counters("healthy");
    let reports = bench.finish(Duration::from_secs(1));
    assert!(reports["healthy"].is_complete(), "{reports:?}");
    assert_eq!((counters.sent.value(), counters.resent.value()), (expected, 0));
    eprintln!("{mode:?}: slowest single line {slowest:?}");
    for name in ["refusing", "stalled", "resetting", "silent", "nameless"] {
        assert!(!reports[name].is_complete(), "{name}: {:?}", reports[name]);
    }
    drop((held, silent));
}

/// An address where connecting gets no answer: a listener whose queue is full.
fn black_hole() -> (Vec<Socket>, String) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = format!("tcp://{}", address.as_socket().unwrap());
    let mut sockets = vec![listener];
    for _ in 0..8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    (sockets, endpoint)
}

fn an_idle_destination_sends_at_once(mode: IoMode) {
    let (listener, endpoint) = listen();
    let numbers = healthy(listener);
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..1);
    take(&numbers, 1);
    let mut times: Vec<Duration> = (1..200)
        .map(|number| {
            let begin = Instant::now();
            bench.send(number..number + 1);
            take(&numbers, 1);
            begin.elapsed()
        })
        .collect();
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    eprintln!("{mode:?}: from the ring to the receiver: median {median:?}, worst {worst:?}");
    // Nothing is waited for: a flush interval would be seen in each of them.
    assert!(median < Duration::from_millis(100), "median {median:?}");
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}

/// No timer runs while everything is acknowledged, and none for the records inside the resend window.
fn an_idle_destination_sleeps(mode: IoMode) {
    let (listener, endpoint) = listen();
    let numbers = healthy(listener);
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    bench.send(0..10_000);
    assert_numbers(&take(&numbers, 10_000), 0..10_000);
    // It learns of the last acknowledgement by a poll: a second without a sleep in between is what is waited for.
    let second = || {
        let before = bench.sleeps();
        assert!(numbers.recv_timeout(Duration::from_secs(1)).is_err(), "nothing more was sent");
        bench.sleeps() - before
    };
    assert!((0..30).any(|_| second() == 0), "it is woken every second");
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}

fn a_receiver_that_is_half_closed_from_the_start(mode: IoMode) {
    let (listener, endpoint) = listen();
    let (sender, numbers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            crate::receiver::read_lines(stream, &sender);
        }
    });
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    // The end of the second connection is no end. A record that is on its way when that end comes would be sent again:
    // so nothing is sent before Ringward has come to rest with it.
    wait_until("it has come to rest on its second connection", || {
        let sleeps = bench.sleeps();
        std::thread::sleep(Duration::from_secs(1));
        counters.connects.value() >= 2 && bench.sleeps() == sleeps
    });
    bench.send(0..20_000);
    assert_numbers(&take(&numbers, 20_000), 0..20_000);
    assert_eq!(counters.resent.value(), 0);
    drop(bench.finish(PATIENCE));
}

/// Closing before anything came, again and again, looks like a half-closed receiver: that it is none is told by a reset.
fn a_receiver_that_closes_at_once_again_and_again_is_not_taken_for_half_closed(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    drop(listener.accept().unwrap());
    drop(listener.accept().unwrap());
    wait_until("it has come to rest on its second connection", || {
        let sleeps = bench.sleeps();
        std::thread::sleep(Duration::from_millis(300));
        counters.connects.value() >= 2 && bench.sleeps() == sleeps
    });
    bench.send(0..100);
    let numbers = healthy(listener);
    let begin = Instant::now();
    assert_numbers(&take(&numbers, 100), 0..100);
    assert!(begin.elapsed() < Duration::from_secs(15), "the reset was not noticed, only the silence");
    drop(bench.finish(PATIENCE));
}

fn draining_is_bounded_and_says_what_is_left(mode: IoMode) {
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let (mut stream, _) = listener.accept().unwrap();
    bench.send(0..200_000);
    assert_eq!(crate::receiver::read_exactly(&mut stream, 3), [0, 1, 2]);
    let counters = bench.counters("a");
    let begin = Instant::now();
    let reports = bench.finish(Duration::from_millis(500));
    let took = begin.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(30)).contains(&took), "{took:?}");
    let report = &reports["a"];
    assert!(report.unsent > 0 && report.unconfirmed > 0, "{report:?}");
    assert_eq!(report.unsent + report.unconfirmed + counters.acknowledged.value(), 200_000);
    drop(stream);
}

fn what_the_receiver_sends_is_ignored(mode: IoMode) {
    use std::io::Write;
    let (listener, endpoint) = listen();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
    stream.write_all(&vec![b'x'; 4 << 20]).unwrap();
    bench.send(0..10);
    let numbers = crate::receiver::read_exactly(&mut stream, 10);
    assert!(numbers.iter().copied().eq(0..10), "{numbers:?}; {:?}", bench.counters("a").last_error());
    drop(stream);
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}
