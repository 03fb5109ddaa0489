//! What the benchmarks of destinations send, and where: batches that the caches still hold, as they are when a destination
//! keeps up, into local receivers that throw away what comes.

use std::io::IoSlice;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringward::destination::{self, DestinationConfig, Encoders, Endpoint, stop_channel};
use ringward::encode::json_lines::{JsonLines, JsonLinesOptions};
use ringward::io::{self, IoMode};
use ringward::observe::counters::DestinationCounters;
use ringward::record::{Batch, BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta, Stream};
use ringward::ring::{ReaderOptions, Ring, RingLimits};
use rustix::net::{RecvFlags, recv};
use rustix::time::{ClockId, clock_gettime};

const LINE: usize = 200;
const LINES: u64 = 200_000;
/// Different batches; they are sent again and again.
const BATCHES: usize = 8;
/// As sources make them.
const BATCH_BYTES: usize = 64 << 10;

pub struct Input {
    pub batches: Vec<Batch>,
    /// Records of all that is sent in one life of a destination.
    pub records: u64,
    repeats: usize,
}

impl Default for Input {
    fn default() -> Self {
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
}

impl Input {
    pub fn ring(&self) -> Arc<Ring> {
        let ring = Ring::new(RingLimits { bytes: usize::MAX, records: u64::MAX }, 1);
        for batch in self.all() {
            ring.append(batch.clone());
        }
        ring.close();
        ring
    }

    pub fn all(&self) -> impl Iterator<Item = &Batch> {
        (0..self.repeats).flat_map(|_| &self.batches)
    }

    /// The encoded batches, and where their records end.
    pub fn encoded(&self, newline: bool) -> Encoded {
        let mut encoder = JsonLines::new(JsonLinesOptions { newline, ..JsonLinesOptions::default() });
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for batch in &self.batches {
            encoder.encode_batch(batch, 0..batch.record_count(), &mut bytes, &mut ends);
        }
        Encoded { bytes, ends, repeats: self.repeats }
    }
}

pub struct Encoded {
    pub bytes: Vec<u8>,
    ends: Vec<usize>,
    pub repeats: usize,
}

impl Encoded {
    pub fn total_bytes(&self) -> u64 {
        (self.bytes.len() * self.repeats) as u64
    }

    pub fn datagrams(&self) -> Vec<IoSlice<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| IoSlice::new(&self.bytes[start..*end])).collect()
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub fn measure(work: impl FnOnce()) -> Duration {
    let begin = cpu();
    work();
    cpu() - begin
}
/// The same, beside one that gets nowhere.
pub fn send_beside(input: &Input, configs: Vec<DestinationConfig>, stuck: Option<DestinationConfig>) -> Duration {
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
/// Accepts `connections` and throws away what they send, in the kernel.
pub struct TcpSink {
    pub address: std::net::SocketAddr,
    readers: JoinHandle<()>,
}

impl TcpSink {
    pub fn new(connections: usize) -> Self {
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

    pub fn destination(&self, name: &str) -> DestinationConfig {
        let endpoint = Endpoint::Tcp { host: self.address.ip().to_string(), port: self.address.port() };
        DestinationConfig::new(name, endpoint)
    }

    pub fn end(self) {
        self.readers.join().expect("the readers end with their connections");
    }
}

fn discard(stream: &TcpStream) {
    let mut nowhere = vec![0u8; 1 << 20];
    while recv(stream, &mut nowhere[..], RecvFlags::TRUNC).is_ok_and(|(_, bytes)| bytes > 0) {}
}
