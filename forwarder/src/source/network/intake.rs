//! From bytes that were read to records in the ring: what all tasks of the thread share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use super::Listener;
use crate::record::{Flags, Lost};
use crate::ring::Ring;
use crate::source::framer::{Framed, Framer};
use crate::source::lines::Lines;

/// Bytes of one read: large enough that the system call is nothing, small enough that what was read is still in the
/// cache when it is parsed.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Unfinished lines of all connections together; whose line goes beyond it is handed on in parts.
const UNFINISHED_BYTES: usize = 16 << 20;

pub(super) struct Intake {
    pub(super) ring: Arc<Ring>,
    inner: RefCell<Inner>,
    /// Something is to be sealed once the other tasks had their turn.
    unsealed: Notify,
    /// Bytes of unfinished lines.
    unfinished: Cell<usize>,
}

struct Inner {
    lines: Lines,
    buffer: Vec<u8>,
}

/// What came of the bytes at hand, for the counters.
#[derive(Default)]
struct Tally {
    records: u64,
    parts: u64,
    blank: u64,
}

impl Intake {
    pub(super) fn new(ring: Arc<Ring>) -> Self {
        let lines = Lines::new(Arc::clone(&ring));
        Self {
            ring,
            inner: RefCell::new(Inner { lines, buffer: vec![0; READ_BYTES] }),
            unsealed: Notify::new(),
            unfinished: Cell::new(0),
        }
    }

    /// Seals what there is whenever that was asked for, for ever. As a task of its own it comes after those that had
    /// something to read at the same time.
    pub(super) async fn keep_sealing(self: std::rc::Rc<Self>) {
        loop {
            self.unsealed.notified().await;
            self.seal();
        }
    }

    /// Nothing more comes from where the last bytes came from: what there is may go.
    pub(super) fn seal_soon(&self) {
        self.unsealed.notify_one();
    }

    pub(super) fn seal(&self) {
        self.inner.borrow_mut().lines.output.seal();
    }

    /// Reads once by `read`, which fills a buffer, and takes the lines; how many bytes there were.
    pub(super) fn read(
        &self,
        listener: &Listener,
        framer: &mut Framer,
        now_ns: i64,
        read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>,
    ) -> std::io::Result<usize> {
        let Inner { lines, buffer } = &mut *self.inner.borrow_mut();
        let len = read(buffer)?;
        let (mut tally, before) = (Tally::default(), framer.waiting_bytes());
        let mut out = |framed: Framed<'_>| take_framed(lines, listener, framed, &mut tally);
        framer.push(&buffer[..len], now_ns, Flags::NONE, &mut out);
        let unfinished = self.unfinished.get() + framer.waiting_bytes() - before;
        self.unfinished.set(unfinished);
        if unfinished > UNFINISHED_BYTES && framer.is_waiting() {
            self.unfinished.set(unfinished - framer.waiting_bytes());
            framer.flush(&mut out);
        }
        tally.count(listener, len);
        Ok(len)
    }

    /// Takes what a connection that has ended left unfinished.
    pub(super) fn end(&self, listener: &Listener, framer: &mut Framer) {
        let mut tally = Tally::default();
        self.unfinished.set(self.unfinished.get() - framer.waiting_bytes());
        let lines = &mut self.inner.borrow_mut().lines;
        framer.flush(&mut |framed| take_framed(lines, listener, framed, &mut tally));
        tally.count(listener, 0);
    }

    /// Takes datagrams, a record each; parts of those that are too long.
    pub(super) fn datagrams<'a>(&self, listener: &Listener, datagrams: impl Iterator<Item = &'a [u8]>, now_ns: i64) {
        let lines = &mut self.inner.borrow_mut().lines;
        let (mut tally, mut bytes) = (Tally::default(), 0);
        for datagram in datagrams {
            bytes += datagram.len();
            let end = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
            let mut rest = &datagram[..end];
            if rest.is_empty() {
                tally.blank += 1;
                continue;
            }
            while let Some((part, more)) =
                rest.split_at_checked(listener.options.max_line).filter(|(_, more)| !more.is_empty())
            {
                take(lines, listener, part, now_ns, Flags::PARTIAL, &mut tally);
                rest = more;
            }
            take(lines, listener, rest, now_ns, Flags::NONE, &mut tally);
        }
        tally.count(listener, bytes);
    }

    /// Reports datagrams that nobody has seen.
    pub(super) fn lose(&self, listener: &Listener, datagrams: u64, from_ns: i64, to_ns: i64) {
        listener.counters.lost.add(datagrams);
        let place = format!("in the receive queue of {}", listener.options.endpoint);
        let output = &mut self.inner.borrow_mut().lines.output;
        output.push_loss(&listener.origin, Lost::Records(datagrams), &place, from_ns, to_ns);
    }
}

fn take_framed(lines: &mut Lines, listener: &Listener, framed: Framed<'_>, tally: &mut Tally) {
    // Bytes of a connection are never missing: TCP repeats them, or the connection ends.
    if let Framed::Line { time_ns, flags, body } = framed {
        take(lines, listener, body, time_ns, flags, tally);
    }
}

#[inline]
fn take(lines: &mut Lines, listener: &Listener, line: &[u8], now_ns: i64, flags: Flags, tally: &mut Tally) {
    match lines.put(&listener.origin, listener.options.kind, line, now_ns, flags) {
        Some(flags) => {
            tally.records += 1;
            tally.parts += u64::from(!flags.is_empty());
        }
        None => tally.blank += 1,
    }
}

impl Tally {
    fn count(&self, listener: &Listener, bytes: usize) {
        let counters = &listener.counters;
        counters.records.add(self.records);
        counters.parts.add(self.parts);
        counters.blank.add(self.blank);
        counters.bytes.add(bytes as u64);
    }
}
