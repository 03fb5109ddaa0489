//! From bytes that were read to records in the ring: what all tasks of the thread share.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::sync::Notify;

use super::Listener;
use super::frames::Frames;
use crate::parse::line::{LineKind, Process};
use crate::parse::syslog::TALOS_READ_BYTES;
use crate::record::{Flags, Lost};
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::framer::Framed;
use crate::source::journal::ExportTally;
use crate::source::lines::Lines;
use crate::source::output::Output;
use crate::sys::{ReceivedDatagram, SenderProcess};

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
pub(super) struct Tally {
    records: u64,
    parts: u64,
    blank: u64,
    cut: u64,
    discarded: u64,
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
        frames: &mut Frames,
        now_ns: i64,
        read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>,
    ) -> std::io::Result<usize> {
        let Inner { lines, buffer } = &mut *self.inner.borrow_mut();
        let len = read(buffer)?;
        let (mut tally, before) = (Tally::default(), frames.waiting_bytes());
        let process = frames.process;
        let mut sink = Sink { lines, listener, process, tally: &mut tally };
        frames.push(&buffer[..len], now_ns, &mut sink);
        let unfinished = self.unfinished.get() + frames.waiting_bytes() - before;
        self.unfinished.set(unfinished);
        if unfinished > UNFINISHED_BYTES && frames.is_waiting() {
            self.unfinished.set(unfinished - frames.waiting_bytes());
            frames.hand_on(now_ns, &mut sink);
            self.unfinished.set(self.unfinished.get() + frames.waiting_bytes());
        }
        tally.count(listener, len);
        Ok(len)
    }

    /// Takes what is unfinished: nothing has followed for long or, where it `ended`, will.
    pub(super) fn take_unfinished(&self, listener: &Listener, frames: &mut Frames, now_ns: i64, ended: bool) {
        let (mut tally, before) = (Tally::default(), frames.waiting_bytes());
        let lines = &mut self.inner.borrow_mut().lines;
        let process = frames.process;
        let mut sink = Sink { lines, listener, process, tally: &mut tally };
        if ended {
            frames.end(now_ns, &mut sink);
        } else {
            frames.hand_on(now_ns, &mut sink);
        }
        self.unfinished.set(self.unfinished.get() + frames.waiting_bytes() - before);
        tally.count(listener, 0);
    }

    /// Takes datagrams, a record each; parts of those that are too long.
    pub(super) fn datagrams<'a>(
        &self,
        listener: &Listener,
        datagrams: impl Iterator<Item = ReceivedDatagram<'a>>,
        now_ns: i64,
    ) {
        let lines = &mut self.inner.borrow_mut().lines;
        let (mut tally, mut bytes) = (Tally::default(), 0);
        let is_talos = listener.options.kind == LineKind::TalosSyslog;
        for ReceivedDatagram { bytes: datagram, missing, sender } in datagrams {
            let process = sender.map(|SenderProcess { pid, uid }| Process { pid, uid });
            bytes += datagram.len();
            let is_of_end = |byte: &u8| matches!(byte, b'\n' | b'\r') && !is_talos;
            let end = datagram.iter().rposition(|byte| !is_of_end(byte)).map_or(0, |last| last + 1);
            let (mut rest, mut begins) = (&datagram[..end], true);
            if rest.is_empty() {
                tally.blank += 1;
                continue;
            }
            while let Some((part, more)) =
                rest.split_at_checked(listener.options.max_line).filter(|(_, more)| !more.is_empty())
            {
                take(lines, listener, process, part, begins, now_ns, Flags::PARTIAL, &mut tally);
                (rest, begins) = (more, false);
            }
            let flags = if missing > 0 { Flags::CUT } else { Flags::NONE };
            take(lines, listener, process, rest, begins, now_ns, flags, &mut tally);
            if missing > 0 && !is_talos {
                tally.cut += 1;
                let place = format!("at the end of a datagram to {}", listener.options.endpoint);
                lines.output.push_loss(&listener.origin, Lost::Bytes(missing as u64), &place, now_ns, now_ns);
            }
        }
        tally.count(listener, bytes);
    }

    /// Reports bytes of a stream that can't be read any more.
    pub(super) fn lose_bytes(&self, listener: &Listener, bytes: u64) {
        let now_ns = realtime_ns();
        let place = format!("at the end of {}", listener.options.endpoint);
        let output = &mut self.inner.borrow_mut().lines.output;
        output.push_loss(&listener.origin, Lost::Bytes(bytes), &place, now_ns, now_ns);
        tracing::warn!("{}: {bytes} bytes were not read and are lost", listener.options.endpoint);
    }

    /// Reports datagrams that nobody has seen.
    pub(super) fn lose(&self, listener: &Listener, datagrams: u64, from_ns: i64, to_ns: i64) {
        listener.counters.lost.add(datagrams);
        let place = format!("in the receive queue of {}", listener.options.endpoint);
        let output = &mut self.inner.borrow_mut().lines.output;
        output.push_loss(&listener.origin, Lost::Records(datagrams), &place, from_ns, to_ns);
    }
}

/// What takes the records of one stream.
pub(super) struct Sink<'s> {
    lines: &'s mut Lines,
    listener: &'s Listener,
    process: Option<Process>,
    tally: &'s mut Tally,
}

impl Sink<'_> {
    #[inline]
    pub(super) fn take(&mut self, framed: Framed<'_>, begins: bool) {
        // Bytes of a stream are never missing: TCP repeats them, or the connection ends.
        if let Framed::Line { time_ns, flags, body } = framed {
            take(self.lines, self.listener, self.process, body, begins, time_ns, flags, self.tally);
        }
    }

    /// Has entries of a journal put by themselves.
    pub(super) fn entries(&mut self, put: impl FnOnce(&mut Output, &mut ExportTally)) {
        let mut entries = ExportTally::default();
        put(&mut self.lines.output, &mut entries);
        self.tally.records += entries.records;
        self.tally.parts += entries.parts;
        self.tally.cut += entries.cut;
    }
}

/// Takes what is a record. One that does not begin goes on with another, which said already what it is.
#[inline]
#[expect(clippy::too_many_arguments, reason = "a call for each line")]
fn take(
    lines: &mut Lines,
    listener: &Listener,
    process: Option<Process>,
    line: &[u8],
    begins: bool,
    now_ns: i64,
    flags: Flags,
    tally: &mut Tally,
) {
    let kind = listener.options.kind;
    if kind == LineKind::TalosSyslog {
        return take_as_talos(lines, listener, line, begins, now_ns, flags, tally);
    }
    let kind = if !begins && kind.has_header() { LineKind::Text } else { kind };
    match lines.put_of(&listener.origin, kind, process, line, now_ns, flags) {
        Some(flags) => {
            tally.records += 1;
            tally.parts += u64::from(!flags.is_empty());
        }
        None => tally.blank += 1,
    }
}

/// Without the marks that Talos has not.
fn take_as_talos(
    lines: &mut Lines,
    listener: &Listener,
    line: &[u8],
    begins: bool,
    now_ns: i64,
    flags: Flags,
    tally: &mut Tally,
) {
    if !begins {
        // Behind what Talos reads.
        return;
    }
    tally.cut += u64::from(!flags.is_empty() || line.len() > TALOS_READ_BYTES);
    match lines.put(&listener.origin, LineKind::TalosSyslog, line, now_ns, Flags::NONE) {
        Some(_) => tally.records += 1,
        None => tally.discarded += 1,
    }
}

impl Tally {
    fn count(&self, listener: &Listener, bytes: usize) {
        let counters = &listener.counters;
        counters.records.add(self.records);
        counters.parts.add(self.parts);
        counters.blank.add(self.blank);
        counters.bytes.add(bytes as u64);
        counters.cut.add(self.cut);
        counters.discarded.add(self.discarded);
        if self.discarded > 0
            && let Some(count) = listener.discarded.borrow_mut().tell(self.discarded)
        {
            let endpoint = &listener.options.endpoint;
            tracing::warn!("{endpoint}: {count} messages were discarded, as Talos does (`parse: syslog` takes them)");
        }
    }
}
