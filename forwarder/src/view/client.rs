//! One client of the query socket.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;

use super::entry::Entries;
use super::outgoing::{AHEAD_BYTES, Outgoing, gone};
use super::query::QueryOptions;
use crate::record::{Batch, BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::{BatchRef, Cursor, ReaderOptions, Ring, Start};

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

/// Encodes ahead of a client, and sends whole entries.
struct Sender<'a> {
    entries: Entries,
    out: Outgoing<'a>,
}

impl<'a> Sender<'a> {
    fn new(stream: &'a UnixStream, entries: Entries) -> Self {
        Self { entries, out: Outgoing::new(stream) }
    }

    /// Encodes a batch, and sends while there is enough.
    async fn send(&mut self, batch: &Batch) -> io::Result<()> {
        let mut next = 0;
        while next < batch.record_count() {
            let records = next..batch.record_count();
            next += self.entries.encode(batch, records, AHEAD_BYTES, &mut self.out.bytes, &mut self.out.ends);
            self.out.flush_if_full().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.out.flush().await
    }
}
