//! Reading descriptors: a task for each, one buffer and one output for all.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFdReadyGuard;
use tokio::sync::{Notify, watch};

use super::descriptor::{Descriptor, Kind};
use super::kept::{Held, Keeper};
use super::lines::{Line, LineLimit, Lines};
use super::name;
use super::notes::Notes;
use crate::io::watch_readable;
use crate::record::{OriginHandle, RecordMeta};
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::output::Output;

/// A read takes at most so much.
const READ_BYTES: usize = 256 << 10;
/// Reads in a row before other descriptors have their turn.
const READS: u64 = 8;
/// Reads at the end of the program, of a descriptor that has more and more.
const LAST_READS: usize = 64;
/// A file whose length is not known (as in /proc) is read so far.
const FILE_BYTES: u64 = 16 << 20;
/// When what was not said is said, after the last note.
const NOTE_DELAY: Duration = Duration::from_secs(1);

/// What all streams of the thread share.
pub(super) struct Shared {
    limit: LineLimit,
    ring: Arc<Ring>,
    output: RefCell<Output>,
    buffer: RefCell<Vec<u8>>,
    ourselves: OriginHandle,
    notes: RefCell<Notes>,
    /// Where descriptors are kept for the next process.
    pub(super) keeper: Keeper,
    /// There is something to hand over.
    pushed: Notify,
    left_out: Notify,
}

impl Shared {
    pub(super) fn new(limit: LineLimit, ring: Arc<Ring>, keeper: Keeper) -> Self {
        Self {
            limit,
            output: RefCell::new(Output::new(Arc::clone(&ring))),
            ring,
            buffer: RefCell::new(vec![0; READ_BYTES]),
            ourselves: name::ourselves(),
            notes: RefCell::new(Notes::new(Instant::now())),
            keeper,
            pushed: Notify::new(),
            left_out: Notify::new(),
        }
    }

    /// A record of memlogd's own.
    pub(super) fn note(&self, text: &str) {
        if !self.notes.borrow_mut().may_say(Instant::now()) {
            return self.left_out.notify_one();
        }
        self.say_left_out();
        self.push_note(text);
    }

    fn say_left_out(&self) {
        let left_out = self.notes.borrow_mut().take_left_out();
        if left_out > 0 {
            self.push_note(&format!("ERROR: {left_out} more messages like these were left out"));
        }
    }

    fn push_note(&self, text: &str) {
        let meta = RecordMeta::line(realtime_ns(), text.as_bytes());
        self.output.borrow_mut().push(&self.ourselves, meta, text.as_bytes());
        self.pushed.notify_one();
    }

    /// Hands over, again and again, what all tasks that had something pushed in their turn; and says what was left out
    /// when nothing else has said it. Never ends.
    pub(super) async fn keep_sealing(self: Rc<Self>) {
        loop {
            tokio::select! {
                () = self.pushed.notified() => self.seal(),
                () = self.left_out.notified() => {
                    tokio::time::sleep(NOTE_DELAY).await;
                    self.say_left_out();
                }
            }
        }
    }

    pub(super) fn seal(&self) {
        self.output.borrow_mut().seal();
    }

    /// Reads once, and hands on the lines. Returns how many bytes came.
    fn read_once(&self, fd: &OwnedFd, kind: Kind, lines: &mut Lines, origin: &OriginHandle) -> io::Result<usize> {
        let mut buffer = self.buffer.borrow_mut();
        let read = kind.read(fd, &mut buffer)?;
        let mut output = self.output.borrow_mut();
        let mut push = pusher(&mut output, origin);
        if read == 0 {
            lines.finish(&mut push);
        } else {
            lines.push(&buffer[..read], &mut push);
        }
        self.pushed.notify_one();
        Ok(read)
    }
}

/// Puts lines that are complete now into `output`.
fn pusher<'a>(output: &'a mut Output, origin: &'a OriginHandle) -> impl FnMut(Line<'_>) + 'a {
    let time_ns = realtime_ns();
    move |line| {
        let meta =
            RecordMeta { flags: line.flags, original_len: line.original_len, ..RecordMeta::line(time_ns, line.body) };
        output.push(origin, meta, line.body);
    }
}

/// Reads a descriptor to its end, or until the program ends. At its end it is kept no more.
pub(super) async fn read(
    descriptor: Descriptor,
    held: Option<Held>,
    origin: OriginHandle,
    shared: &Shared,
    stopping: watch::Receiver<bool>,
) {
    if read_on(descriptor, held.as_ref(), origin, shared, stopping).await
        && let Some(held) = held
    {
        shared.keeper.let_go(&held);
    }
}

/// Whether the descriptor's end was reached, and not the program's.
async fn read_on(
    descriptor: Descriptor,
    held: Option<&Held>,
    origin: OriginHandle,
    shared: &Shared,
    mut stopping: watch::Receiver<bool>,
) -> bool {
    let begun = held.and_then(|held| shared.keeper.begun(held));
    let mut lines = begun.map_or_else(|| Lines::new(shared.limit), |begun| Lines::after(shared.limit, &begun));
    let Descriptor { fd, kind } = descriptor;
    let watched = match watch_readable(fd) {
        Ok(watched) => watched,
        Err(error) => {
            said(shared, &origin, &error);
            return true;
        }
    };
    // Everything is read before the first wait: of a pipe whose writer has gone already there would be no event.
    let mut ready = None;
    let mut reads: u64 = 0;
    loop {
        let mut read = || shared.read_once(watched.get_ref(), kind, &mut lines, &origin);
        let result = match &mut ready {
            None => read(),
            Some(ready) => {
                let ready: &mut AsyncFdReadyGuard<'_, _> = ready;
                ready.try_io(|_| read()).unwrap_or_else(|_| Err(io::ErrorKind::WouldBlock.into()))
            }
        };
        match result {
            Ok(0) => return true,
            Ok(_) => {
                reads += 1;
                if reads.is_multiple_of(READS) {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                said(shared, &origin, &error);
                return true;
            }
        }
        ready = tokio::select! {
            biased;
            ready = watched.readable() => match ready {
                Ok(ready) => Some(ready),
                Err(error) => {
                    said(shared, &origin, &error);
                    return true;
                }
            },
            _ = stopping.wait_for(|stop| *stop) => break,
        };
    }
    for _ in 0..LAST_READS {
        match shared.read_once(watched.get_ref(), kind, &mut lines, &origin) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    if let Some(held) = held
        && let Some(begun) = lines.begun()
        && shared.keeper.keep_begun(held, &begun)
    {
        return false;
    }
    // Its rest would have come later: what there is of the line is all there will be.
    lines.finish(&mut pusher(&mut shared.output.borrow_mut(), &origin));
    false
}

/// Reads a file to the end that it had when it came, on a thread that may wait for the disk.
pub(super) async fn read_file(file: OwnedFd, len: u64, origin: OriginHandle, shared: &Shared) {
    let (limit, ring, of) = (shared.limit, Arc::clone(&shared.ring), origin.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let mut output = Output::new(ring);
        let mut lines = Lines::new(limit);
        let mut buffer = vec![0; READ_BYTES];
        let mut left = if len == 0 { FILE_BYTES } else { len };
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = Kind::File { len }.read(&file, &mut buffer[..most])?;
            if read == 0 {
                break;
            }
            lines.push(&buffer[..read], &mut pusher(&mut output, &of));
            output.seal();
            left -= read as u64;
        }
        lines.finish(&mut pusher(&mut output, &of));
        output.seal();
        Ok(())
    });
    let result = reading.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    if let Err(error) = result {
        said(shared, &origin, &error);
    }
}

fn said(shared: &Shared, origin: &OriginHandle, error: &io::Error) {
    let name = origin.origin().memlogd_name();
    shared.note(&format!("ERROR: a descriptor of {name:?} is not read any more: {error}"));
}
