//! What others cost a destination that keeps up: one that is a black hole, and a hundred viewers.
//!
//! Runs alone and beside them alternate, and the median of the ratios counts.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringward::destination::{self, DestinationConfig, Encoders, Endpoint, stop_channel};
use ringward::io::{self, IoMode};
use ringward::observe::counters::DestinationCounters;
use ringward::ring::{ReaderOptions, Ring, RingLimits};
use ringward::view::{Stages, ViewHandle, viewer};
use ringward_benches::sending::{Input, TcpSink, send_beside};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Socket, Type};

/// Connecting to it gets no answer: a listener whose queue is full.
struct BlackHole {
    address: std::net::SocketAddr,
    _sockets: Vec<Socket>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).expect("a local port");
        listener.listen(0).expect("a socket that was bound");
        let address = listener.local_addr().expect("bound");
        let fill = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            let _ = socket.connect(&address);
            socket
        };
        let mut sockets: Vec<_> = (0..8).map(|_| fill()).collect();
        sockets.push(listener);
        Self { address: address.as_socket().expect("an IPv4 address"), _sockets: sockets }
    }

    fn destination(&self) -> DestinationConfig {
        let endpoint = Endpoint::Tcp { host: self.address.ip().to_string(), port: self.address.port() };
        DestinationConfig::new("black hole", endpoint)
    }
}

/// Prints what something costs the destination beside it: the median of runs that alternate. Of each run, what `names`
/// says.
fn compare<const N: usize>(beside: &str, names: [(&str, f64); N], run: impl Fn(bool) -> [Duration; N]) {
    const PAIRS: usize = 15;
    let pairs: Vec<_> = (0..PAIRS).map(|_| (run(false), run(true))).collect();
    for (index, (what, bar)) in names.into_iter().enumerate() {
        let mut ratios: Vec<f64> =
            pairs.iter().map(|(alone, beside)| beside[index].as_secs_f64() / alone[index].as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let least_alone = pairs.iter().map(|(alone, _)| alone[index]).min().expect("there are pairs");
        let least_beside = pairs.iter().map(|(_, beside)| beside[index]).min().expect("there are pairs");
        println!(
            "tcp  beside {beside}: {what} {:+.1} % (median of {PAIRS} pairs), {:+.1} % (best of each)   bar: {bar} %",
            100.0 * (ratios[PAIRS / 2] - 1.0),
            100.0 * (least_beside.as_secs_f64() / least_alone.as_secs_f64() - 1.0),
        );
    }
}

fn beside_a_black_hole(input: &Input) {
    let hole = BlackHole::new();
    compare("a black hole", [("CPU time", 2.0), ("time", 2.0)], |is_beside| {
        let sink = TcpSink::new(1);
        let begin = Instant::now();
        let cpu = send_beside(input, vec![sink.destination("healthy")], is_beside.then(|| hole.destination()));
        let time = begin.elapsed();
        sink.end();
        [cpu, time]
    });
}

/// As many `ringward logs -f` as stand in a [`compare`].
const VIEWERS: usize = 100;

/// Connections that follow the ring, and the thread that throws away what they are sent.
struct Viewers {
    view: ViewHandle,
    reader: JoinHandle<()>,
}

impl Viewers {
    fn new(ring: &Arc<Ring>) -> Self {
        let path = std::env::temp_dir().join(format!("ringward-bench-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        let view = viewer::start(listener.into(), Arc::clone(ring), Stages::default()).expect("a thread");
        let streams: Vec<_> = (0..VIEWERS)
            .map(|_| {
                let mut stream = UnixStream::connect(&path).expect("connected");
                stream.write_all(b"{\"follow\":true}\n").expect("sent");
                // It follows, once it has been sent what the ring had.
                stream.read_exact(&mut [0]).expect("the ring is not empty");
                stream.set_nonblocking(true).expect("a socket");
                stream
            })
            .collect();
        std::fs::remove_file(&path).expect("the socket's file");
        let reader = std::thread::spawn(move || {
            let mut nowhere = vec![0u8; 1 << 20];
            let mut watched: Vec<_> = streams.iter().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
            while !watched.is_empty() {
                poll(&mut watched, None).expect("sockets");
                watched.retain(|watched| {
                    watched.revents().is_empty()
                        || recv(watched.as_fd(), &mut nowhere[..], RecvFlags::empty())
                            .map_or_else(|error| error == Errno::AGAIN, |(_, bytes)| bytes > 0)
                });
            }
        });
        Self { view, reader }
    }

    fn end(self) {
        self.view.stop();
        self.reader.join().expect("the reader ends with its connections");
    }
}

/// A source that waits for room fills a ring of the usual size, which a destination empties.
fn beside_viewers(input: &Input) {
    compare(&format!("{VIEWERS} viewers"), [("time", 5.0)], |is_beside| {
        let ring = Ring::new(RingLimits { bytes: 4 << 20, records: u64::MAX }, 1);
        ring.append(input.batches[0].clone());
        let viewers = is_beside.then(|| Viewers::new(&ring));
        let sink = TcpSink::new(1);
        let counters = Arc::new(DestinationCounters::default());
        let cursor = ring.reader(ReaderOptions::new("healthy"));
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                for batch in input.all().chain(input.all()).chain(input.all()) {
                    runtime.block_on(ring.room());
                    ring.append(batch.clone());
                }
                ring.close();
            });
            let (_stop, signal) = stop_channel();
            let task = destination::run(
                sink.destination("healthy"),
                cursor,
                Arc::clone(&counters),
                signal,
                Encoders::default(),
            );
            io::run(IoMode::Auto, async { assert!(task.await.is_complete()) }).expect("the event loop runs");
        });
        let time = begin.elapsed();
        assert!(counters.sent.value() > 3 * input.records);
        sink.end();
        viewers.into_iter().for_each(Viewers::end);
        [time]
    });
}

fn main() {
    let input = Input::default();
    beside_a_black_hole(&input);
    beside_viewers(&input);
}
