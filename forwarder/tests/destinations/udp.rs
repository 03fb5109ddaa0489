//! UDP against ports that are open, closed, and opened later.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ringward::destination::{DestinationConfig, Endpoint};
use ringward::io::IoMode;

use crate::bench::{AMPLE, Bench, PATIENCE, destination, number_of, wait_until};

crate::on_both_backends!(
    a_record_is_a_datagram_without_a_newline,
    a_closed_port_is_not_spun_on_and_nothing_is_lost_while_it_is_closed,
    a_port_that_closes_for_a_while,
    a_record_that_is_too_big_is_cut_and_stays_json,
    a_record_that_can_not_be_cut_is_counted_and_not_tried_for_ever,
);

pub fn receiver() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

pub fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match socket.recv(&mut buffer) {
            Ok(received) => {
                buffer.truncate(received);
                return buffer;
            }
            // An io_uring that this thread has probed ends with a signal to it.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no datagram came: {error}"),
        }
    }
}

pub fn receive_number(socket: &UdpSocket) -> u64 {
    number_of(&receive(socket)).unwrap()
}

fn a_record_is_a_datagram_without_a_newline(mode: IoMode) {
    let (socket, endpoint) = receiver();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    for round in 0..20 {
        // No more at a time than the socket's buffer holds: UDP has no flow control.
        bench.send(round * 100..(round + 1) * 100);
        for number in round * 100..(round + 1) * 100 {
            let datagram = receive(&socket);
            assert_ne!(datagram.last(), Some(&b'\n'));
            assert_eq!(number_of(&datagram), Some(number));
        }
    }
    let counters = bench.counters("a");
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_eq!((counters.sent.value(), counters.acknowledged.value()), (2000, 2000));
}

fn a_closed_port_is_not_spun_on_and_nothing_is_lost_while_it_is_closed(mode: IoMode) {
    let (socket, endpoint) = receiver();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let config = DestinationConfig::new("a", Endpoint::parse(&endpoint).unwrap());
    let bench = Bench::start(mode, AMPLE, vec![config]);
    let counters = bench.counters("a");
    let begin = Instant::now();
    bench.send(0..100);
    wait_until("it was refused four times", || counters.refused.value() >= 4);
    // 100, 200, 400 ms lie between four attempts, less the jitter of 30 %.
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(490), "four attempts in {took:?}");
    assert_eq!(counters.sent.value(), 0);
    assert!(!counters.is_connected());
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 0..100 {
        assert_eq!(receive_number(&socket), number);
    }
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}

fn a_port_that_closes_for_a_while(mode: IoMode) {
    let (socket, endpoint) = receiver();
    let address = socket.local_addr().unwrap();
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    bench.send(0..10);
    for number in 0..10 {
        assert_eq!(receive_number(&socket), number);
    }
    drop(socket);
    // The first record goes into the closed port: the kernel took it. From the refusal on nothing is lost.
    bench.send(10..11);
    wait_until("it was sent", || counters.sent.value() == 11);
    bench.send(11..40);
    wait_until("it was refused", || counters.refused.value() >= 2);
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in 11..40 {
        assert_eq!(receive_number(&socket), number);
    }
    assert!(bench.finish(PATIENCE)["a"].is_complete());
}

fn a_record_that_is_too_big_is_cut_and_stays_json(mode: IoMode) {
    let (socket, endpoint) = receiver();
    let small = DestinationConfig { max_record_bytes: Some(1000), ..destination("small", &endpoint) };
    let bench = Bench::start(mode, AMPLE, vec![small, destination("large", &endpoint)]);
    let body = "<\u{1F980}\u{1}".repeat(150_000);
    bench.send_body(body.as_bytes());
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let datagram = receive(&socket);
        let value: serde_json::Value = serde_json::from_slice(&datagram).unwrap();
        assert_eq!(value["cut"], true);
        assert!(body.starts_with(value["msg"].as_str().unwrap()));
        sizes.push(datagram.len());
    }
    sizes.sort_unstable();
    assert!((900..=1000).contains(&sizes[0]) && (65_400..=65_507).contains(&sizes[1]), "{sizes:?}");
    assert_eq!(bench.counters("small").cut.value(), 1);
    assert!(bench.finish(PATIENCE).values().all(|report| report.is_complete()));
}

fn a_record_that_can_not_be_cut_is_counted_and_not_tried_for_ever(mode: IoMode) {
    let (_socket, endpoint) = receiver();
    let extra_tags = BTreeMap::from([("site".to_owned(), "x".repeat(70_000))]);
    let bench = Bench::start(mode, AMPLE, vec![DestinationConfig { extra_tags, ..destination("a", &endpoint) }]);
    let counters = bench.counters("a");
    bench.send(0..5);
    let reports = bench.finish(PATIENCE);
    assert!(reports["a"].is_complete(), "{reports:?}");
    assert_eq!((counters.lost.value(), counters.oversized.value() >= 5, counters.sent.value()), (5, true, 0));
}
