//! A stream of bytes that is read to its end: a connection, standard input, or what a program prints.
//!
//! Nothing is read while the fastest destination is behind ([`crate::ring::Ring::room`]): who writes waits then.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::time::{Instant, timeout, timeout_at};

use super::Listener;
use super::frames::Frames;
use super::intake::{Intake, READ_BYTES};
use crate::io::watch_readable;
use crate::source::clock::realtime_ns;
use crate::source::memlogd::descriptor::{Descriptor, Kind};

pub(super) struct Stream {
    fd: Fd,
    kind: Kind,
}

enum Fd {
    Watched(AsyncFd<OwnedFd>),
    /// Of which epoll has nothing to say.
    File(OwnedFd),
}

impl Stream {
    /// # Errors
    /// Where epoll refuses it.
    pub(super) fn new(Descriptor { fd, kind }: Descriptor) -> io::Result<Self> {
        let fd = match kind {
            Kind::File { .. } => Fd::File(fd),
            _ => Fd::Watched(watch_readable(fd)?),
        };
        Ok(Self { fd, kind })
    }

    /// Reads to the end of the stream.
    ///
    /// # Errors
    /// Those of reading.
    ///
    /// # Cancellation
    /// Safe: what was read has been taken.
    pub(super) async fn read_all(&self, listener: &Listener, intake: &Intake, frames: &mut Frames) -> io::Result<()> {
        let mut ready = None;
        loop {
            if !intake.ring.has_room() {
                intake.seal_soon();
                intake.ring.room().await;
            }
            match self.read(&mut ready, listener, intake, frames)? {
                Some(0) => return Ok(()),
                // Less than there was room for: nothing is left of a connection, and there is no need to ask.
                Some(len) if len < READ_BYTES && self.kind == Kind::Socket => {}
                // There may be more: the others' turn, then again.
                Some(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                None => {}
            }
            intake.seal_soon();
            frames.release();
            ready = self.wait(listener, intake, frames).await?;
        }
    }

    /// Reads once; `None` where there is nothing yet.
    fn read(
        &self,
        ready: &mut Option<AsyncFdReadyGuard<'_, OwnedFd>>,
        listener: &Listener,
        intake: &Intake,
        frames: &mut Frames,
    ) -> io::Result<Option<usize>> {
        let result = intake.read(listener, frames, realtime_ns(), |buffer| self.receive(buffer));
        if let Some(ready) = ready {
            let is_short = |len: usize| 0 < len && len < READ_BYTES && self.kind == Kind::Socket;
            match &result {
                Ok(len) if is_short(*len) => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                _ => {}
            }
        }
        match result {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until there is something to read.
    async fn wait(
        &self,
        listener: &Listener,
        intake: &Intake,
        frames: &mut Frames,
    ) -> io::Result<Option<AsyncFdReadyGuard<'_, OwnedFd>>> {
        let Fd::Watched(fd) = &self.fd else { return Ok(None) };
        loop {
            let Some(patience) = frames.patience() else { return fd.readable().await.map(Some) };
            match timeout(patience, fd.readable()).await {
                Ok(ready) => return ready.map(Some),
                Err(_) => {
                    intake.take_unfinished(listener, frames, realtime_ns(), false);
                    intake.seal_soon();
                }
            }
        }
    }

    /// Reads what has come up to now, within `patience`, and no more: a busy writer must not hold up the stop. Returns how
    /// many bytes were left.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn read_rest(
        &self,
        listener: &Listener,
        intake: &Intake,
        frames: &mut Frames,
        patience: Duration,
    ) -> io::Result<u64> {
        let deadline = Instant::now() + patience;
        let mut left = self.unread()?;
        while left > 0 {
            if timeout_at(deadline, intake.ring.room()).await.is_err() || Instant::now() > deadline {
                break;
            }
            match self.read(&mut None, listener, intake, frames)? {
                Some(0) | None => return Ok(0),
                Some(len) => {
                    left = left.saturating_sub(len as u64);
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(left)
    }

    /// Bytes of a file that were not read, or that wait elsewhere.
    pub(super) fn unread(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(self.fd())?)
    }

    fn fd(&self) -> &OwnedFd {
        match &self.fd {
            Fd::Watched(fd) => fd.get_ref(),
            Fd::File(fd) => fd,
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.kind != Kind::Socket {
            return self.kind.read(self.fd(), buffer);
        }
        // A connection that broke is no end of it.
        loop {
            match recv(self.fd(), &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                received => return Ok(received?.0),
            }
        }
    }
}
