//! A ring, an I/O thread with destinations on it, and numbered lines to send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringward::destination::{
    self, DestinationConfig, DrainReport, Encoders, Endpoint, RetryPolicy, StopHandle, StopSignal, stop_channel,
};
use ringward::io::{self, IoMode};
use ringward::observe::counters::{Counters, DestinationCounters};
use ringward::record::{Batch, BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use ringward::ring::{Cursor, ReaderOptions, Ring, RingLimits};

/// Longest that anything may take here, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// More than any test sends, so that nothing is lost at the ring's end.
pub const AMPLE: RingLimits = RingLimits { bytes: 1 << 30, records: u64::MAX };

pub struct Bench {
    ring: Arc<Ring>,
    counters: Arc<Counters>,
    stop: StopHandle,
    thread: JoinHandle<BTreeMap<String, DrainReport>>,
    io_thread: rustix::thread::Pid,
}

impl Bench {
    pub fn start(mode: IoMode, limits: RingLimits, configs: Vec<DestinationConfig>) -> Self {
        let ring = Ring::new(limits, 1);
        let counters = Arc::new(Counters::default());
        let (stop, signal) = stop_channel();
        let destinations: Vec<_> = configs
            .into_iter()
            .map(|config| {
                let cursor = ring.reader(ReaderOptions::new(config.name.clone()));
                let counters = counters.destination(&config.name);
                (config, cursor, counters)
            })
            .collect();
        let (tid, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tid.send(rustix::thread::gettid()).unwrap();
            io::run(mode, run_all(destinations, signal)).unwrap()
        });
        Self { ring, counters, stop, thread, io_thread: told.recv().unwrap() }
    }

    pub fn counters(&self, name: &str) -> Arc<DestinationCounters> {
        self.counters.destination(name)
    }

    /// How often the I/O thread has gone to sleep.
    pub fn sleeps(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", self.io_thread)).unwrap();
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        switches.unwrap().trim().parse().unwrap()
    }

    /// Appends lines with these numbers, in batches as sources make them.
    pub fn send(&self, numbers: std::ops::Range<u64>) {
        let origin = OriginHandle::new(Origin::new(OriginKind::Container, "test"));
        let mut builder = BatchBuilder::new(64 << 10);
        for number in numbers {
            let body = line(number);
            if !builder.fits(body.len()) {
                self.ring.append(builder.seal_before(body.len()));
            }
            builder.push(&origin, RecordMeta::line(1, body.as_bytes()), body.as_bytes());
        }
        if !builder.is_empty() {
            self.ring.append(builder.seal());
        }
    }

    /// Appends these records, in one batch.
    pub fn send_bodies(&self, bodies: &[String]) {
        let origin = OriginHandle::new(Origin::new(OriginKind::Container, "test"));
        let mut builder = BatchBuilder::new(64 << 10);
        for body in bodies {
            builder.push(&origin, RecordMeta::line(1, body.as_bytes()), body.as_bytes());
        }
        self.ring.append(builder.seal());
    }

    pub fn send_batch(&self, batch: Batch) {
        self.ring.append(batch);
    }

    /// Appends one record.
    pub fn send_body(&self, body: &[u8]) {
        let origin = OriginHandle::new(Origin::new(OriginKind::Container, "test"));
        let mut builder = BatchBuilder::new(1024);
        builder.push(&origin, RecordMeta::line(1, body), body);
        self.ring.append(builder.seal());
    }

    /// Ends everything within `bound`; what each destination says was left.
    pub fn finish(self, bound: Duration) -> BTreeMap<String, DrainReport> {
        self.ring.close();
        self.stop.drain_until((Instant::now() + bound).into());
        self.thread.join().unwrap()
    }
}

async fn run_all(
    destinations: Vec<(DestinationConfig, Cursor, Arc<DestinationCounters>)>,
    signal: StopSignal,
) -> BTreeMap<String, DrainReport> {
    let encoders = Encoders::default();
    let tasks: Vec<_> = destinations
        .into_iter()
        .map(|(config, cursor, counters)| {
            let name = config.name.clone();
            let task = destination::run(config, cursor, counters, signal.clone(), encoders.clone());
            (name, tokio::task::spawn_local(task))
        })
        .collect();
    let mut reports = BTreeMap::new();
    for (name, task) in tasks {
        reports.insert(name, task.await.unwrap());
    }
    reports
}

/// A destination with quick retries.
pub fn destination(name: &str, endpoint: &str) -> DestinationConfig {
    DestinationConfig {
        retry: RetryPolicy {
            initial: Duration::from_millis(20),
            max: Duration::from_millis(500),
            ..RetryPolicy::default()
        },
        ..DestinationConfig::new(name, Endpoint::parse(endpoint).unwrap())
    }
}

/// A numbered line of 200 bytes.
pub fn line(number: u64) -> String {
    format!("line {number:010} {}", "x".repeat(184))
}

/// The number of an encoded line; `None` where it is not one of ours.
pub fn number_of(encoded: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(encoded).expect("everything that is sent is JSON");
    value["msg"].as_str()?.strip_prefix("line ")?.get(..10)?.parse().ok()
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Asserts that exactly these numbers came, in this order, without printing thousands.
#[track_caller]
pub fn assert_numbers(came: &[u64], expected: std::ops::Range<u64>) {
    let wrong = came.iter().copied().zip(expected.clone()).find(|(came, expected)| came != expected);
    assert_eq!(wrong, None, "(came, expected)");
    assert_eq!(came.len() as u64, expected.end - expected.start);
}
