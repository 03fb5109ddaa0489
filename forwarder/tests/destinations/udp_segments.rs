//! `udp.segment: pad`: each record is still a datagram of its own, whatever goes through the kernel together.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;

use ringward::destination::{DestinationConfig, Endpoint};
use ringward::io::IoMode;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::bench::{AMPLE, Bench, PATIENCE, destination, wait_until};
use crate::udp::{receive, receive_number, receiver};

crate::on_both_backends!(
    records_of_any_size_arrive_in_order_as_datagrams_of_their_own,
    a_refusal_costs_the_run_that_was_on_its_way_and_nothing_more,
    a_way_that_is_narrower_than_some_records_and_then_gets_narrower_still,
);

fn padded(endpoint: &str) -> DestinationConfig {
    DestinationConfig { pad_segments: true, ..destination("a", endpoint) }
}

/// Numbered bodies whose sizes stay alike for a while, and sometimes don't.
fn bodies(count: usize, largest: u64) -> Vec<String> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut usual = 100;
    (0..count)
        .map(|number| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random.is_multiple_of(50) {
                usual = random / 64 % 1200;
            }
            let size = match random % 31 {
                0 => random / 64 % largest,
                _ => usual + random / 64 % 100,
            };
            format!("{number} {}", "<".repeat(size as usize / 6))
        })
        .collect()
}

/// Sends in portions that a socket's buffer holds: UDP has no flow control. Returns the spaces and the bytes that came.
fn send_and_compare(bench: &Bench, socket: &UdpSocket, bodies: &[String]) -> (usize, usize) {
    let (mut spaces, mut bytes) = (0, 0);
    for portion in bodies.chunks(100) {
        bench.send_bodies(portion);
        for body in portion {
            let datagram = receive(socket);
            let value: serde_json::Value = serde_json::from_slice(&datagram).unwrap();
            assert_eq!(value["msg"], body.as_str());
            let json = datagram.trim_ascii_end();
            assert!(datagram[json.len()..].iter().all(|byte| *byte == b' '));
            spaces += datagram.len() - json.len();
            bytes += datagram.len();
        }
    }
    (spaces, bytes)
}

fn records_of_any_size_arrive_in_order_as_datagrams_of_their_own(mode: IoMode) {
    let (socket, endpoint) = receiver();
    // 100 of the largest come at once, in the worst case.
    if set_socket_recv_buffer_size_force(socket.as_fd(), 32 << 20).is_err() {
        eprintln!("skipped: a receive buffer that holds what is sent at once needs CAP_NET_ADMIN");
        return;
    }
    let bench = Bench::start(mode, AMPLE, vec![padded(&endpoint)]);
    let bodies = bodies(5_000, 60_000);
    let (spaces, bytes) = send_and_compare(&bench, &socket, &bodies);
    assert!(spaces > 0, "nothing was padded: the test is about runs");
    assert!((bytes - spaces) / 4 >= spaces, "{spaces} spaces in {bytes} bytes");
    let counters = bench.counters("a");
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_eq!((counters.sent.value(), counters.acknowledged.value()), (5_000, 5_000));
    assert_eq!((counters.lost.value(), counters.cut.value()), (0, 0));
}

fn a_refusal_costs_the_run_that_was_on_its_way_and_nothing_more(mode: IoMode) {
    // A busy kernel brings the refusal late, when more has left; not every time.
    let at_most = |most, pad| (0..20).any(|_| refused_among_many(mode, pad) <= most);
    assert!(at_most(64, true), "more than a run left before every refusal");
    assert!(at_most(1, false), "more than a datagram left before every refusal");
}

/// A receiver is away for a while and misses nothing that had not left; returns how much had.
fn refused_among_many(mode: IoMode, pad_segments: bool) -> u64 {
    let (socket, endpoint) = receiver();
    let address = socket.local_addr().unwrap();
    let config = DestinationConfig { pad_segments, ..destination("a", &endpoint) };
    let bench = Bench::start(mode, AMPLE, vec![config]);
    let counters = bench.counters("a");
    bench.send(0..10);
    for number in 0..10 {
        assert_eq!(receive_number(&socket), number);
    }
    drop(socket);
    // No more than a receiver's buffer takes at once, when there is one again.
    let mut end = 10;
    while counters.refused.value() < 2 {
        bench.send(end..end + 100);
        end += 100;
        wait_until("it was refused, and again", || {
            counters.refused.value() >= 2 || counters.acknowledged.value() == end
        });
    }
    let left = counters.acknowledged.value();
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in left..end {
        assert_eq!(receive_number(&socket), number);
    }
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_eq!(counters.sent.value(), end);
    left - 10
}

/// Two network namespaces with a cable between them.
struct Cable {
    sender: String,
    receiver: String,
}

impl Cable {
    const RECEIVER: &str = "10.99.0.2";

    /// `None` where it may not be laid; says so.
    fn lay(name: &str) -> Option<Self> {
        let cable = Self { sender: format!("{name}-a"), receiver: format!("{name}-b") };
        let Self { sender, receiver } = &cable;
        let steps = [
            format!("netns add {sender}"),
            format!("netns add {receiver}"),
            format!("-n {sender} link add cable type veth peer name cable netns {receiver}"),
            format!("-n {sender} addr add 10.99.0.1/24 dev cable"),
            format!("-n {receiver} addr add {}/24 dev cable", Self::RECEIVER),
            format!("-n {sender} link set cable up"),
            format!("-n {receiver} link set cable up"),
        ];
        match steps.iter().find(|step| !ip(step)) {
            None => Some(cable),
            Some(step) => {
                eprintln!("skipped: `ip {step}` is not possible here");
                None
            }
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for name in [&self.sender, &self.receiver] {
            ip(&format!("netns del {name}"));
        }
    }
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
}

fn enter(namespace: &str) {
    let file = std::fs::File::open(format!("/run/netns/{namespace}")).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

fn a_way_that_is_narrower_than_some_records_and_then_gets_narrower_still(mode: IoMode) {
    let Some(cable) = Cable::lay(&format!("rw{}{mode:?}", std::process::id())) else { return };
    let namespace = cable.receiver.clone();
    let socket = std::thread::spawn(move || {
        enter(&namespace);
        UdpSocket::bind((Cable::RECEIVER, 0)).unwrap()
    });
    let socket = socket.join().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    set_socket_recv_buffer_size_force(socket.as_fd(), 8 << 20).unwrap();
    // The threads of the destination are where the thread is that starts them.
    enter(&cable.sender);
    let address = socket.local_addr().unwrap();
    let endpoint = Endpoint::Udp { host: address.ip().to_string(), port: address.port() };
    let bench = Bench::start(mode, AMPLE, vec![padded(&endpoint.to_string())]);
    for mtu in [1500, 600, 1500] {
        assert!(ip(&format!("-n {} link set cable mtu {mtu}", cable.sender)));
        let (spaces, _) = send_and_compare(&bench, &socket, &bodies(1_000, 4_000));
        assert!(spaces > 0, "nothing was padded with an MTU of {mtu}");
    }
    let counters = bench.counters("a");
    assert!(bench.finish(PATIENCE)["a"].is_complete());
    assert_eq!((counters.sent.value(), counters.lost.value(), counters.cut.value()), (3_000, 0, 0));
}
