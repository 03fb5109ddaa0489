//! The life of one program that gets records: fill, write, learn what was read.
//!
//! Nothing is polled while everything has been read.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Reached, Running, State};
use crate::destination::stop::StopSignal;
use crate::io::LocalStream;
use crate::observe::counters::DestinationCounters;
use crate::ring::{BatchRef, Cursor};

/// Encoded bytes that are ready to be written; a pipe has no more room.
const READY_BYTES: usize = 256 << 10;

/// How often it is looked what was read, while something is unread and nothing else happens.
const POLL: Duration = Duration::from_millis(100);

/// The same at the end, when somebody waits for it.
const LAST_POLL: Duration = Duration::from_millis(2);

/// How long a socket's kernel may take to throw away what its closed side left.
const CLOSING: Duration = Duration::from_millis(50);

/// How a session ended.
pub(super) enum SessionEnd {
    /// Everything was read, and the ring is closed.
    Finished,
    /// The time to drain is over.
    Deadline,
    /// The program ended, or closed its side; `unread`: not everything that was written had been read.
    Gone { why: String, unread: bool },
}

pub(super) struct Session<'a> {
    reached: Reached,
    state: &'a mut State,
    cursor: &'a mut Cursor,
    counters: &'a DestinationCounters,
    stop: &'a StopSignal,
    ready: Ready,
    /// Bytes written, and those of them that were read.
    written: u64,
    read: u64,
    ring_ended: bool,
}

/// Encoded, and how much of it was written.
#[derive(Default)]
struct Ready {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    records: u32,
    resent: u32,
    written: usize,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        reached: Reached,
        state: &'a mut State,
        cursor: &'a mut Cursor,
        counters: &'a DestinationCounters,
        stop: &'a StopSignal,
    ) -> Self {
        let ready = Ready::default();
        Self { reached, state, cursor, counters, stop, ready, written: 0, read: 0, ring_ended: false }
    }

    /// Runs until the program is gone, or everything is done. What was not read then is pending again in the outbox.
    pub(super) async fn run(mut self) -> SessionEnd {
        let end = self.serve().await;
        self.state.outbox.rewind(self.written);
        if let (SessionEnd::Deadline, Some(running)) = (&end, &self.reached.running) {
            running.terminate();
        }
        end
    }

    async fn serve(&mut self) -> SessionEnd {
        let mut look_at = None;
        loop {
            self.fill();
            let idle = self.ready.bytes.is_empty();
            if idle && self.ring_ended && !self.state.outbox.has_pending() {
                return self.finish().await;
            }
            look_at = (self.read < self.written).then(|| look_at.unwrap_or_else(|| Instant::now() + POLL));
            let wants_records = !self.ring_ended && idle;
            let Reached { stream, running } = &mut self.reached;
            tokio::select! {
                biased;
                () = self.stop.ended() => return SessionEnd::Deadline,
                why = gone(stream, running) => return self.gone(why).await,
                written = stream.write(&self.ready.bytes[self.ready.written..]), if !idle => match written {
                    Ok(written) => {
                        self.count_written(written);
                        self.look();
                        look_at = None;
                    }
                    Err(error) => {
                        // What the other side did is told by reading.
                        let why = timeout(CLOSING, gone(stream, running)).await;
                        return self.gone(why.unwrap_or(Err(error))).await;
                    }
                },
                batch = self.cursor.next(), if wants_records => match batch {
                    Some(batch) => self.take(batch),
                    None => self.ring_ended = true,
                },
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    look_at = None;
                    self.look();
                }
            }
        }
    }

    fn take(&mut self, batch: BatchRef) {
        self.counters.received.add(u64::from(batch.batch.record_count()));
        self.state.outbox.push(batch);
    }

    /// Encodes what there is, once everything before has been written.
    fn fill(&mut self) {
        if !self.ready.bytes.is_empty() {
            return;
        }
        while self.ready.bytes.len() < READY_BYTES {
            if !self.state.outbox.has_pending() {
                match self.cursor.try_next() {
                    Some(batch) => self.take(batch),
                    None => return,
                }
            }
            let State { outbox, encoder } = &mut *self.state;
            let ready = &mut self.ready;
            let done = outbox.encode(encoder, u32::MAX, READY_BYTES, &mut ready.bytes, &mut ready.ends);
            ready.records += done.records;
            ready.resent += done.resent;
            self.counters.cut.add(done.report.cut);
            self.counters.oversized.add(done.report.oversized);
        }
    }

    fn count_written(&mut self, written: usize) {
        let ready = &mut self.ready;
        self.written += written as u64;
        ready.written += written;
        self.counters.sent_bytes.add(written as u64);
        if ready.written == ready.bytes.len() {
            self.counters.sent.add(u64::from(ready.records));
            self.counters.resent.add(u64::from(ready.resent));
            let mut bytes = std::mem::take(&mut ready.bytes);
            bytes.clear();
            bytes.shrink_to(2 * READY_BYTES);
            *ready = Ready { bytes, ..Ready::default() };
        }
    }

    /// Learns what was read.
    fn look(&mut self) {
        if let Some(read) = self.reached.stream.read_of(self.written) {
            self.prove(read);
        }
    }

    fn prove(&mut self, read: u64) {
        // What the kernel needs beside the bytes changes: what has been read stays read.
        self.read = self.read.max(read);
        let cursor = &mut *self.cursor;
        let records = self.state.outbox.prove(read, |batch, records| cursor.acknowledge(batch, records));
        self.counters.acknowledged.add(records);
        self.counters.held_bytes.set(self.state.outbox.held_bytes() as u64);
    }

    /// Everything is written: ends the stream and waits until it has been read.
    async fn finish(&mut self) -> SessionEnd {
        self.reached.stream.finish();
        loop {
            self.look();
            let Reached { stream, running } = &mut self.reached;
            // A command may do its work only now; what reads a socket is not waited for.
            if running.is_none() && self.read == self.written {
                return SessionEnd::Finished;
            }
            tokio::select! {
                biased;
                () = self.stop.ended() => return SessionEnd::Deadline,
                why = gone(stream, running) => {
                    let end = self.gone(why).await;
                    return if self.read == self.written { SessionEnd::Finished } else { end };
                }
                () = sleep(LAST_POLL), if running.is_none() => {}
            }
        }
    }

    /// The program ended (`Ok`: how), or a socket's other side closed (`Ok`: with everything read).
    async fn gone(&mut self, why: io::Result<String>) -> SessionEnd {
        self.look();
        if self.reached.running.is_none() && why.is_ok() && self.empties().await {
            // What is written after it closed is refused, so all of this was read.
            self.prove(self.written);
        }
        let why = why.unwrap_or_else(|error| format!("the program that listens has closed: {error}"));
        SessionEnd::Gone { why, unread: self.read < self.written }
    }

    /// Whether nothing is unread on the other side of a socket that has closed: its kernel may need a moment. A side that
    /// has only said that it will write nothing leaves what it has not read yet.
    async fn empties(&self) -> bool {
        let empty = async {
            while self.reached.stream.held_bytes() != Some(0) {
                sleep(LAST_POLL).await;
            }
        };
        timeout(CLOSING, empty).await.is_ok()
    }
}

/// Waits for the end of the program, or of its side.
async fn gone(stream: &LocalStream, running: &mut Option<Running>) -> io::Result<String> {
    match running {
        Some(running) => Ok(running.ended().await),
        None => stream.closed().await.map(|()| "the program that listens has closed".to_owned()),
    }
}
