//! `docker logs`: a container's records, from the ring, as entries.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{mpsc, watch};

use super::messages::ReadConfig;
use crate::parse::log_entry;
use crate::record::{Batch, Flags, Origin, OriginId, OriginKind, Record, Stream};
use crate::ring::{BatchRef, Cursor, ReaderOptions, Ring, Start};

/// Bytes that are encoded before they are sent.
const SEND_BYTES: usize = 64 << 10;
/// Origins whose answer is remembered.
const MAX_ORIGINS: usize = 4096;

/// An answer whose parts are made while it is sent.
pub(super) struct Parts(mpsc::Receiver<Bytes>);

impl Parts {
    /// The body, and where its parts go.
    pub(super) fn channel() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(2);
        (sender, Self(receiver))
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

/// Which records are wanted.
struct Wanted {
    container: String,
    since_ns: i64,
    until_ns: i64,
    known: HashMap<OriginId, Option<Stream>>,
}

impl Wanted {
    fn new(container: String, config: &ReadConfig) -> Self {
        let bound = |text: &Option<String>| text.as_deref().and_then(bound_ns);
        let (since_ns, until_ns) = (bound(&config.since).unwrap_or(i64::MIN), bound(&config.until).unwrap_or(i64::MAX));
        Self { container, since_ns, until_ns, known: HashMap::new() }
    }

    /// The stream of each of the batch's origins, none of Ringward's own, of which only reports of losses are wanted; `None`
    /// for those that are not wanted.
    fn streams(&mut self, batch: &Batch) -> Vec<Option<Stream>> {
        if self.known.len() > MAX_ORIGINS {
            self.known.clear();
        }
        let container = &self.container;
        let decide = |local| {
            let origin = Origin::decode(batch.origin_bytes(local)).ok()?;
            let is_it = |(key, value): &(String, String)| key == "container" && value == container;
            match origin.kind {
                OriginKind::Container => origin.attributes.iter().any(is_it).then_some(origin.stream),
                // Of what the ring let go of before it could be shown.
                OriginKind::Ringward => Some(Stream::None),
                _ => None,
            }
        };
        let known = &mut self.known;
        let stream = |local| *known.entry(batch.origin_id(local)).or_insert_with(|| decide(local));
        (0..batch.origin_count()).map(stream).collect()
    }

    fn stream_of(&self, record: &Record<'_>, streams: &[Option<Stream>]) -> Option<Stream> {
        let is_in_time = (self.since_ns..=self.until_ns).contains(&record.time_ns);
        let stream = streams[record.origin as usize].filter(|_| is_in_time)?;
        match (stream, record.flags.contains(Flags::LOSS)) {
            (_, true) => Some(Stream::Stderr),
            (Stream::None, false) => None,
            (stream, false) => Some(stream),
        }
    }
}

/// RFC 3339; `None` for Go's zero time too.
fn bound_ns(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().filter(|ns| *ns > 0)
}

/// Sends the entries of `container`; with `follow` until it is not `active` any more, or nobody listens.
pub(super) async fn send(
    ring: std::sync::Arc<Ring>,
    container: String,
    config: ReadConfig,
    mut active: watch::Receiver<bool>,
    parts: mpsc::Sender<Bytes>,
) {
    let options = ReaderOptions { start: Start::Oldest, sets_pace: false, ..ReaderOptions::new("docker logs") };
    let mut cursor = ring.reader(options);
    let mut wanted = Wanted::new(container, &config);
    let held: VecDeque<BatchRef> = std::iter::from_fn(|| cursor.try_next()).collect();
    let mut skip = match config.tail.and_then(|tail| u64::try_from(tail).ok()) {
        Some(tail) => count(&held, &mut wanted).saturating_sub(tail),
        None => 0,
    };
    for batch in held {
        if send_batch(&mut cursor, &batch, &mut wanted, &mut skip, &parts).await.is_err() {
            return;
        }
    }
    if !config.follow {
        return;
    }
    loop {
        let ended = !*active.borrow_and_update();
        // What was read from the FIFO before its end was said is in the ring.
        while let Some(batch) = cursor.try_next() {
            if send_batch(&mut cursor, &batch, &mut wanted, &mut skip, &parts).await.is_err() {
                return;
            }
        }
        if ended {
            return;
        }
        tokio::select! {
            batch = cursor.next() => match batch {
                Some(batch) => {
                    if send_batch(&mut cursor, &batch, &mut wanted, &mut skip, &parts).await.is_err() {
                        return;
                    }
                }
                None => return,
            },
            _ = active.changed() => {}
            () = parts.closed() => return,
        }
    }
}

fn count(held: &VecDeque<BatchRef>, wanted: &mut Wanted) -> u64 {
    let in_batch = |batch: &BatchRef| {
        let streams = wanted.streams(&batch.batch);
        batch.batch.records().filter(|record| wanted.stream_of(record, &streams).is_some()).count() as u64
    };
    held.iter().map(in_batch).sum()
}

/// # Errors
/// Nobody listens any more.
async fn send_batch(
    cursor: &mut Cursor,
    batch: &BatchRef,
    wanted: &mut Wanted,
    skip: &mut u64,
    parts: &mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let streams = wanted.streams(&batch.batch);
    let mut out = Vec::new();
    if streams.iter().any(Option::is_some) {
        for number in 0..batch.batch.record_count() {
            let record = batch.batch.record(number);
            let Some(stream) = wanted.stream_of(&record, &streams) else { continue };
            if *skip > 0 {
                *skip -= 1;
                continue;
            }
            let source = if stream == Stream::Stderr { "stderr" } else { "stdout" };
            let newline = !record.flags.contains(Flags::PARTIAL);
            log_entry::encode(source, record.time_ns, record.body, newline, &mut out);
            if out.len() >= SEND_BYTES {
                parts.send(std::mem::take(&mut out).into()).await?;
            }
        }
    }
    cursor.acknowledge(batch, batch.batch.record_count());
    if out.is_empty() { Ok(()) } else { parts.send(out.into()).await }
}
