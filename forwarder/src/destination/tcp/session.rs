//! The life of one connection: fill, write, watch the peer, learn what has arrived.
//!
//! One buffer is being written while the next is filled. Nothing is polled while everything is acknowledged.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::State;
use super::ending::{GRACE, bytes_read_at_fin};
use super::stall::StallWatch;
use super::window::ResendWindow;
use crate::destination::stop::StopSignal;
use crate::destination::{DestinationConfig, WRITE_BYTES};
use crate::io::{Payload, PeerEvent, TcpConnection, WriteFuture};
use crate::observe::counters::DestinationCounters;
use crate::ring::{BatchRef, Cursor};

/// How often the acknowledged bytes are read while some are outstanding and nothing else happens.
const POLL: Duration = Duration::from_millis(100);

/// A buffer that a large record has grown beyond this is given back.
const KEEP_BUFFER: usize = 2 * WRITE_BYTES;

/// How a connection ended.
pub(super) enum SessionEnd {
    /// Everything was sent, the ring is closed, and the receiver confirmed the end.
    Finished,
    /// The time to drain is over.
    Deadline,
    /// The receiver closed and had read everything; `early` when nothing had been sent.
    Closed { early: bool },
    /// Nothing is known of what was sent and not read.
    Broken(io::Error),
}

pub(super) struct Session<'a> {
    connection: Rc<TcpConnection>,
    window: ResendWindow,
    stall: StallWatch,
    state: &'a mut State,
    cursor: &'a mut Cursor,
    counters: &'a DestinationCounters,
    stop: &'a StopSignal,
    /// Encoded and not given to a write yet.
    ready: Buffer,
    /// Being written, and how much of it was.
    writing: Option<WriteFuture>,
    in_flight: Buffer,
    written_of_buffer: usize,
    /// Bytes handed to the kernel, and those of them that the receiver's kernel acknowledged.
    written: u64,
    acked: u64,
    /// The receiver has closed its sending side before anything was sent, and may be reading all the same.
    half_closed: bool,
    ring_ended: bool,
}

/// Encoded bytes, and how many records they are. The bytes of the buffer in flight are with its write.
#[derive(Default)]
struct Buffer {
    bytes: Payload,
    ends: Vec<usize>,
    records: u32,
    resent: u32,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        connection: Rc<TcpConnection>,
        config: &DestinationConfig,
        state: &'a mut State,
        cursor: &'a mut Cursor,
        counters: &'a DestinationCounters,
        stop: &'a StopSignal,
    ) -> Self {
        Self {
            connection,
            window: ResendWindow::new(config.resend_window),
            stall: StallWatch::new(config.silence_timeout),
            state,
            cursor,
            counters,
            stop,
            ready: Buffer::default(),
            writing: None,
            in_flight: Buffer::default(),
            written_of_buffer: 0,
            written: 0,
            acked: 0,
            half_closed: false,
            ring_ended: false,
        }
    }

    /// Runs until the connection ends. What is not proven then is pending again in the outbox.
    pub(super) async fn run(mut self) -> SessionEnd {
        let end = match self.serve().await {
            Some(end) => end,
            None => self.judge_fin().await,
        };
        self.state.closed_early = matches!(end, SessionEnd::Closed { early: true });
        self.connection.abort();
        // io_uring still writes from the buffer, and `abort` has just told it to stop.
        self.settle_write(Duration::from_secs(1)).await;
        self.observe();
        self.state.outbox.rewind(self.written);
        end
    }

    /// What the receiver's FIN means.
    async fn judge_fin(&mut self) -> SessionEnd {
        // The kernel may have taken what is in flight, and told before that the receiver has read it and closed.
        self.settle_write(GRACE).await;
        let early = self.written == 0;
        let read = match self.writing {
            None => bytes_read_at_fin(&self.connection, self.written).await,
            // The receiver did not even take what there was.
            Some(_) => None,
        };
        match read {
            Some(read) => {
                self.prove(read);
                self.state.pace.closed();
                SessionEnd::Closed { early }
            }
            None => SessionEnd::Broken(io::Error::other("closed by the receiver, with data possibly unread")),
        }
    }

    /// Waits for the end of the write in flight, and starts no other.
    async fn settle_write(&mut self, bound: Duration) {
        let Some(writing) = &mut self.writing else { return };
        let Ok((result, bytes)) = tokio::time::timeout(bound, writing).await else { return };
        self.writing = None;
        self.count_written(result.unwrap_or(0), bytes.len());
    }

    /// `None`: the receiver sent a FIN.
    async fn serve(&mut self) -> Option<SessionEnd> {
        let mut poll_at = None;
        self.observe();
        loop {
            self.fill();
            if self.writing.is_none() && !self.ready.bytes.is_empty() {
                self.start_write();
            }
            let idle = self.writing.is_none() && self.ready.bytes.is_empty();
            if idle && self.ring_ended && !self.state.outbox.has_pending() {
                return self.finish().await;
            }
            // Only while something may change without us: bytes on their way, or a flight that is held.
            let waiting = self.acked < self.written || (idle && self.state.pace.allowance() == 0);
            let interval = self.state.pace.hold().filter(|_| idle).unwrap_or(POLL);
            poll_at = waiting.then(|| poll_at.unwrap_or_else(|| Instant::now() + interval));
            let look_at = self.stall.due(self.writing.is_some() || self.acked < self.written);
            let wants_records = !self.ring_ended && self.has_room() && !self.state.outbox.has_pending();
            tokio::select! {
                biased;
                () = self.stop.ended() => return Some(SessionEnd::Deadline),
                event = self.connection.peer_event(), if !self.half_closed => match event {
                    Ok(PeerEvent::Data(_)) => {}
                    Ok(PeerEvent::Closed) if self.written == 0 && self.state.closed_early => self.half_closed = true,
                    Ok(PeerEvent::Closed) => return None,
                    Err(error) => return Some(SessionEnd::Broken(error)),
                },
                error = self.connection.broken(), if self.half_closed => return Some(SessionEnd::Broken(error)),
                (result, bytes) = wait_for(&mut self.writing), if self.writing.is_some() => {
                    self.writing = None;
                    if let Err(error) = self.wrote(result, bytes) {
                        return Some(SessionEnd::Broken(error));
                    }
                    poll_at = None;
                }
                batch = self.cursor.next(), if wants_records => match batch {
                    Some(batch) => self.take(batch),
                    None => self.ring_ended = true,
                },
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    if let Err(error) = self.stall.look(&self.connection, self.written) {
                        return Some(SessionEnd::Broken(error));
                    }
                }
                () = sleep_until(poll_at.unwrap_or_else(Instant::now)), if poll_at.is_some() => {
                    poll_at = None;
                    self.observe();
                    if idle && self.acked == self.written && self.state.pace.allowance() == 0 {
                        self.state.pace.flight_went_well();
                    }
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.ready.bytes.len() < WRITE_BYTES && self.state.pace.allowance() > 0
    }

    fn take(&mut self, batch: BatchRef) {
        self.counters.received.add(u64::from(batch.batch.record_count()));
        self.state.outbox.push(batch);
    }

    /// Encodes what there is, up to one write.
    fn fill(&mut self) {
        while self.has_room() {
            if !self.state.outbox.has_pending() {
                match self.cursor.try_next() {
                    Some(batch) => self.take(batch),
                    None => return,
                }
            }
            let State { outbox, encoder, pace, .. } = &mut *self.state;
            let ready = &mut self.ready;
            let done = outbox.encode(encoder, pace.allowance(), WRITE_BYTES, &mut ready.bytes, &mut ready.ends);
            pace.sent(done.records);
            self.ready.records += done.records;
            self.ready.resent += done.resent;
            self.counters.cut.add(done.report.cut);
            self.counters.oversized.add(done.report.oversized);
        }
    }

    fn start_write(&mut self) {
        std::mem::swap(&mut self.ready, &mut self.in_flight);
        let bytes = std::mem::take(&mut self.in_flight.bytes);
        self.written_of_buffer = 0;
        self.writing = Some(self.connection.write(bytes, 0));
    }

    fn wrote(&mut self, result: io::Result<usize>, mut bytes: Payload) -> io::Result<()> {
        match result {
            Ok(written) => self.count_written(written, bytes.len()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.observe();
        if self.written_of_buffer < bytes.len() {
            self.writing = Some(self.connection.write(bytes, self.written_of_buffer));
            return Ok(());
        }
        bytes.clear(KEEP_BUFFER);
        self.in_flight.ends.clear();
        // The next swap makes it the buffer to fill.
        self.in_flight = Buffer { bytes, ends: std::mem::take(&mut self.in_flight.ends), records: 0, resent: 0 };
        Ok(())
    }

    fn count_written(&mut self, written: usize, buffer: usize) {
        self.written += written as u64;
        self.written_of_buffer += written;
        self.counters.sent_bytes.add(written as u64);
        if self.written_of_buffer == buffer {
            self.counters.sent.add(u64::from(self.in_flight.records));
            self.counters.resent.add(u64::from(self.in_flight.resent));
        }
    }

    /// Reads what the receiver's kernel has acknowledged, and counts as read what lies before the resend window. The
    /// window is told the better the more often this is called while bytes are on their way.
    fn observe(&mut self) {
        let Ok(info) = self.connection.tcp_info() else { return };
        self.window.look(info.bytes_acked, info.snd_wnd);
        self.acked = info.bytes_acked.min(self.written);
        let window = self.window.bytes();
        self.counters.resend_window_bytes.set(window);
        let read = self.acked.saturating_sub(window);
        if read > 0 {
            self.prove(read);
        }
        if read >= window {
            self.state.pace.back_to_full_speed();
        }
        self.counters.held_bytes.set(self.state.outbox.held_bytes() as u64);
    }

    fn prove(&mut self, bytes: u64) {
        let cursor = &mut *self.cursor;
        let records = self.state.outbox.prove(bytes, |batch, records| cursor.acknowledge(batch, records));
        self.counters.acknowledged.add(records);
    }

    /// Says that this was all, and waits for the receiver's FIN, which confirms that it has read it.
    async fn finish(&mut self) -> Option<SessionEnd> {
        if let Err(error) = self.connection.finish() {
            return Some(SessionEnd::Broken(error));
        }
        if self.half_closed {
            return Some(self.flush_half_closed().await);
        }
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.ended() => return Some(SessionEnd::Deadline),
                event = self.connection.peer_event() => event,
            };
            match event {
                Ok(PeerEvent::Data(_)) => {}
                Ok(PeerEvent::Closed) => break,
                Err(error) => return Some(SessionEnd::Broken(error)),
            }
        }
        self.observe();
        if self.acked < self.written {
            return None;
        }
        self.prove(self.written);
        Some(SessionEnd::Finished)
    }

    /// The end of a connection whose receiver can't confirm anything, because it has closed its side before:
    /// waits only until the receiver's kernel has everything.
    async fn flush_half_closed(&mut self) -> SessionEnd {
        while self.connection.unacknowledged_bytes().is_ok_and(|bytes| bytes > 0) && !self.stop.has_ended() {
            tokio::time::sleep(POLL).await;
        }
        SessionEnd::Deadline
    }
}

/// The end of the write that is in flight.
async fn wait_for(writing: &mut Option<WriteFuture>) -> (io::Result<usize>, Payload) {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}
