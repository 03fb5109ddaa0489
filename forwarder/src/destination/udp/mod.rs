//! UDP: one record a datagram, without a newline, up to 256 in a system call. Where it is asked for, neighbours of
//! similar size go through the kernel together (`runs`).
//!
//! A record is done when the kernel took its datagram. A connected socket, so that the kernel tells when nobody
//! listens (ECONNREFUSED, with the *next* call: that datagram was not taken and is sent again). Then, and at the
//! start, one datagram is sent and an answer awaited before the others follow: while the port is closed this one
//! is repeated, with back-off, from a new socket to the name as it resolves then, and nothing more is lost.
//! An error in the middle of a call is swallowed by the kernel: all that shows is that the call took less than it was
//! given. Where the socket has room all the same, the next datagram is sent like the first.
//!
//! A datagram that is too big for the way (EMSGSIZE) has its `msg` cut to half until it fits. One that can't be
//! cut any more is counted lost; none is retried for ever.

mod runs;
mod uncut;

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use self::runs::Runs;
use self::uncut::Uncut;
use super::backoff::Backoff;
use super::encoder::Encoder;
use super::failures::Failures;
use super::outbox::{Left, Outbox};
use super::stop::StopSignal;
use super::{DestinationConfig, DrainReport, Task, WRITE_BYTES};
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::io::{UdpConnection, resolve};
use crate::observe::counters::DestinationCounters;
use crate::ring::Cursor;
use crate::sys::{DatagramSender, Datagrams, MAX_DATAGRAMS, Run};

/// How long a refusal may take to come back.
const ANSWER_WAIT: Duration = Duration::from_millis(100);

/// Smallest datagram that is tried.
const SMALLEST: usize = 256;

struct Sender<'a> {
    config: &'a DestinationConfig,
    cursor: &'a mut Cursor,
    counters: &'a DestinationCounters,
    stop: &'a StopSignal,
    outbox: Outbox,
    encoder: Encoder,
    /// Datagrams that are encoded; those before `sent` were taken.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sent: usize,
    /// How those after `sent` travel; empty where that is not decided.
    planned: Vec<Run>,
    runs: Runs,
    datagrams: DatagramSender,
    /// Whether the first datagram was told to be too big before: the first time may be the echo of another.
    too_big: bool,
    /// The last call stopped early, and not for want of room.
    in_doubt: bool,
    uncut: Uncut,
}

/// What stopped the sending.
enum Stopped {
    /// Nothing is left and the ring is closed, or the deadline has passed.
    Ended,
    Failed(io::Error),
}

/// Runs until everything is sent and the ring is closed, or until the deadline.
pub(super) async fn run(task: Task<'_>, host: &str, port: u16) -> DrainReport {
    let Task { config, counters, stop, .. } = task;
    let mut sender = Sender::new(task);
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
async fn open(host: &str, port: u16, attempt: usize) -> io::Result<UdpConnection> {
    let addresses = resolve(host, port).await?;
    let address = addresses[attempt % addresses.len()];
    UdpConnection::connect(address)
}

impl<'a> Sender<'a> {
    fn new(task: Task<'a>) -> Self {
        let Task { config, cursor, counters, stop, encoder } = task;
        Self {
            config,
            cursor,
            counters,
            stop,
            outbox: Outbox::default(),
            encoder,
            bytes: Vec::new(),
            ends: Vec::new(),
            sent: 0,
            planned: Vec::new(),
            runs: Runs::new(config.pad_segments),
            datagrams: DatagramSender::default(),
            too_big: false,
            in_doubt: false,
            uncut: Uncut::default(),
        }
    }

    /// Sends one datagram and waits for what comes back of it.
    async fn try_first(&mut self, socket: &UdpConnection) -> Result<(), Stopped> {
        self.restart();
        self.runs.open(socket, &self.config.name);
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
        if let Ok(error) = timeout(ANSWER_WAIT, socket.refusal()).await {
            return Err(Stopped::Failed(error));
        }
        self.done(taken);
        Ok(())
    }

    /// Sends until something stops it.
    async fn pump(&mut self, socket: &UdpConnection) -> Stopped {
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
            // A flight is a millisecond's work: others of this thread want to run, too.
            yield_now().await;
            if std::mem::take(&mut self.in_doubt)
                && let Err(stopped) = self.try_first(socket).await
            {
                return stopped;
            }
        }
    }

    /// Encodes the next datagrams, waiting for records. `false`: there will be none, or the time is over.
    async fn fill(&mut self, max: u32) -> bool {
        self.bytes.clear();
        self.bytes.shrink_to(2 * WRITE_BYTES);
        self.ends.clear();
        self.sent = 0;
        self.planned.clear();
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
        self.planned.clear();
    }

    /// Hands datagrams to the kernel, waiting for room; how many it took.
    async fn send(&mut self, socket: &UdpConnection) -> io::Result<usize> {
        let mut shortage = Backoff::new(super::RetryPolicy {
            initial: Duration::from_millis(1),
            max: Duration::from_millis(200),
            jitter_percent: 0,
        });
        loop {
            let Self { runs, datagrams, planned, sent, .. } = self;
            let flight = Datagrams { bytes: &self.bytes, ends: &self.ends };
            if planned.is_empty() {
                runs.plan(flight, *sent, planned);
            }
            match socket.send(|socket| datagrams.send(socket, flight, *sent, planned)).await {
                Ok(taken) => {
                    self.too_big = false;
                    self.runs.taken();
                    self.in_doubt = taken < self.planned.len() && has_room(socket);
                    return Ok(self.planned.drain(..taken).map(|run| usize::from(run.datagrams)).sum());
                }
                Err(error)
                    if self.planned.first().is_some_and(Run::is_segmented)
                        && self.runs.refused(&error, socket, &self.config.name) =>
                {
                    self.planned.clear();
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

/// Whether the socket takes more now.
fn has_room(socket: &UdpConnection) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests;
