//! One client of the query socket.

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;

use super::entry::Entries;
use super::query::QueryOptions;
use crate::record::{Batch, BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::{BatchRef, Cursor, ReaderOptions, Ring, Start};

/// What one send carries at most, unless one entry is longer. The kernel takes so much of a unix socket's stream as one
/// piece or not at all: up to 32 KiB, and up to half of the send buffer.
pub(super) const SEND_BYTES: usize = 32 << 10;
/// Bytes that are encoded ahead of a client.
const AHEAD_BYTES: usize = 128 << 10;
/// How long a client may take to say what it wants.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE: &str = "memlogd";

/// What all clients share.
pub(super) struct Shared {
    pub(super) options: QueryOptions,
    pub(super) ring: Arc<Ring>,
    pub(super) numbered: Cell<u64>,
}

impl Shared {
    /// Puts a record of memlogd's own into the ring.
    pub(super) fn note(&self, text: &str) {
        self.ring.append(note(text));
    }

    fn entries(&self) -> Entries {
        Entries::new(self.options.format, self.options.marks)
    }

    fn reader(&self, start: Start) -> Cursor {
        let number = self.numbered.get() + 1;
        self.numbered.set(number);
        let name = format!("client {number}");
        self.ring.reader(ReaderOptions { start, sets_pace: false, ..ReaderOptions::new(name) })
    }
}

fn note(text: &str) -> Batch {
    let mut builder = BatchBuilder::new(1024);
    let meta = RecordMeta::line(now_ns(), text.as_bytes());
    builder.push(&OriginHandle::new(Origin::new(OriginKind::Service, SOURCE)), meta, text.as_bytes());
    builder.seal()
}

fn now_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Tells a client why it is sent away, if it can be told without waiting.
pub(super) fn refuse(stream: &UnixStream, shared: &Shared, why: &str) {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    shared.entries().encode(&note(why), 0..1, usize::MAX, &mut out, &mut ends);
    let _ = stream.try_write(&out);
}

/// Serves a client to its end. What ends it (it went away) is nobody's error.
pub(super) async fn serve(stream: UnixStream, shared: Rc<Shared>) {
    let Ok(mode) = tokio::time::timeout(PATIENCE, mode(&stream)).await else { return };
    let _ = match mode {
        Ok(Some(0)) => dump(&stream, &shared).await,
        Ok(Some(1)) => follow(&stream, &shared, Start::Newest).await,
        Ok(Some(2)) => follow(&stream, &shared, Start::Oldest).await,
        Ok(Some(other)) => {
            let why = format!("unknown mode {other}: 0 gives what is there, 1 what comes from now on, 2 both");
            refuse(&stream, &shared, &why);
            Ok(())
        }
        Ok(None) => {
            shared.note("No mode received: EOF");
            dump(&stream, &shared).await
        }
        Err(error) => {
            shared.note(&format!("No mode received: {error}"));
            Ok(())
        }
    };
}

/// The first byte that the client sends; `None` where it ends before.
async fn mode(stream: &UnixStream) -> io::Result<Option<u8>> {
    let mut mode = [0];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut mode) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(mode[0])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends what the ring holds at this moment, which stays held until it is sent.
async fn dump(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let mut cursor = shared.reader(Start::Oldest);
    let held: Vec<BatchRef> = std::iter::from_fn(|| cursor.try_next()).collect();
    drop(cursor);
    let mut sender = Sender::new(stream, shared.entries());
    for batch in held {
        sender.send(&batch.batch).await?;
    }
    sender.flush().await
}

/// Sends what comes, until the client goes away or the ring is closed.
async fn follow(stream: &UnixStream, shared: &Shared, start: Start) -> io::Result<()> {
    let mut cursor = shared.reader(start);
    let mut sender = Sender::new(stream, shared.entries());
    let mut gone = std::pin::pin!(gone(stream));
    loop {
        while let Some(batch) = cursor.try_next() {
            sender.send(&batch.batch).await?;
        }
        sender.flush().await?;
        let batch = tokio::select! {
            biased;
            batch = cursor.next() => batch,
            () = &mut gone => return Ok(()),
        };
        match batch {
            Some(batch) => sender.send(&batch.batch).await?,
            None => return Ok(()),
        }
    }
}

/// Completes when the client has closed its end. One that only ended its own sending still reads, and is then seen to
/// be gone by the next send.
async fn gone(stream: &UnixStream) {
    let mut ignored = [0; 512];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut ignored) {
            Ok(0) if has_hung_up(stream) => return,
            Ok(0) => return std::future::pending().await,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn has_hung_up(stream: &UnixStream) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&at_once)).is_ok() && watched[0].revents().contains(PollFlags::HUP)
}

/// Encodes ahead of a client, and sends whole entries.
struct Sender<'a> {
    stream: &'a UnixStream,
    entries: Entries,
    out: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Sender<'a> {
    fn new(stream: &'a UnixStream, entries: Entries) -> Self {
        Self { stream, entries, out: Vec::new(), ends: Vec::new() }
    }

    /// Encodes a batch, and sends while there is enough.
    async fn send(&mut self, batch: &Batch) -> io::Result<()> {
        let mut next = 0;
        while next < batch.record_count() {
            let records = next..batch.record_count();
            next += self.entries.encode(batch, records, AHEAD_BYTES, &mut self.out, &mut self.ends);
            if self.out.len() >= AHEAD_BYTES {
                self.flush().await?;
                // One that reads as fast as we write would leave the others no turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Sends everything that is encoded.
    async fn flush(&mut self) -> io::Result<()> {
        let (mut from, mut entry) = (0, 0);
        while from < self.out.len() {
            // As many whole entries as one send takes, or one that is longer.
            let fitting = self.ends[entry..].partition_point(|end| *end <= from + SEND_BYTES);
            let last = entry + fitting.max(1) - 1;
            let until = self.ends[last];
            match self.stream.try_write(&self.out[from..until]) {
                Ok(sent) => {
                    from += sent;
                    entry += self.ends[entry..].partition_point(|end| *end <= from);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.ends.clear();
        self.out.shrink_to(2 * AHEAD_BYTES);
        self.ends.shrink_to(AHEAD_BYTES / 32);
        Ok(())
    }
}
