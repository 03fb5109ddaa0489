//! How much a receiver's kernel acknowledges that its program does not read, and that the resend window covers it.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use ringward::io::IoMode;
use rustix::io::ioctl_fionread;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::bench::{AMPLE, Bench, destination, wait_until};
use crate::receiver::listen;

crate::on_both_backends!(
    stalled_from_the_start,
    stalled_after_reading,
    slow,
    stalled_with_32_mib,
    slow_with_32_mib,
    stalled_with_a_small_buffer,
);

/// Lines of 200 bytes; 60 MB encoded.
const LINES: u64 = 200_000;

fn stalled_from_the_start(mode: IoMode) {
    measure("stalled from the start", mode, None, |stream| read_some(stream, 200, 200));
}

fn stalled_after_reading(mode: IoMode) {
    measure("stalled after 16 MB", mode, None, |stream| read_some(stream, 16 << 20, 256 << 10));
}

fn slow(mode: IoMode) {
    measure("slow, 4 kB at a time", mode, None, |stream| read_slowly(stream, 4 << 20));
}

fn stalled_with_32_mib(mode: IoMode) {
    measure("stalled with 32 MiB", mode, Some(32 << 20), |stream| read_some(stream, 200, 200));
}

fn slow_with_32_mib(mode: IoMode) {
    measure("slow with 32 MiB", mode, Some(32 << 20), |stream| read_slowly(stream, 4 << 20));
}

fn stalled_with_a_small_buffer(mode: IoMode) {
    measure("stalled with 4 KiB", mode, Some(4 << 10), |stream| read_some(stream, 200, 200));
}

fn read_some(stream: &mut TcpStream, bytes: usize, piece: usize) -> u64 {
    let mut part = vec![0; piece];
    let mut read = 0;
    while read < bytes {
        read += stream.read(&mut part).unwrap();
    }
    read as u64
}

fn read_slowly(stream: &mut TcpStream, bytes: usize) -> u64 {
    let mut part = [0; 4096];
    let mut read = 0;
    while read < bytes {
        read += stream.read(&mut part).unwrap();
        // A program that is busier with other things than with reading.
        std::thread::sleep(Duration::from_micros(200));
    }
    read as u64
}

fn unread(stream: &TcpStream) -> u64 {
    ioctl_fionread(stream).unwrap()
}

/// Lets `read` read of a connection, waits until no more fits into the receiver's buffer, and closes with that
/// unread.
fn measure(what: &str, mode: IoMode, buffer: Option<usize>, read: impl FnOnce(&mut TcpStream) -> u64) {
    let (listener, endpoint): (TcpListener, String) = listen();
    if let Some(bytes) = buffer {
        // Inherited by the connections; beyond rmem_max only with CAP_NET_ADMIN.
        if set_socket_recv_buffer_size_force(listener.as_fd(), bytes).is_err() {
            eprintln!("skipped: a receive buffer of {bytes} bytes needs CAP_NET_ADMIN");
            return;
        }
    }
    let bench = Bench::start(mode, AMPLE, vec![destination("a", &endpoint)]);
    let counters = bench.counters("a");
    bench.send(0..LINES);
    let (mut stream, _) = listener.accept().unwrap();
    let was_read = read(&mut stream);
    let mut before = (0, 0);
    let mut same = 0;
    wait_until("the receiver's buffer is full", || {
        let now = (unread(&stream), counters.sent_bytes.value());
        same = if now == before && now.0 > 0 { same + 1 } else { 0 };
        before = now;
        same > 300
    });
    let unread = unread(&stream);
    drop(listener);
    drop(stream);
    wait_until("the reset is known", || counters.resets.value() > 0);
    let window = counters.resend_window_bytes.value();
    let proven = counters.acknowledged.value();
    eprintln!(
        "{mode:?}: {what}: {unread} bytes acknowledged and unread, resend window {window} ({:.1} times as much)",
        window as f64 / unread as f64
    );
    assert!(unread <= window, "{what}: {unread} bytes unread are more than the window of {window}");
    // The shortest encoded line has 280 bytes.
    assert!(proven * 280 <= was_read, "{what}: {proven} records counted as read of {was_read} bytes");
    drop(bench.finish(Duration::ZERO));
}
