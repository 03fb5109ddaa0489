//! `ringward logs` and its like, on the daemon's side: requests (see `request.rs`) to records.
//!
//! Records are encoded as destinations get them, once for all who follow everything. A viewer that does not read misses what the ring lets go of meanwhile,
//! and is told how much that was; one that says nothing for [`PATIENCE`] is sent away. Neither holds up anybody: the
//! thread has a low priority, and a viewer that follows looks at most once in [`PAUSE`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;

use super::accept::{self, Service, ViewHandle};
use super::encoded::{Encoded, lines};
use super::filter::Filter;
use super::listing::Listing;
use super::outgoing::{AHEAD_BYTES, Outgoing, gone};
use super::request::{Control, MAX_REQUEST, Request, Show, Whose};
use super::stage::Stages;
use crate::encode::json_lines::JsonLines;
use crate::ring::{BatchRef, Checkpoint, Cursor, ReaderOptions, Ring, Selection, Start, Wanted};

/// How long a viewer may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the ring, so that many who follow do not contend for it with those who write.
const PAUSE: Duration = Duration::from_millis(10);
/// Records that are encoded before their bytes are counted.
const STEP: u32 = 64;
/// Added to the thread's nice value: who looks makes way for who delivers. Not the most that there is, for it takes the
/// ring's lock like everybody.
const NICER: i32 = 10;

struct Viewers {
    ring: Arc<Ring>,
    stages: Stages,
    numbered: Cell<u64>,
    encoded: Encoded,
}

/// Starts serving viewers on `socket`, which listens.
///
/// # Errors
/// Where no thread can be had, or no reactor.
pub fn start(socket: OwnedFd, ring: Arc<Ring>, stages: Stages) -> io::Result<ViewHandle> {
    accept::start(socket, move || {
        // Lower is always allowed; where it is not, it was a wish.
        let _ = rustix::process::setpriority_process(None, NICER);
        Viewers { ring, stages, numbered: Cell::new(0), encoded: Encoded::default() }
    })
}

impl Service for Viewers {
    async fn serve(self: Rc<Self>, stream: UnixStream) {
        let request = match tokio::time::timeout(PATIENCE, read_request(&stream)).await {
            Ok(Ok(Some(line))) => serde_json::from_slice::<Request>(&line),
            Ok(Ok(None)) => return self.refuse(&stream, &format!("a request has at most {MAX_REQUEST} bytes")),
            // It has gone, or never said anything.
            Ok(Err(_)) | Err(_) => return,
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.refuse(&stream, &format!("this request is not understood: {error}")),
        };
        // What ends it (it went away) is nobody's error.
        let _ = match request.show {
            Show::Records => self.records(&stream, request).await,
            Show::Services | Show::Containers => self.listing(&stream, request.show).await,
        };
        // This may have been the last one.
        self.encoded.clear();
    }

    fn refuse(&self, stream: &UnixStream, why: &str) {
        let _ = stream.try_write(&Control::Error(why.to_owned()).line());
    }

    fn failed(&self, error: &io::Error) {
        tracing::warn!("a viewer can't be accepted: {error}");
    }
}

impl Viewers {
    fn reader(&self, ring: &Arc<Ring>, wanted: Wanted, seen: &Seen, after: Checkpoint) -> Cursor {
        let number = self.numbered.get() + 1;
        self.numbered.set(number);
        let seen = Arc::clone(seen);
        let note = move |source: &str, position: u64| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = seen.entry(source.to_owned()).or_insert(0);
            *seen = position.max(*seen);
        };
        ring.reader(ReaderOptions {
            start: Start::Oldest,
            selection: wanted.selection,
            target: Some(wanted.bits),
            resume: after,
            on_checkpoint: Some(Box::new(note)),
            sets_pace: false,
            ..ReaderOptions::new(format!("viewer {number}"))
        })
    }

    async fn records(&self, stream: &UnixStream, request: Request) -> io::Result<()> {
        let mut stage = match self.stages.find(request.at.as_deref(), &self.ring) {
            Ok(stage) => stage,
            Err(why) => {
                self.refuse(stream, &why);
                return Ok(());
            }
        };
        if request.whose == Whose::Kernel {
            stage.wanted.selection = Selection::Kernel;
        }
        let mut filter = Filter::new(&request);
        let seen = Seen::default();
        let mut cursor = self.reader(&stage.ring, stage.wanted, &seen, request.after);
        // Held until it is sent, however long that takes.
        let mut held: VecDeque<BatchRef> = std::iter::from_fn(|| cursor.try_next()).collect();
        if let Some(origin) = request.origin.filter(|_| !request.follow)
            && !held.iter().any(|batch| filter.enter(&batch.batch) && filter.is_known(&batch.batch))
        {
            self.refuse(stream, &format!("nothing of `{origin}` is in the ring: log {origin:?} was not registered"));
            return Ok(());
        }
        let mut first = 0;
        if let Some(tail) = request.tail {
            let before;
            (before, first) = newest(&held, tail, &mut filter).await;
            for passed in held.drain(..before) {
                cursor.acknowledge(&passed, passed.batch.record_count());
            }
        }
        let mut sender = Sender { filter, lines: lines(), encoded: &self.encoded, out: Outgoing::new(stream) };
        while let Some(batch) = held.pop_front() {
            sender.send(&batch, std::mem::take(&mut first)).await?;
            cursor.acknowledge(&batch, batch.batch.record_count());
            tokio::task::yield_now().await;
        }
        if request.follow {
            drop(held);
            return self.follow(stream, cursor, &seen, sender).await;
        }
        sender.out.push(&Control::Done(true).line());
        sender.out.flush().await
    }

    /// Sends what comes, until the viewer goes away or the ring is closed.
    async fn follow(
        &self,
        stream: &UnixStream,
        mut cursor: Cursor,
        seen: &Seen,
        mut sender: Sender<'_>,
    ) -> io::Result<()> {
        let mut gone = std::pin::pin!(gone(stream));
        loop {
            while let Some(batch) = cursor.try_next() {
                sender.send(&batch, 0).await?;
                cursor.acknowledge(&batch, batch.batch.record_count());
                // All who follow send a batch before any of them goes on to the next: it is encoded once.
                tokio::task::yield_now().await;
            }
            let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
            if !seen.is_empty() {
                sender.out.push(&Control::At(seen).line());
            }
            sender.out.flush().await?;
            let next = async {
                tokio::time::sleep(PAUSE).await;
                cursor.next().await
            };
            let batch = tokio::select! {
                biased;
                batch = next => batch,
                () = &mut gone => return Ok(()),
            };
            let Some(batch) = batch else { return Ok(()) };
            sender.send(&batch, 0).await?;
            cursor.acknowledge(&batch, batch.batch.record_count());
        }
    }

    async fn listing(&self, stream: &UnixStream, show: Show) -> io::Result<()> {
        let mut listing = Listing::new(show);
        let mut cursor = self.reader(&self.ring, Selection::All.into(), &Seen::default(), Checkpoint::new());
        let held: Vec<BatchRef> = std::iter::from_fn(|| cursor.try_next()).collect();
        drop(cursor);
        for batch in held {
            listing.add(&batch.batch);
            tokio::task::yield_now().await;
        }
        let mut out = Outgoing::new(stream);
        for listed in listing.finish() {
            let mut line = serde_json::to_vec(&listed)?;
            line.push(b'\n');
            out.push(&line);
            out.flush_if_full().await?;
        }
        out.push(&Control::Done(true).line());
        out.flush().await
    }
}

/// Up to where sources that can be read again have been shown, and the viewer was not told.
type Seen = Arc<Mutex<Checkpoint>>;

/// The line that a viewer sends, `None` where it is too long.
async fn read_request(stream: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut part = [0; 4096];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut part) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                let part = &part[..read];
                let newline = memchr::memchr(b'\n', part);
                line.extend_from_slice(&part[..newline.unwrap_or(read)]);
                if line.len() >= MAX_REQUEST {
                    return Ok(None);
                }
                if newline.is_some() {
                    return Ok(Some(line));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the newest `count` records begin that are wanted: how many batches are before them, and how many records of the
/// next one.
async fn newest(held: &VecDeque<BatchRef>, count: u64, filter: &mut Filter) -> (usize, u32) {
    let mut left = count;
    if left == 0 {
        return (held.len(), 0);
    }
    for (index, BatchRef { batch, .. }) in held.iter().enumerate().rev() {
        if filter.enter(batch) {
            for record in (0..batch.record_count()).rev() {
                left -= u64::from(filter.takes(&batch.record(record)));
                if left == 0 {
                    return (index, record);
                }
            }
        }
        tokio::task::yield_now().await;
    }
    (0, 0)
}

/// Encodes what is wanted ahead of a viewer.
struct Sender<'a> {
    filter: Filter,
    lines: JsonLines,
    encoded: &'a Encoded,
    out: Outgoing<'a>,
}

impl Sender<'_> {
    /// Encodes what is wanted of a batch from the record `first` on, and sends while there is enough.
    async fn send(&mut self, BatchRef { batch, .. }: &BatchRef, first: u32) -> io::Result<()> {
        if first == 0 && self.filter.takes_everything() {
            let encoded = self.encoded.of(batch);
            for (bytes, ends) in encoded.pieces(AHEAD_BYTES) {
                self.out.push_entries(bytes, ends);
                self.out.flush_if_full().await?;
            }
            return Ok(());
        }
        if !self.filter.enter(batch) {
            return Ok(());
        }
        let (mut next, end) = (first, batch.record_count());
        while next < end {
            let wanted = |index: u32| self.filter.takes(&batch.record(index));
            let from = (next..end).find(|index| wanted(*index)).unwrap_or(end);
            let until = (from..end.min(from + STEP)).find(|index| !wanted(*index)).unwrap_or(end.min(from + STEP));
            self.lines.encode_batch(batch, from..until, &mut self.out.bytes, &mut self.out.ends);
            self.out.flush_if_full().await?;
            next = until;
        }
        Ok(())
    }
}
