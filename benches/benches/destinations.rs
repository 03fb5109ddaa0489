//! What a destination costs beside the kernel's part: UDP and TCP into a local receiver that throws away what comes,
//! and in the same run the same bytes from prepared buffers, by `sendmmsg` and `write`.
//!
//! Everything is CPU time of the thread that sends, so that what else runs on the machine decides little. Encoding is
//! part of a destination's time, and not of the prepared buffers'. A destination sends batches that the caches still
//! hold, as it does when it keeps up.
//!
//! A destination beside one that is a black hole is compared with one that is alone, in pairs of runs: what the other
//! costs it is to be less than a fiftieth.
//!
//! UDP goes to a socket that nobody reads: the kernel does all but wake a reader. TCP also goes to several receivers at a
//! time: what grows with their number is to be the sending, as it does for the prepared bytes.

use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringward::destination::{self, DestinationConfig, Encoders, Endpoint, stop_channel};
use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::io::{self, IoMode};
use ringward::observe::counters::DestinationCounters;
use ringward::record::{Batch, BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta, Stream};
use ringward::ring::{ReaderOptions, Ring, RingLimits};
use rustix::net::{MMsgHdr, RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmmsg};
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};

const LINE: usize = 200;
const LINES: u64 = 200_000;
/// Different batches; they are sent again and again.
const BATCHES: usize = 8;
/// As sources make them.
const BATCH_BYTES: usize = 64 << 10;
/// As destinations write.
const WRITE_BYTES: usize = 256 << 10;
const DATAGRAMS: usize = 256;
/// Interleaved rounds, of which the best counts: noise only ever adds.
const ROUNDS: usize = 7;

struct Input {
    batches: Vec<Batch>,
    /// Records of all that is sent in one life of a destination.
    records: u64,
    repeats: usize,
}

impl Input {
    fn new() -> Self {
        let origin = OriginHandle::new(Origin {
            kind: OriginKind::Container,
            name: "web".into(),
            stream: Stream::Stdout,
            source: String::new(),
            attributes: vec![("namespace".into(), "production".into()), ("pod".into(), "web-5d8f7c9b6d-x2x7z".into())],
        });
        let mut number = 0u64;
        let batches: Vec<Batch> = (0..BATCHES)
            .map(|_| {
                let mut builder = BatchBuilder::new(BATCH_BYTES);
                while builder.fits(LINE) {
                    let body = format!("{number:010} request served path=/api/v1/items status=200 ");
                    let body: Vec<u8> = body.bytes().cycle().take(LINE).collect();
                    let time = 1_767_323_045_000_000_000 + number as i64 * 1_700;
                    builder.push(&origin, RecordMeta::line(time, &body), &body);
                    number += 1;
                }
                builder.seal()
            })
            .collect();
        let once: u64 = batches.iter().map(|batch| u64::from(batch.record_count())).sum();
        let repeats = LINES.div_ceil(once) as usize;
        Self { batches, records: once * repeats as u64, repeats }
    }

    fn ring(&self) -> Arc<Ring> {
        let ring = Ring::new(RingLimits { bytes: usize::MAX, records: u64::MAX }, 1);
        for batch in self.all() {
            ring.append(batch.clone());
        }
        ring.close();
        ring
    }

    fn all(&self) -> impl Iterator<Item = &Batch> {
        (0..self.repeats).flat_map(|_| &self.batches)
    }

    /// The encoded batches, and where their records end.
    fn encoded(&self, newline: bool) -> Encoded {
        let mut encoder = JsonLines::new(JsonLinesOptions { newline, ..JsonLinesOptions::default() });
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for batch in &self.batches {
            encoder.encode_batch(batch, 0..batch.record_count(), &mut bytes, &mut ends);
        }
        Encoded { bytes, ends, repeats: self.repeats }
    }
}

struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    repeats: usize,
}

impl Encoded {
    fn total_bytes(&self) -> u64 {
        (self.bytes.len() * self.repeats) as u64
    }

    fn datagrams(&self) -> Vec<IoSlice<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| IoSlice::new(&self.bytes[start..*end])).collect()
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn measure(work: impl FnOnce()) -> Duration {
    let begin = cpu();
    work();
    cpu() - begin
}

/// Runs destinations until they have sent everything, on this thread.
fn send(input: &Input, configs: Vec<DestinationConfig>) -> Duration {
    send_beside(input, configs, None)
}

/// The same, beside one that gets nowhere.
fn send_beside(input: &Input, configs: Vec<DestinationConfig>, stuck: Option<DestinationConfig>) -> Duration {
    let ring = input.ring();
    let counters: Vec<_> = configs.iter().map(|_| Arc::new(DestinationCounters::default())).collect();
    let took = measure(|| {
        let (stop, signal) = stop_channel();
        io::run(IoMode::Auto, async {
            let encoders = Encoders::default();
            let tasks: Vec<_> = configs
                .into_iter()
                .zip(&counters)
                .map(|(config, counters)| {
                    let cursor = ring.reader(ReaderOptions::new(config.name.clone()));
                    let task = destination::run(config, cursor, Arc::clone(counters), signal.clone(), encoders.clone());
                    tokio::task::spawn_local(task)
                })
                .collect();
            let stuck = stuck.map(|config| {
                let cursor = ring.reader(ReaderOptions::new(config.name.clone()));
                let counters = Arc::new(DestinationCounters::default());
                tokio::task::spawn_local(destination::run(config, cursor, counters, signal.clone(), encoders.clone()))
            });
            for task in tasks {
                assert!(task.await.expect("a destination does not panic").is_complete());
            }
            if let Some(stuck) = stuck {
                stop.drain_until(Instant::now().into());
                assert!(!stuck.await.expect("a destination does not panic").is_complete());
            }
        })
        .expect("the event loop runs");
    });
    assert!(counters.iter().all(|counters| counters.sent.value() == input.records));
    took
}

/// A socket that nobody reads.
struct UdpSink(UdpSocket);

impl UdpSink {
    fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").expect("a local port"))
    }

    fn destination(&self, pad_segments: bool) -> DestinationConfig {
        let address = self.0.local_addr().expect("bound");
        let endpoint = Endpoint::Udp { host: address.ip().to_string(), port: address.port() };
        DestinationConfig { pad_segments, ..DestinationConfig::new("udp", endpoint) }
    }

    /// The same datagrams, as many a call as the destination has.
    fn raw(&self, encoded: &Encoded) -> Duration {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a local port");
        socket.connect(self.0.local_addr().expect("bound")).expect("connected");
        let parts = encoded.datagrams();
        let mut controls: Vec<_> = parts.iter().map(|_| SendAncillaryBuffer::new(&mut [])).collect();
        let mut messages: Vec<_> = parts
            .iter()
            .zip(&mut controls)
            .map(|(part, control)| MMsgHdr::new(std::slice::from_ref(part), control))
            .collect();
        measure(|| {
            for _ in 0..encoded.repeats {
                for call in messages.chunks_mut(DATAGRAMS) {
                    assert_eq!(sendmmsg(&socket, call, SendFlags::DONTWAIT).ok(), Some(call.len()));
                }
            }
        })
    }
}

/// Accepts `connections` and throws away what they send, in the kernel.
struct TcpSink {
    address: std::net::SocketAddr,
    readers: JoinHandle<()>,
}

impl TcpSink {
    fn new(connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a local port");
        let address = listener.local_addr().expect("bound");
        let readers = std::thread::spawn(move || {
            let readers: Vec<_> = (0..connections)
                .map(|_| {
                    let (stream, _) = listener.accept().expect("a connection");
                    std::thread::spawn(move || discard(&stream))
                })
                .collect();
            for reader in readers {
                reader.join().expect("a reader does not panic");
            }
        });
        Self { address, readers }
    }

    fn destination(&self, name: &str) -> DestinationConfig {
        let endpoint = Endpoint::Tcp { host: self.address.ip().to_string(), port: self.address.port() };
        DestinationConfig::new(name, endpoint)
    }

    fn end(self) {
        self.readers.join().expect("the readers end with their connections");
    }
}

fn discard(stream: &TcpStream) {
    let mut nowhere = vec![0u8; 1 << 20];
    while recv(stream, &mut nowhere[..], RecvFlags::TRUNC).is_ok_and(|(_, bytes)| bytes > 0) {}
}

/// The same bytes to each receiver, by one thread.
fn raw_tcp(encoded: &Encoded, receivers: usize) -> Duration {
    let sink = TcpSink::new(receivers);
    let mut streams: Vec<_> = (0..receivers)
        .map(|_| {
            let stream = TcpStream::connect(sink.address).expect("connected");
            stream.set_nodelay(true).expect("a TCP socket");
            stream
        })
        .collect();
    let took = measure(|| {
        for _ in 0..encoded.repeats {
            for piece in encoded.bytes.chunks(WRITE_BYTES) {
                for stream in &mut streams {
                    stream.write_all(piece).expect("the sink reads");
                }
            }
        }
    });
    drop(streams);
    sink.end();
    took
}

fn tcp(input: &Input, destinations: usize) -> Duration {
    let sink = TcpSink::new(destinations);
    let configs = (0..destinations).map(|number| sink.destination(&format!("tcp {number}"))).collect();
    let took = send(input, configs);
    sink.end();
    took
}

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

/// Prints what a black hole costs the destination beside it: the median of runs that alternate, in CPU time of their
/// thread and in time.
fn beside_a_black_hole(input: &Input) {
    const PAIRS: usize = 15;
    let hole = BlackHole::new();
    let run = |stuck: Option<DestinationConfig>| {
        let sink = TcpSink::new(1);
        let begin = Instant::now();
        let cpu = send_beside(input, vec![sink.destination("healthy")], stuck);
        let time = begin.elapsed();
        sink.end();
        [cpu, time]
    };
    let pairs: Vec<_> = (0..PAIRS).map(|_| (run(None), run(Some(hole.destination())))).collect();
    for (index, what) in ["CPU time", "time"].into_iter().enumerate() {
        let mut ratios: Vec<f64> =
            pairs.iter().map(|(alone, beside)| beside[index].as_secs_f64() / alone[index].as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let alone = pairs.iter().map(|(alone, _)| alone[index]).min().expect("there are pairs");
        let beside = pairs.iter().map(|(_, beside)| beside[index]).min().expect("there are pairs");
        println!(
            "tcp  beside a black hole: {what} {:+.1} % (median of {PAIRS} pairs), {:+.1} % (best of each)   bar: 2 %",
            100.0 * (ratios[PAIRS / 2] - 1.0),
            100.0 * (beside.as_secs_f64() / alone.as_secs_f64() - 1.0),
        );
    }
}

/// Each way to send, by name, with what one call of it costs.
type Way<'a> = (&'static str, Box<dyn Fn() -> Duration + 'a>);

fn destinations(criterion: &mut Criterion) {
    let input = Input::new();
    let (datagrams, lines) = (input.encoded(false), input.encoded(true));
    let sink = UdpSink::new();
    let ways: [(&str, &Encoded, Vec<Way<'_>>); 2] = [
        (
            "udp",
            &datagrams,
            vec![
                ("raw sendmmsg", Box::new(|| sink.raw(&datagrams))),
                ("destination", Box::new(|| send(&input, vec![sink.destination(false)]))),
                ("destination, segment: pad", Box::new(|| send(&input, vec![sink.destination(true)]))),
            ],
        ),
        (
            "tcp",
            &lines,
            vec![
                ("raw write", Box::new(|| raw_tcp(&lines, 1))),
                ("raw write to 8", Box::new(|| raw_tcp(&lines, 8))),
                ("1 destination", Box::new(|| tcp(&input, 1))),
                ("2 destinations", Box::new(|| tcp(&input, 2))),
                ("4 destinations", Box::new(|| tcp(&input, 4))),
                ("8 destinations", Box::new(|| tcp(&input, 8))),
            ],
        ),
    ];
    for (name, encoded, ways) in &ways {
        let mut group = criterion.benchmark_group(*name);
        group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
        group.throughput(Throughput::ElementsAndBytes { elements: input.records, bytes: encoded.total_bytes() });
        for (way, run) in ways {
            group.bench_function(*way, |bencher| bencher.iter_custom(|lives| (0..lives).map(|_| run()).sum()));
        }
        group.finish();
    }
    for (name, encoded, ways) in &ways {
        compare(name, ways, input.records, encoded.total_bytes());
    }
    beside_a_black_hole(&input);
}

/// Prints what a record costs each way, and the first way's time as a part of it.
fn compare(name: &str, ways: &[Way<'_>], records: u64, bytes: u64) {
    let mut best = vec![Duration::MAX; ways.len()];
    for _ in 0..ROUNDS {
        for (best, (_, run)) in best.iter_mut().zip(ways) {
            *best = run().min(*best);
        }
    }
    for (took, (way, _)) in best.iter().zip(ways) {
        let ns = took.as_nanos() as f64 / records as f64;
        let ratio = best[0].as_secs_f64() / took.as_secs_f64();
        let bar = match (name, *way) {
            ("udp", "destination") => "   bar: 0.95",
            ("udp", "destination, segment: pad") => "   bar: 3.0",
            _ => "",
        };
        let (rate, speed) = (1000.0 / ns, bytes as f64 / took.as_nanos() as f64);
        println!(
            "{name:<4} {way:<28} {ns:>8.1} ns a record  {rate:>6.2} M/s {speed:>6.2} GB/s  {ratio:>5.2} x raw{bar}"
        );
    }
}

criterion_group!(benches, destinations);
criterion_main!(benches);
