//! Do the runtimes and receivers that the other tests stand on work here? Without Ringward: when one of these fails,
//! so do the tests of the capture, and not because of the capture.

mod harness;

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use harness::containerd::{Containerd, Options};
use harness::docker::Docker;
use harness::numbered;
use harness::podman::Podman;
use harness::process::Finished;
use harness::receiver::Receiver;
use harness::runc::Runc;
use harness::{Machine, PATIENCE};

const HELLO: [&str; 3] = ["sh", "-c", "echo out; echo err >&2"];

#[track_caller]
fn said_hello(finished: Finished) {
    let finished = finished.succeeded();
    assert_eq!(String::from_utf8_lossy(&finished.stdout), "out\n");
    assert_eq!(String::from_utf8_lossy(&finished.stderr), "err\n");
}

#[test]
fn containerd_runs_containers_and_terminals() {
    let Some(_machine) = Machine::claim() else { return };
    let containerd = Containerd::start(&["default", "k8s.io"]);
    said_hello(containerd.run("hello", &HELLO, Options::default()).finish());
    let other = Options { namespace: "k8s.io", rm: false, ..Options::default() };
    said_hello(containerd.run("hello", &HELLO, other).finish());
    let terminal = Options { tty: true, ..Options::default() };
    let finished = containerd.run("terminal", &["echo", "on a terminal"], terminal).finish().succeeded();
    assert!(String::from_utf8_lossy(&finished.stdout).contains("on a terminal\r"), "{finished:?}");
    let lines = containerd.run("lines", &["emit", "lines", "3", "20"], Options::default()).finish().succeeded();
    let expected = (0..3).flat_map(|number| [numbered::line(number, 20), vec![b'\n']].concat()).collect::<Vec<_>>();
    assert_eq!(lines.stdout, expected);
}

#[test]
fn docker_runs_containers() {
    let Some(_machine) = Machine::claim() else { return };
    let docker = Docker::start();
    said_hello(docker.run("hello", &[], &HELLO).finish());
}

#[test]
fn podman_runs_containers() {
    let Some(_machine) = Machine::claim() else { return };
    let podman = Podman::start();
    said_hello(podman.run("hello", &[], &HELLO).finish());
}

#[test]
fn runc_runs_containers() {
    let Some(_machine) = Machine::claim() else { return };
    let runc = Runc::start();
    said_hello(runc.run("ringward-hello", &HELLO).finish());
}

#[test]
fn a_tcp_receiver_collects_whole_lines_and_names_broken_ones() {
    let receiver = Receiver::tcp().unwrap();
    let mut connection = TcpStream::connect(receiver.url().trim_start_matches("tcp://")).unwrap();
    connection.write_all(b"{\"msg\":\"a\",\"talos-service\":\"s\"}\nnonsense\n{\"lost-bytes\":7}\n{\"torn\":").unwrap();
    drop(connection);
    assert!(receiver.wait(PATIENCE, |records| records.len() == 2));
    assert!(receiver.wait_closed(PATIENCE));
    assert_eq!(receiver.of("s")[0].msg, "a");
    assert_eq!(receiver.with(|records| records[1].lost_bytes), Some(7));
    assert_eq!(receiver.broken().len(), 1);
}

#[test]
fn a_udp_receiver_takes_one_record_a_datagram() {
    let receiver = Receiver::udp().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"{\"msg\":\"a\"}", receiver.url().trim_start_matches("udp://")).unwrap();
    assert!(receiver.wait(PATIENCE, |records| records.len() == 1));
}
