//! UDP: one record a datagram, without a newline, up to 256 in a system call.
//!
//! A record is done when the kernel took its datagram. A connected socket, so that the kernel tells when nobody
//! listens (ECONNREFUSED, with the *next* call: that datagram was not taken and is sent again). Then, and at the
//! start, one datagram is sent and an answer awaited before the others follow: while the port is closed this one
//! is repeated, with back-off, from a new socket to the name as it resolves then, and nothing more is lost.
//!
//! A datagram that is too big for the way (EMSGSIZE) has its `msg` cut to half until it fits. One that can't be
//! cut any more is counted lost; none is retried for ever.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::failures::Failures;
use super::outbox::{Left, Outbox};
use super::stop::StopSignal;
use super::{DestinationConfig, DrainReport, Task, WRITE_BYTES};
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::io::resolve;
use crate::observe::counters::DestinationCounters;
use crate::ring::Cursor;
use crate::sys::{MAX_DATAGRAMS, send_datagrams};

/// How long a refusal may take to come back.
const ANSWER_WAIT: Duration = Duration::from_millis(100);

/// How often lost records are told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Smallest datagram that is tried.
const SMALLEST: usize = 256;

struct Sender<'a> {
    config: &'a DestinationConfig,
    cursor: &'a mut Cursor,
    counters: &'a DestinationCounters,
    stop: &'a StopSignal,
    outbox: Outbox,
    encoder: JsonLines,
    /// Datagrams that are encoded; those before `sent` were taken.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sent: usize,
    /// Whether the first datagram was told to be too big before: the first time may be the echo of another.
    too_big: bool,
    uncut: Uncut,
}

/// Records that did not fit and could not be cut: told once in a while, there may be thousands a second.
#[derive(Default)]
struct Uncut {
    /// Since it was last told.
    count: u64,
    told: Option<Instant>,
}

impl Uncut {
    /// One more, of `size` bytes; how many were told of now.
    fn lost(&mut self, destination: &str, size: usize) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        let count = std::mem::take(&mut self.count);
        tracing::warn!(
            destination,
            "{count} records were lost: too large for a datagram, and not to be cut (the last had {size} bytes)"
        );
        Some(count)
    }
}

/// What stopped the sending.
enum Stopped {
    /// Nothing is left and the ring is closed, or the deadline has passed.
    Ended,
    Failed(io::Error),
}

/// Runs until everything is sent and the ring is closed, or until the deadline.
pub(super) async fn run(task: Task<'_>, host: &str, port: u16) -> DrainReport {
    let Task { config, cursor, counters, stop } = task;
    let mut sender = Sender {
        config,
        cursor,
        counters,
        stop,
        outbox: Outbox::default(),
        encoder: config.encoder(),
        bytes: Vec::new(),
        ends: Vec::new(),
        sent: 0,
        too_big: false,
        uncut: Uncut::default(),
    };
    let mut backoff = Backoff::new(config.retry);
    let mut failures = Failures::new(&config.name, counters);
    let mut attempt = 0;
    loop {
        let opened = tokio::select! {
            biased;
            () = stop.ended() => break,
            opened = open(host, port, attempt) => opened,
        };
        attempt += 1;
        let (what, error) = match opened {
            Err(error) => ("open", error),
            Ok(socket) => match sender.try_first(&socket).await {
                Err(Stopped::Ended) => break,
                Err(Stopped::Failed(error)) => ("send to", error),
                Ok(()) => {
                    counters.connects.add(1);
                    counters.set_connected(true);
                    backoff.reset();
                    failures.recovered();
                    let Stopped::Failed(error) = sender.pump(&socket).await else { break };
                    counters.set_connected(false);
                    ("send to", error)
                }
            },
        };
        if error.kind() == io::ErrorKind::ConnectionRefused {
            counters.refused.add(1);
        }
        let pause = backoff.pause();
        failures.failed(&format_args!("could not {what} {}: {error}", config.endpoint), pause);
        tokio::select! {
            biased;
            () = stop.ended() => break,
            () = sleep(pause) => {}
        }
    }
    sender.restart();
    let Left { unsent, unconfirmed } = sender.outbox.left();
    DrainReport { unsent: unsent + unconfirmed, ..DrainReport::default() }
}

/// A socket to one of the name's addresses, another one each time.
async fn open(host: &str, port: u16, attempt: usize) -> io::Result<UdpSocket> {
    let addresses = resolve(host, port).await?;
    let address = addresses[attempt % addresses.len()];
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

impl Sender<'_> {
    /// Sends one datagram and waits for what comes back of it.
    async fn try_first(&mut self, socket: &UdpSocket) -> Result<(), Stopped> {
        self.restart();
        if !self.fill(1).await {
            return Err(Stopped::Ended);
        }
        let stop = self.stop;
        let taken = tokio::select! {
            biased;
            taken = self.send(socket) => taken.map_err(Stopped::Failed)?,
            () = stop.ended() => return Err(Stopped::Ended),
        };
        // Also at the end of the time to drain: it is short, and the answer decides whether the record is left.
        if let Ok(error) = timeout(ANSWER_WAIT, refusal(socket)).await {
            return Err(Stopped::Failed(error));
        }
        self.done(taken);
        Ok(())
    }

    /// Sends until something stops it.
    async fn pump(&mut self, socket: &UdpSocket) -> Stopped {
        let stop = self.stop;
        loop {
            if self.sent == self.ends.len() && !self.fill(MAX_DATAGRAMS as u32).await {
                return Stopped::Ended;
            }
            let taken = tokio::select! {
                biased;
                () = stop.ended() => return Stopped::Ended,
                taken = self.send(socket) => taken,
            };
            match taken {
                Ok(taken) => self.done(taken),
                Err(error) => return Stopped::Failed(error),
            }
        }
    }

    /// Encodes the next datagrams, waiting for records. `false`: there will be none, or the time is over.
    async fn fill(&mut self, max: u32) -> bool {
        self.bytes.clear();
        self.bytes.shrink_to(2 * WRITE_BYTES);
        self.ends.clear();
        self.sent = 0;
        while !self.outbox.has_pending() {
            let batch = tokio::select! {
                biased;
                () = self.stop.ended() => return false,
                batch = self.cursor.next() => batch,
            };
            let Some(batch) = batch else { return false };
            self.counters.received.add(u64::from(batch.batch.record_count()));
            self.outbox.push(batch);
        }
        let done = self.outbox.encode(&mut self.encoder, max, WRITE_BYTES, &mut self.bytes, &mut self.ends);
        self.counters.cut.add(done.report.cut);
        self.counters.oversized.add(done.report.oversized);
        true
    }

    /// What is not taken by the kernel will be encoded again.
    fn restart(&mut self) {
        self.outbox.rewind(0);
        self.ends.clear();
        self.sent = 0;
    }

    /// Hands datagrams to the kernel, waiting for room; how many it took.
    async fn send(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut shortage = Backoff::new(super::RetryPolicy {
            initial: Duration::from_millis(1),
            max: Duration::from_millis(200),
            jitter_percent: 0,
        });
        loop {
            let (bytes, ends, sent) = (&self.bytes, &self.ends, self.sent);
            let datagrams = || {
                (sent..ends.len()).map(|index| {
                    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
                    &bytes[start..ends[index]]
                })
            };
            let result = socket.async_io(Interest::WRITABLE, || send_datagrams(socket.as_fd(), datagrams())).await;
            match result {
                Ok(taken) => {
                    self.too_big = false;
                    return Ok(taken);
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMSGSIZE) => {
                        if std::mem::replace(&mut self.too_big, true) {
                            self.shrink_first();
                            if self.sent == self.ends.len() {
                                return Ok(0);
                            }
                        }
                    }
                    Some(libc::ENOBUFS | libc::ENOMEM) => {
                        self.counters.retries.add(1);
                        sleep(shortage.pause()).await;
                    }
                    Some(libc::EINTR) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// The kernel took the next `taken` datagrams.
    fn done(&mut self, taken: usize) {
        let Some(last) = (self.sent + taken).checked_sub(1).filter(|_| taken > 0) else { return };
        let from = self.sent.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.counters.sent.add(taken as u64);
        self.counters.sent_bytes.add((self.ends[last] - from) as u64);
        self.sent += taken;
        let records = self.prove(taken as u32);
        self.counters.acknowledged.add(records);
    }

    fn prove(&mut self, records: u32) -> u64 {
        let cursor = &mut *self.cursor;
        self.outbox.prove_records(records, |batch, records| cursor.acknowledge(batch, records))
    }

    /// Cuts the next datagram, which is too big for its way, to half its size; gives it up where that can't be.
    /// The datagrams behind it are encoded again later.
    fn shrink_first(&mut self) {
        let Some((batch, record)) = self.outbox.first() else { return };
        let start = self.sent.checked_sub(1).map_or(0, |before| self.ends[before]);
        let limit = (self.ends[self.sent] - start) / 2;
        let mut encoder = JsonLines::new(JsonLinesOptions {
            extra_tags: self.config.extra_tags.clone(),
            newline: false,
            max_record_bytes: Some(limit),
        });
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let report = encoder.encode_batch(batch, record..record + 1, &mut bytes, &mut ends);
        if limit < SMALLEST || report.oversized > 0 {
            self.uncut.lost(&self.config.name, limit * 2);
            self.counters.lost.add(1);
            self.prove(1);
            (bytes, ends) = (Vec::new(), Vec::new());
        } else {
            self.counters.cut.add(report.cut);
        }
        self.restart();
        (self.bytes, self.ends) = (bytes, ends);
        if !self.ends.is_empty() {
            self.outbox.skip_encoding();
        }
    }
}

/// The error that comes back for what was sent; never where there is none. What the peer sends is thrown away.
async fn refusal(socket: &UdpSocket) -> io::Error {
    loop {
        if let Err(error) = socket.recv(&mut [0; 16]).await {
            return error;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{Endpoint, stop_channel};
    use crate::io::{IoMode, run as run_io};
    use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
    use crate::ring::{ReaderOptions, Ring, RingLimits};

    /// No way on this host is narrower than a datagram may be, so the encoder's limit is left out here.
    #[test]
    fn lost_records_are_told_of_once_in_a_while_with_their_number() {
        let mut uncut = Uncut::default();
        assert_eq!(uncut.lost("d", 70_000), Some(1));
        assert!((0..500).all(|_| uncut.lost("d", 70_000).is_none()));
        uncut.told = Instant::now().checked_sub(TELL_EVERY);
        assert_eq!(uncut.lost("d", 70_000), Some(501));
    }

    #[test]
    fn a_datagram_that_is_too_big_for_its_way_is_cut_until_it_fits() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let config =
            DestinationConfig::new("a", Endpoint::Udp { host: address.ip().to_string(), port: address.port() });
        let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
        let origin = OriginHandle::new(Origin::new(OriginKind::Service, "test"));
        let mut builder = BatchBuilder::new(64 << 10);
        let sizes = [10, 200_000, 20];
        for size in sizes {
            let body = vec![b'x'; size];
            builder.push(&origin, RecordMeta::line(0, &body), &body);
        }
        ring.append(builder.seal());
        ring.close();
        let counters = DestinationCounters::default();
        let mut cursor = ring.reader(ReaderOptions::new("a"));
        let (_handle, stop) = stop_channel();
        let left = run_io(IoMode::Epoll, async {
            let mut sender = Sender {
                config: &config,
                cursor: &mut cursor,
                counters: &counters,
                stop: &stop,
                outbox: Outbox::default(),
                encoder: JsonLines::new(JsonLinesOptions::default()),
                bytes: Vec::new(),
                ends: Vec::new(),
                sent: 0,
                too_big: false,
                uncut: Uncut::default(),
            };
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(address).await.unwrap();
            assert!(sender.try_first(&socket).await.is_ok());
            assert!(matches!(sender.pump(&socket).await, Stopped::Ended));
            sender.outbox.left()
        });
        assert_eq!(left.unwrap(), Left::default());
        let mut buffer = vec![0; 1 << 16];
        for (size, cut) in sizes.into_iter().zip([false, true, false]) {
            let received = receiver.recv(&mut buffer).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&buffer[..received]).unwrap();
            assert_eq!(value["cut"] == true, cut);
            assert_eq!(value["msg"].as_str().unwrap().len() == size, !cut);
        }
        assert_eq!((counters.cut.value() > 0, counters.lost.value(), counters.acknowledged.value()), (true, 0, 3));
    }
}
