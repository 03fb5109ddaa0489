//! The real binary between senders and a receiver, all on 127.0.0.1: what comes in by TCP and UDP comes out.

#[path = "../harness/mod.rs"]
mod harness;
mod streams;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::Output;
use std::sync::mpsc;
use std::time::Duration;

use harness::PATIENCE;
use harness::receiver::{Receiver, Record};
use harness::ringward::{ROOMY, Ringward};
use rustix::process::Signal;

/// Neither kernel nor containers: what listens needs no privileges.
const ALONE: [&str; 2] = ["--no-kernel", "--no-containers"];

fn start(arguments: &[&str]) -> Ringward {
    Ringward::start(&[&ALONE, arguments].concat())
}

/// Where its only listener listens.
fn address(ringward: &Ringward) -> String {
    let ready = ringward.said("ready: capturing what is sent to ");
    let (_, rest) = ready.split_once("what is sent to ").unwrap();
    rest.split([',', ' ']).next().unwrap().split_once("://").unwrap().1.to_owned()
}

/// A configuration in a file.
fn config(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What Talos would send, and what comes out of it with the tag `rack`.
fn talos_line(number: u64, to: &mut String) {
    let rest = format!(
        r#""msg":"line {number} of \u003cmany\u003e: {}","#,
        "finished scheduled compaction, ".repeat((number % 7) as usize)
    );
    let end = format!(
        r#""talos-level":"info","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.{}Z","took":"21ms"}}"#,
        100 + number % 800 / 10 * 10 + 1
    );
    to.push_str(&format!("{{\"caller\":\"mvcc/kvstore.go:57\",\"compact-revision\":{number},{rest}"));
    to.push('§');
    to.push_str(&end);
    to.push('\n');
}

/// The lines as they are sent, and as they come out.
fn talos_lines(numbers: std::ops::Range<u64>) -> (Vec<u8>, Vec<u8>) {
    let mut text = String::new();
    numbers.for_each(|number| talos_line(number, &mut text));
    (text.replace('§', "").into_bytes(), text.replace('§', "\"rack\":\"07\",").into_bytes())
}

/// Pieces of pseudo-random lengths, the same in each run.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = 88_172_645_463_325_252u64;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Now and then a few bytes, else up to half a megabyte.
        let most = if state.is_multiple_of(3) { 40 } else { 500_000 };
        let (piece, rest) = bytes.split_at((1 + (state >> 20) as usize % most).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Everything that the only connection to `listener` brings.
fn collect(listener: TcpListener) -> mpsc::Receiver<Vec<u8>> {
    let (sender, bytes) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut all).unwrap();
        let _ = sender.send(all);
    });
    bytes
}

fn destination() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Shows where they differ first: both have megabytes.
#[track_caller]
fn same(found: &[u8], expected: &[u8]) {
    if found != expected {
        let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let around = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(200).min(bytes.len())..(at + 200).min(bytes.len())])
                .into_owned()
        };
        panic!(
            "{} bytes instead of {}; at {at}:\n{}\ninstead of\n{}",
            found.len(),
            expected.len(),
            around(found),
            around(expected)
        );
    }
}

#[test]
fn talos_objects_over_tcp_pass_byte_for_byte_and_get_the_tag() {
    let (listener, url) = destination();
    let received = collect(listener);
    let ringward = start(&["--listen", "tcp://127.0.0.1:0", "--to", &url, "--tag", "rack=07"]);
    let mut sender = TcpStream::connect(address(&ringward)).unwrap();
    let (sent, expected) = talos_lines(0..300_000);
    for piece in pieces(&sent) {
        sender.write_all(piece).unwrap();
    }
    sender.shutdown(Shutdown::Write).unwrap();
    // It has read everything when it closes its end.
    assert_eq!(sender.read(&mut [0]).unwrap(), 0);
    let stopped = ringward.stop();
    assert!(stopped.status.success(), "{stopped:?}");
    same(&received.recv_timeout(PATIENCE).unwrap(), &expected);
    assert!(
        stopped.log.iter().any(|line| line.contains(": 300000 records (0 of them parts of lines)")),
        "{stopped:#?}"
    );
}

#[test]
fn a_trace_is_one_record_also_while_its_connection_stays_open() {
    let trace = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: x";
    let text = "listen: [{endpoint: 'tcp://127.0.0.1:0', multiline: {traces: python, timeout: 10ms}}]";
    let (config, receiver) = (config(text), Receiver::tcp().unwrap());
    let ringward = start(&["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]);
    let mut sender = TcpStream::connect(address(&ringward)).unwrap();
    sender.write_all(format!("before\n{trace}\n").as_bytes()).unwrap();
    // Nothing follows, and nothing ends.
    assert!(receiver.wait(PATIENCE, |records| records.len() == 2));
    sender.write_all(format!("{trace}\nbehind\nunfinished").as_bytes()).unwrap();
    drop(sender);
    assert!(receiver.wait(PATIENCE, |records| records.len() == 5));
    let expected = ["before", trace, trace, "behind", "unfinished"];
    receiver.with(|records| assert!(records.iter().map(|record| record.msg.as_str()).eq(expected), "{records:?}"));
    assert!(ringward.stop().status.success());
}

#[test]
fn each_connection_keeps_its_order() {
    let receiver = Receiver::tcp_into([Vec::new(), Vec::new()], |seen: &mut [Vec<u64>; 2], record| {
        let (sender, number) = record.msg.split_once(' ').unwrap();
        seen[sender.parse::<usize>().unwrap()].push(number.parse().unwrap());
    })
    .unwrap();
    let ringward = start(&["--listen", "tcp://127.0.0.1:0", "--to", &receiver.url()]);
    let address = address(&ringward);
    let count = 50_000;
    let senders: Vec<_> = (0..2)
        .map(|sender| {
            let mut stream = TcpStream::connect(&address).unwrap();
            std::thread::spawn(move || {
                let lines: String = (0..count).map(|number| format!("{sender} {number}\n")).collect();
                lines.as_bytes().chunks(997).for_each(|piece| stream.write_all(piece).unwrap());
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(receiver.wait(PATIENCE, |seen| seen.iter().all(|numbers| numbers.len() >= count as usize)));
    receiver.with(|seen| seen.iter().for_each(|numbers| assert!(numbers.iter().copied().eq(0..count))));
    assert!(ringward.stop().status.success());
    assert_eq!(receiver.broken(), [""; 0]);
}

#[test]
fn a_slow_destination_makes_senders_wait_and_nothing_is_lost() {
    let (listener, url) = destination();
    let ringward = start(&["--listen", "tcp://127.0.0.1:0", "--to", &url, "--tag", "rack=07"]);
    let mut sender = TcpStream::connect(address(&ringward)).unwrap();
    // More than all socket buffers and the ring together; nobody reads the other end yet.
    let (sent, expected) = talos_lines(0..600_000);
    sender.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut at = 0;
    loop {
        match sender.write(&sent[at..]) {
            Ok(written) => at += written,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
        assert!(at < sent.len(), "{at} bytes were taken although nobody reads");
    }
    let received = collect(listener);
    sender.set_write_timeout(Some(PATIENCE)).unwrap();
    sender.write_all(&sent[at..]).unwrap();
    sender.shutdown(Shutdown::Write).unwrap();
    // It has read everything when it closes its end.
    assert_eq!(sender.read(&mut [0]).unwrap(), 0);
    assert!(ringward.stop().status.success());
    same(&received.recv_timeout(PATIENCE).unwrap(), &expected);
}

#[test]
fn datagrams_are_received_or_reported_lost() {
    let receiver = Receiver::tcp_into((0, 0, 0), |(received, lost, last): &mut (u64, u64, u64), record: Record| {
        match record.fields.get("lost-records") {
            Some(number) => *lost += number.as_u64().unwrap(),
            None => {
                let number: u64 = record.msg.parse().unwrap();
                assert!(*received == 0 || number > *last, "{number} after {last}");
                (*received, *last) = (*received + 1, number);
            }
        }
    })
    .unwrap();
    let config = config("listen: [{endpoint: 'udp://127.0.0.1:0', receive_buffer: 256KiB}]");
    let ringward = start(&["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(address(&ringward)).unwrap();
    let sent = 100_000;
    for number in 0..sent {
        // For a moment nobody reads, at the end as well: the last that are lost are known without one that follows.
        match number {
            20_000 | 90_000 => ringward.pause(),
            40_000 => ringward.signal(Signal::CONT),
            _ => {}
        }
        sender.send(number.to_string().as_bytes()).unwrap();
    }
    ringward.signal(Signal::CONT);
    assert!(
        receiver.wait(PATIENCE, |(received, lost, _)| received + lost >= sent),
        "{:?}",
        receiver.with(|seen| *seen)
    );
    let log = ringward.stop().log;
    assert!(receiver.wait_closed(PATIENCE));
    let (received, lost, _) = receiver.with(|seen| *seen);
    assert_eq!(received + lost, sent);
    assert!(lost > 0 && received > 1_000, "{received} received, {lost} lost");
    assert_eq!(receiver.broken(), [""; 0]);
    assert!(log.iter().any(|line| line.contains(&format!("{lost} lost by the kernel"))), "{log:#?}");
}

#[test]
fn a_datagram_is_a_record() {
    let receiver = Receiver::tcp().unwrap();
    let config = config("listen: [{endpoint: 'udp://127.0.0.1:0', name: nodes, max_line: 1KiB}]");
    let ringward = start(&["--config", config.path().to_str().unwrap(), "--to", &receiver.url(), "--tag", "rack=07"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(address(&ringward)).unwrap();
    let large = "x".repeat(2500);
    for datagram in [
        &br#"{"msg":"object","talos-level":"warn","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.8Z"}"#[..],
        b"a trace\n  at one\n  at two\n",
        b"",
        b"\n",
        b"\xff\x00 binary",
        large.as_bytes(),
    ] {
        sender.send(datagram).unwrap();
    }
    assert!(receiver.wait(PATIENCE, |records| records.len() >= 6));
    assert!(ringward.stop().status.success());
    let records = receiver.with(Clone::clone);
    let texts: Vec<_> = records.iter().map(|record| (record.msg.as_str(), record.partial)).collect();
    let part = &large[..1024];
    assert_eq!(
        texts,
        [
            ("object", false),
            ("a trace\n  at one\n  at two", false),
            ("\u{fffd}\0 binary", false),
            (part, true),
            (part, true),
            (&large[2048..], false)
        ]
    );
    assert_eq!((records[0].service.as_str(), records[0].text("talos-level")), ("etcd", "warn"));
    assert_eq!((records[1].service.as_str(), records[1].text("talos-level")), ("nodes", "info"));
    assert!(records.iter().all(|record| record.text("rack") == "07"));
}

#[test]
fn lines_of_any_kind() {
    let receiver = Receiver::tcp().unwrap();
    let config = config("listen: [{endpoint: 'tcp://[::1]:0', parse: talos, max_line: 64KiB}]");
    let ringward = Ringward::start(
        &[&ALONE[..], &ROOMY, &["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]].concat(),
    );
    let mut sender = TcpStream::connect(address(&ringward)).unwrap();
    let huge = vec![b'y'; 200_000];
    let deep = "{\"a\":".repeat(20_000);
    for line in [
        &b"\n\r\n  \n"[..],
        b"\xff\xfe\x00\n",
        b"2021/10/19 12:00:00 text {\"component\": \"x\", \"level\": \"error\"}\r\n",
        &huge,
        b"\n",
        deep.as_bytes(),
        b"\n{\"msg\":\"not finished\"",
    ] {
        sender.write_all(line).unwrap();
    }
    drop(sender);
    let parts = |records: &[Record], byte: u8| {
        records
            .iter()
            .filter(|record| record.msg.len() > 3000 && record.msg.as_bytes()[9] == byte)
            .map(|record| (record.msg.len(), record.partial))
            .collect::<Vec<_>>()
    };
    assert!(
        receiver.wait(PATIENCE, |records| records.last().is_some_and(|record| record.msg.contains("not finished")))
    );
    assert!(ringward.stop().status.success());
    let records = receiver.with(Clone::clone);
    assert_eq!(records[0].msg, "\u{fffd}\u{fffd}\0");
    assert_eq!(
        (records[1].msg.as_str(), records[1].text("component"), records[1].text("talos-level")),
        ("2021/10/19 12:00:00 text", "x", "error")
    );
    let part = (65_536, true);
    assert_eq!(parts(&records, b'y'), [part, part, part, (200_000 - 3 * 65_536, false)]);
    assert_eq!(
        parts(&records, b'{').len()
            + parts(&records, b':').len()
            + parts(&records, b'"').len()
            + parts(&records, b'a').len(),
        2
    );
    let last = records.last().unwrap();
    assert_eq!((last.msg.as_str(), last.partial), ("{\"msg\":\"not finished\"", true));
    assert_eq!(records.len(), 9);
}

#[test]
fn pairs_become_fields_and_what_is_none_stays_text() {
    let receiver = Receiver::tcp().unwrap();
    let config = config("listen: [{endpoint: 'tcp://127.0.0.1:0', parse: logfmt, name: kata}]");
    let ringward = Ringward::start(
        &[&ALONE[..], &["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]].concat(),
    );
    let mut sender = TcpStream::connect(address(&ringward)).unwrap();
    let lines = br#"time="2020-02-21T10:31:27.810781647Z" level=warning msg="a \"b\"\xff" pid=14314 source=agent retry
source=agenttime="2020-02-21T10:31:27.8Z" level=error
level=error msg="cut of"#;
    sender.write_all(lines).unwrap();
    drop(sender);
    assert!(receiver.wait(PATIENCE, |records| records.len() == 3));
    assert!(ringward.stop().status.success());
    let records = receiver.with(Clone::clone);
    let first = &records[0];
    assert_eq!((first.msg.as_str(), first.service.as_str()), ("a \"b\"\u{fffd}", "kata"));
    assert_eq!(first.text("talos-time"), "2020-02-21T10:31:27.810781647Z");
    assert_eq!((first.text("talos-level"), first.text("source")), ("warn", "agent"));
    assert_eq!((&first.fields["pid"], &first.fields["retry"]), (&14314.into(), &true.into()));
    let glued = "source=agenttime=\"2020-02-21T10:31:27.8Z\" level=error";
    assert_eq!((records[1].msg.as_str(), records[1].text("talos-level")), (glued, "info"));
    assert_eq!((records[2].msg.as_str(), records[2].partial), ("level=error msg=\"cut of", true));
}

#[test]
fn at_a_stop_what_was_sent_is_still_read() {
    let receiver = Receiver::tcp().unwrap();
    let ringward = start(&["--listen", "tcp://127.0.0.1:0", "--listen", "udp://127.0.0.1:0", "--to", &receiver.url()]);
    let ready = ringward.said("ready: ");
    let port = |scheme: &str| ready.split_once(scheme).unwrap().1.split([',', ' ']).next().unwrap().to_owned();
    let mut stream = TcpStream::connect(port("tcp://")).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect(port("udp://")).unwrap();
    // Its thread sees all of it at once, together with the stop.
    ringward.pause();
    let lines: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
    stream.write_all(format!("{lines}half a line").as_bytes()).unwrap();
    for _ in 0..500 {
        datagrams.send(b"datagram").unwrap();
    }
    // What has come is read; what lies with its sender is the sender's.
    while ringward::sys::unacknowledged_bytes(std::os::fd::AsFd::as_fd(&stream)).unwrap() > 0 {
        std::thread::yield_now();
    }
    // A connection that nobody has accepted yet, and whose sender has gone.
    writeln!(TcpStream::connect(port("tcp://")).unwrap(), "another").unwrap();
    assert!(ringward.stop_paused().status.success());
    assert!(receiver.wait_closed(PATIENCE));
    let records = receiver.with(Clone::clone);
    let count = |text: &str| records.iter().filter(|record| record.msg.starts_with(text)).count();
    assert_eq!((count("line "), count("datagram"), count("another")), (5_000, 500, 1));
    assert!(records.iter().any(|record| record.msg == "half a line" && record.partial));
}

#[test]
fn more_connections_than_allowed_wait_for_their_turn() {
    let receiver = Receiver::tcp().unwrap();
    let config = config("listen: [{endpoint: 'tcp://127.0.0.1:0', max_connections: 2}]");
    let ringward = start(&["--config", config.path().to_str().unwrap(), "--to", &receiver.url()]);
    let mut streams: Vec<_> = (0..3).map(|_| TcpStream::connect(address(&ringward)).unwrap()).collect();
    ringward.said("2 connections; others wait until one ends");
    for (number, stream) in streams.iter_mut().enumerate() {
        writeln!(stream, "line {number}").unwrap();
    }
    let has = |count: usize| receiver.wait(PATIENCE, |records| records.len() >= count);
    assert!(has(2));
    assert_eq!(receiver.with(|records| records.iter().filter(|record| record.msg == "line 2").count()), 0);
    streams.remove(0);
    assert!(has(3), "{:?}", receiver.with(Clone::clone));
    assert!(ringward.stop().status.success());
}

#[test]
fn an_address_that_is_taken_is_a_clear_error() {
    let (tcp, url) = destination();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (listen, why) in [
        (url.clone(), "in use"),
        (format!("udp://{}", udp.local_addr().unwrap()), "in use"),
        ("tcp://192.0.2.1:5140".to_owned(), "assign"),
        ("udp://no-such-host.invalid:5140".to_owned(), ""),
    ] {
        let state = harness::folder();
        let state = state.path().to_str().unwrap();
        let arguments =
            [&["run", "--state-dir", state, "--listen", &listen, "--to", "tcp://127.0.0.1:1"], &ALONE[..]].concat();
        let Output { status, stderr, .. } = Ringward::command(&arguments).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("ringward: error: {listen} can't be listened on: ")) && said.contains(why),
            "{said}"
        );
    }
    drop(tcp);
}

#[test]
fn it_runs_without_privileges() {
    let receiver = Receiver::tcp().unwrap();
    let state = harness::folder();
    std::os::unix::fs::chown(state.path(), Some(65_534), Some(65_534)).unwrap_or_else(|error| {
        // Whoever is not root has none.
        assert!(!rustix::process::geteuid().is_root(), "{error}");
    });
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringward"));
    if rustix::process::geteuid().is_root() {
        command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_ringward")]);
    }
    command.args([
        "run",
        "--state-dir",
        state.path().to_str().unwrap(),
        "--listen",
        "udp://127.0.0.1:0",
        "--to",
        &receiver.url(),
    ]);
    command.args(ALONE).env("NO_COLOR", "1");
    let mut ringward =
        harness::daemon::Daemon::start(&mut command, "ready: capturing what is sent to udp://127.0.0.1:");
    let ready = ringward.wait_for(PATIENCE, |line| line.contains("ready: ")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.connect(ready.split_once("udp://").unwrap().1.split([',', ' ']).next().unwrap()).unwrap();
    sender.send(b"hello").unwrap();
    assert!(receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "hello")));
    assert!(ringward.stop(PATIENCE).is_some_and(|status| status.success()));
}
