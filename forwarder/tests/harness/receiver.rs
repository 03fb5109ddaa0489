//! Receivers of json_lines over TCP and UDP, and what a test asks of the records that came in.
//!
//! Reading the socket and parsing are two threads: a slow parser must not look like a slow receiver to the forwarder.
//! A [`Receiver`] folds every record into a state of the test's choice (a `Vec<Record>` when it has no other), and
//! [`Receiver::wait`] blocks until that state is as the test wants it. A line that is no JSON object ends up in
//! [`Receiver::broken`]: no test may leave it unread.
//!
//! Also compiled into the VM's test runner (xtask/guest).

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// One json_lines object.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub msg: String,
    /// `talos-service`: the container's name; empty for the kernel's records.
    pub service: String,
    /// `stdout`, `stderr` or `tty`; empty where there is none.
    pub stream: String,
    /// `partial`: no newline followed the message.
    pub partial: bool,
    /// `lost-bytes`: this record reports a gap of so many bytes.
    pub lost_bytes: Option<u64>,
    pub fields: BTreeMap<String, Value>,
}

impl Record {
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let fields = serde_json::from_slice::<BTreeMap<String, Value>>(line)
            .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(line)))?;
        let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self {
            msg: text("msg"),
            service: text("talos-service"),
            stream: text("stream"),
            partial: fields.get("partial").and_then(Value::as_bool).unwrap_or(false),
            lost_bytes: fields.get("lost-bytes").and_then(Value::as_u64),
            fields,
        })
    }

    /// A string field, or nothing.
    pub fn text(&self, key: &str) -> &str {
        self.fields.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The bytes of the stream that this record stands for: the message and its newline, or what it says was lost.
    pub fn stream_bytes(&self) -> u64 {
        self.lost_bytes.unwrap_or(self.msg.len() as u64 + u64::from(!self.partial))
    }
}

type Fold<S> = Box<dyn FnMut(&mut S, Record) + Send>;

/// A listening socket whose records are folded into an `S`.
pub struct Receiver<S = Vec<Record>> {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    inside: Mutex<Inside<S>>,
    changed: Condvar,
}

struct Inside<S> {
    state: S,
    broken: Vec<String>,
    /// Connections that are open, and lines that were read but not yet folded.
    open: usize,
    unfolded: usize,
}

impl Receiver {
    pub fn tcp() -> io::Result<Self> {
        Self::tcp_into(Vec::new(), |records, record| records.push(record))
    }

    pub fn udp() -> io::Result<Self> {
        Self::udp_into(Vec::new(), |records, record| records.push(record))
    }

    /// The records of one container, in their order.
    pub fn of(&self, service: &str) -> Vec<Record> {
        self.with(|records| records.iter().filter(|record| record.service == service).cloned().collect())
    }

    /// Waits until `enough` is true of one container's records; they are returned either way.
    pub fn wait_for(&self, service: &str, limit: Duration, enough: impl Fn(&[&Record]) -> bool) -> Vec<Record> {
        self.wait(limit, |records| {
            let own = records.iter().filter(|record| record.service == service).collect::<Vec<_>>();
            enough(&own)
        });
        self.of(service)
    }
}

impl<S: Send + 'static> Receiver<S> {
    /// Accepts any number of connections, one after the other or side by side.
    pub fn tcp_into(state: S, fold: impl FnMut(&mut S, Record) + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (receiver, lines) = Self::new(listener.local_addr()?, "tcp", state, Box::new(fold));
        let accepted = Arc::clone(&receiver.shared);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (lines, inside) = (lines.clone(), Arc::clone(&accepted));
                lock(&inside.inside).open += 1;
                thread::spawn(move || {
                    let mut reader = BufReader::with_capacity(1 << 18, connection);
                    let mut line = Vec::new();
                    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                        // A line without its newline was torn off with the connection; it will be sent again.
                        if line.pop() == Some(b'\n') {
                            lock(&inside.inside).unfolded += 1;
                            if lines.send(std::mem::take(&mut line)).is_err() {
                                break;
                            }
                        }
                        line.clear();
                    }
                    lock(&inside.inside).open -= 1;
                    inside.changed.notify_all();
                });
            }
        });
        Ok(receiver)
    }

    pub fn udp_into(state: S, fold: impl FnMut(&mut S, Record) + Send + 'static) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (receiver, lines) = Self::new(socket.local_addr()?, "udp", state, Box::new(fold));
        let inside = Arc::clone(&receiver.shared);
        thread::spawn(move || {
            let mut datagram = vec![0; 1 << 16];
            while let Ok(length) = socket.recv(&mut datagram) {
                lock(&inside.inside).unfolded += 1;
                if lines.send(datagram[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(receiver)
    }

    fn new(address: SocketAddr, scheme: &'static str, state: S, mut fold: Fold<S>) -> (Self, Sender<Vec<u8>>) {
        let inside = Inside { state, broken: Vec::new(), open: 0, unfolded: 0 };
        let shared = Arc::new(Shared { inside: Mutex::new(inside), changed: Condvar::new() });
        let (sender, lines) = mpsc::channel::<Vec<u8>>();
        let parser = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok(first) = lines.recv() {
                let parsed = std::iter::once(first).chain(lines.try_iter().take(1000)).map(|line| Record::parse(&line));
                let parsed = parsed.collect::<Vec<_>>();
                let mut inside = lock(&parser.inside);
                inside.unfolded -= parsed.len();
                for record in parsed {
                    match record {
                        Ok(record) => fold(&mut inside.state, record),
                        Err(why) => inside.broken.push(why),
                    }
                }
                parser.changed.notify_all();
            }
        });
        (Self { address, scheme, shared }, sender)
    }

    /// What `--to` takes.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Blocks until `enough` is true of the state, at most `limit`; whether it became true.
    pub fn wait(&self, limit: Duration, enough: impl Fn(&S) -> bool) -> bool {
        self.wait_inside(limit, |inside| enough(&inside.state))
    }

    /// Blocks until every connection was closed by the forwarder and what came over it was folded: nothing can come
    /// any more, and what came twice or too late is to be seen.
    pub fn wait_closed(&self, limit: Duration) -> bool {
        self.wait_inside(limit, |inside| inside.open == 0 && inside.unfolded == 0)
    }

    fn wait_inside(&self, limit: Duration, enough: impl Fn(&Inside<S>) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut inside = lock(&self.shared.inside);
        loop {
            if enough(&inside) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.shared.changed.wait_timeout(inside, left);
            inside = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Looks at the state.
    pub fn with<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&lock(&self.shared.inside).state)
    }

    /// Lines that were no JSON object.
    pub fn broken(&self) -> Vec<String> {
        lock(&self.shared.inside).broken.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
