//! A TCP receiver that does something bad every 50 ms, and after each tenth of all, while numbered lines flow.
//!
//! It closes with lines unread, resets, goes away and comes back on the same port, stalls with a full window, or ends in
//! order. Whatever it does: no number is missing, each connection has its numbers in order and without gaps, and what comes
//! twice lies within the resend window.
//!
//! `RINGWARD_TEST_LINES=2000000` sends so many lines, as `docs/development.md` says.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ringward::destination::DestinationConfig;
use ringward::io::IoMode;
use socket2::{SockRef, Socket};

use crate::bench::{AMPLE, Bench, PATIENCE, destination, number_of, wait_until};
use crate::receiver::listen;

crate::on_both_backends!(nothing_is_missing_whatever_the_receiver_does, what_comes_twice_lies_within_the_resend_window,);

const LINES: u64 = 8_000;
const TICK: Duration = Duration::from_millis(50);
/// Lines that wait at most: the ring is no part of this.
const AHEAD: u64 = 100_000;

/// What happens at the end of a tick.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Closes, with whatever was not read.
    Close,
    /// Closes its side, reads to the end, and then closes the other.
    CloseInOrder,
    Reset,
    /// Nobody listens for a tick.
    Restart,
    /// Reads nothing for a tick, and then goes on.
    Stall,
}

const FAULTS: [Fault; 5] = [Fault::Close, Fault::Stall, Fault::Reset, Fault::Restart, Fault::CloseInOrder];

struct Faulty {
    listener: Option<TcpListener>,
    address: SocketAddr,
    /// Of the connections.
    receive_buffer: Option<usize>,
    /// The sender has nothing more.
    ended: Arc<AtomicBool>,
    count: u64,
    /// With so many a tick ends early.
    enough: u64,
    /// An encoded line; all are like it but for their numbers, which are there.
    like: Vec<u8>,
    digits: Range<usize>,
    /// Faults and numbers when there last were some new ones.
    new: (u64, u64),
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    /// All before it were read.
    next: u64,
    doubled: u64,
    /// How far a connection went back at its beginning, at most.
    farthest_back: u64,
    connections: u64,
    faults: u64,
    mercies: u64,
}

impl Faulty {
    fn new(count: u64, receive_buffer: Option<usize>, ended: &Arc<AtomicBool>) -> (Self, String) {
        let (listener, endpoint) = listen();
        let faulty = Self {
            address: listener.local_addr().unwrap(),
            listener: Some(with_buffer(listener, receive_buffer)),
            receive_buffer,
            ended: Arc::clone(ended),
            count,
            enough: u64::MAX,
            like: Vec::new(),
            digits: 0..0,
            new: (0, 0),
            seen: Seen::default(),
        };
        (faulty, endpoint)
    }

    /// Until the sender has ended.
    fn run(mut self) -> Seen {
        let mut faults = FAULTS.iter().cycle();
        let mut next = self.accept();
        while let Some(mut connection) = next.take() {
            self.enough = self.seen.next + self.count / 10;
            let alive = connection.read_until(Instant::now() + TICK, &mut self);
            self.enough = u64::MAX;
            let alive = alive && self.show_mercy(&mut connection);
            if self.seen.next == self.count {
                assert!(!connection.read_until(Instant::now() + PATIENCE, &mut self), "the sender has not ended");
                drop(connection);
                next = self.accept();
                continue;
            }
            self.seen.faults += 1;
            next = match faults.next() {
                Some(Fault::Stall) if alive => {
                    std::thread::sleep(TICK);
                    Some(connection)
                }
                Some(Fault::Restart) => {
                    drop((connection, self.listener.take()));
                    std::thread::sleep(TICK);
                    let listener = TcpListener::bind(self.address).expect("the port is still free");
                    self.listener = Some(with_buffer(listener, self.receive_buffer));
                    self.accept()
                }
                Some(fault) => {
                    connection.end(*fault, &mut self);
                    self.accept()
                }
                None => unreachable!("a cycle has no end"),
            };
        }
        self.seen
    }

    /// The next connection; none when the sender has ended.
    fn accept(&mut self) -> Option<Connection> {
        let listener = self.listener.as_ref().expect("it is away only in between");
        listener.set_nonblocking(true).unwrap();
        let mut accepted = None;
        wait_until(&format!("it connects again, or has ended; {:?}", self.seen), || {
            accepted = listener.accept().ok();
            accepted.is_some() || self.ended.load(Ordering::Relaxed)
        });
        let (stream, _) = accepted?;
        stream.set_nonblocking(false).unwrap();
        self.seen.connections += 1;
        Some(Connection { stream, rest: Vec::new(), last: None })
    }

    /// Where a machine is so slow that nothing new came for many faults: without any for a while. Whether the connection is
    /// still there.
    fn show_mercy(&mut self, connection: &mut Connection) -> bool {
        if self.seen.next > self.new.1 {
            self.new = (self.seen.faults, self.seen.next);
        }
        if self.seen.faults - self.new.0 < 8 {
            return true;
        }
        self.seen.mercies += 1;
        let begin = Instant::now();
        let enough = self.count.min(self.new.1 + 5000);
        while self.seen.next < enough && begin.elapsed() < PATIENCE {
            if !connection.read_until(Instant::now() + TICK, self) {
                return false;
            }
        }
        true
    }

    /// A line was read, as the next of its connection.
    fn note(&mut self, line: &[u8], last: Option<u64>) -> u64 {
        let number = self.number(line);
        match last {
            Some(last) => assert_eq!(number, last + 1, "out of order in a connection"),
            None => {
                let next = self.seen.next;
                assert!(number <= next, "{next} is missing: the connection begins with {number}");
                self.seen.farthest_back = self.seen.farthest_back.max(next - number);
            }
        }
        self.seen.doubled += u64::from(number < self.seen.next);
        self.seen.next = self.seen.next.max(number + 1);
        number
    }

    /// Of a line that is as it was sent.
    fn number(&mut self, line: &[u8]) -> u64 {
        if self.like.is_empty() {
            assert!(number_of(line).is_some());
            let digits = line.windows(12).position(|bytes| bytes == b"\"msg\":\"line ").expect("a line") + 12;
            (self.like, self.digits) = (line.to_vec(), digits..digits + 10);
        }
        let number = &line[self.digits.clone()];
        self.like[self.digits.clone()].copy_from_slice(number);
        assert!(line == self.like && number.iter().all(u8::is_ascii_digit), "{}", line.escape_ascii());
        str::from_utf8(number).expect("digits").parse().expect("a number")
    }
}

struct Connection {
    stream: TcpStream,
    /// The beginning of a line.
    rest: Vec<u8>,
    last: Option<u64>,
}

impl Connection {
    /// Reads until then, or until there is enough; `false` where the connection ended before.
    fn read_until(&mut self, deadline: Instant, to: &mut Faulty) -> bool {
        let mut part = vec![0; 64 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || to.seen.next >= to.enough {
                return true;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut part) {
                Ok(0) => return false,
                Ok(read) => self.take(&part[..read], to),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], to: &mut Faulty) {
        self.rest.extend_from_slice(bytes);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // They have one length: their numbers have.
        let len = self.rest.iter().position(|byte| *byte == b'\n').map_or(1, |at| at + 1);
        for line in self.rest[..end].chunks(len) {
            self.last = Some(to.note(line, self.last));
        }
        self.rest.drain(..end);
    }

    fn end(mut self, fault: Fault, to: &mut Faulty) {
        match fault {
            Fault::Reset => SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap(),
            Fault::CloseInOrder if self.stream.shutdown(Shutdown::Write).is_ok() => {
                assert!(!self.read_until(Instant::now() + PATIENCE, to), "the sender goes on");
            }
            _ => {}
        }
    }
}

fn with_buffer(listener: TcpListener, bytes: Option<usize>) -> TcpListener {
    if let Some(bytes) = bytes {
        Socket::from(listener.try_clone().unwrap()).set_recv_buffer_size(bytes).unwrap();
    }
    listener
}

fn lines() -> u64 {
    std::env::var("RINGWARD_TEST_LINES").map_or(LINES, |lines| lines.parse().expect("a number of lines"))
}

/// Sends all lines to a receiver with faults; what it saw.
fn run(mode: IoMode, receive_buffer: Option<usize>, resend_window: Option<u64>) -> Seen {
    let (count, ended) = (lines(), Arc::default());
    let (receiver, endpoint) = Faulty::new(count, receive_buffer, &ended);
    let config = DestinationConfig { resend_window, ..destination("a", &endpoint) };
    let bench = Bench::start(mode, AMPLE, vec![config]);
    let counters = bench.counters("a");
    let begin = Instant::now();
    let receiver = std::thread::spawn(move || receiver.run());
    for from in (0..count).step_by(1000) {
        if from >= AHEAD {
            wait_until("it has gone on", || receiver.is_finished() || counters.acknowledged.value() > from - AHEAD);
        }
        bench.send(from..count.min(from + 1000));
    }
    let reports = bench.finish(PATIENCE);
    ended.store(true, Ordering::Relaxed);
    let seen = receiver.join().unwrap();
    eprintln!(
        "{mode:?}, resend window {resend_window:?}: {count} lines in {:?}, {} resets, {} sent again: {seen:?}",
        begin.elapsed(),
        counters.resets.value(),
        counters.resent.value(),
    );
    assert!(reports["a"].is_complete(), "{reports:?}");
    assert_eq!((seen.next, counters.acknowledged.value()), (count, count));
    seen
}

fn nothing_is_missing_whatever_the_receiver_does(mode: IoMode) {
    let seen = run(mode, None, None);
    assert!(seen.faults >= 5, "{seen:?}");
}

/// A receive buffer that holds less than the window: what is doubled does not depend on what was seen of it.
fn what_comes_twice_lies_within_the_resend_window(mode: IoMode) {
    const WINDOW: u64 = 512 << 10;
    const BUFFER: usize = 32 << 10;
    let seen = run(mode, Some(BUFFER), Some(WINDOW));
    // The kernel doubles what is asked for; so much may be read before it is acknowledged.
    let most = (WINDOW + 2 * BUFFER as u64) / 280 + 1;
    assert!(seen.farthest_back <= most, "{seen:?}");
}
