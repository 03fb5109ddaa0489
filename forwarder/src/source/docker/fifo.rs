//! Reading a container's FIFO.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use tokio::sync::watch;

use super::entries::{Entries, Line};
use crate::io::watch_readable;
use crate::record::{Flags, Lost, OriginHandle, RecordMeta, Stream};
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::container::ContainerIdentity;
use crate::source::output::Output;

/// A read takes at most so much.
const READ_BYTES: usize = 64 << 10;

/// Whether, and why, a FIFO is read no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// dockerd has written everything.
    Written,
    /// This program ends; the next may go on.
    Leaving,
}

/// What the tasks of all FIFOs share.
pub(super) struct Shared {
    output: RefCell<Output>,
    buffer: RefCell<Vec<u8>>,
}

/// A container's FIFO, open.
pub(super) struct Fifo {
    fd: OwnedFd,
    stdout: OriginHandle,
    stderr: OriginHandle,
    entries: Entries,
    opened_ns: i64,
}

impl Shared {
    pub(super) fn new(ring: Arc<Ring>) -> Self {
        Self { output: RefCell::new(Output::new(ring)), buffer: RefCell::new(vec![0; READ_BYTES]) }
    }
}

impl Fifo {
    /// `rest`: what an earlier run had read of an entry.
    ///
    /// # Errors
    /// Where it can't be opened, or is none.
    pub(super) fn open(path: &Path, container: &ContainerIdentity, max_line: usize, rest: Vec<u8>) -> io::Result<Self> {
        let fd = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Fifo {
            return Err(io::Error::other("it is no FIFO"));
        }
        Ok(Self {
            fd,
            stdout: OriginHandle::new(container.origin(Stream::Stdout)),
            stderr: OriginHandle::new(container.origin(Stream::Stderr)),
            entries: Entries::new(max_line, rest),
            opened_ns: realtime_ns(),
        })
    }

    /// Reads until dockerd has closed it, or it is to stop; then what there is. Returns what it has read of an entry, where
    /// another run may read the rest.
    pub(super) async fn read(self, shared: &Shared, mut stopping: watch::Receiver<Stop>) -> Vec<u8> {
        let Self { fd, stdout, stderr, mut entries, opened_ns } = self;
        let origin = |stream| if stream == Stream::Stderr { &stderr } else { &stdout };
        let put = |line: Line<'_>| {
            let flags = if line.partial { Flags::PARTIAL } else { Flags::NONE };
            let meta = RecordMeta { flags, ..RecordMeta::line(line.time_ns, line.text) };
            shared.output.borrow_mut().push(origin(line.stream), meta, line.text);
        };
        match watch_readable(fd) {
            Ok(watched) => loop {
                // Before its writer has come, a read finds the end as well: so it waits for news, unless it is the last.
                let ready = tokio::select! {
                    biased;
                    ready = watched.readable() => Some(ready),
                    _ = stopping.wait_for(|stop| *stop != Stop::No) => None,
                };
                let is_last = ready.is_none();
                match read_once(watched.get_ref(), shared, &mut entries, put) {
                    Ok(0) => break,
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => match ready {
                        Some(Ok(mut ready)) => ready.clear_ready(),
                        Some(Err(_)) | None => break,
                    },
                    Err(error) if error.kind() == io::ErrorKind::Interrupted && !is_last => {}
                    Err(error) => {
                        tracing::error!("a container's output is not read any more: {error}");
                        break;
                    }
                }
            },
            Err(error) => tracing::error!("a container's output can't be watched: {error}"),
        }
        let mut rest = entries.finish(put);
        let mut output = shared.output.borrow_mut();
        let mut lost = entries.take_lost();
        if *stopping.borrow() != Stop::Leaving {
            lost += std::mem::take(&mut rest).len() as u64;
        }
        if lost > 0 {
            let place = "between dockerd and Ringward: they were no log entries";
            output.push_loss(&stdout, Lost::Bytes(lost), place, opened_ns, realtime_ns());
        }
        output.seal();
        rest
    }
}

/// Reads once, and hands on the lines. Returns how many bytes came.
fn read_once(fd: &OwnedFd, shared: &Shared, entries: &mut Entries, put: impl FnMut(Line<'_>)) -> io::Result<usize> {
    let mut buffer = shared.buffer.borrow_mut();
    let read = rustix::io::read(fd, &mut buffer[..])?;
    entries.push(&buffer[..read], put);
    shared.output.borrow_mut().seal();
    Ok(read)
}
