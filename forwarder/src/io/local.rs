//! Byte streams to programs on this machine: a pipe, or a unix stream socket. Both tell what has been read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    shutdown, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys;

/// Room in a pipe, where the kernel allows it: fewer switches between the two programs.
const PIPE_BYTES: usize = 256 << 10;

/// The writing end of a stream. Dropping it ends the stream; what was written can still be read.
pub struct LocalStream {
    /// None once a pipe was ended.
    fd: Option<AsyncFd<OwnedFd>>,
    /// A pipe's other end, which is never read here: with it, what its reader left unread can be counted when that
    /// reader is gone.
    other_end: Option<OwnedFd>,
}

impl LocalStream {
    /// A pipe, and the end of it that is to be read.
    ///
    /// # Errors
    /// Where there are no descriptors left.
    pub fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
        // Without privilege there may be no more room to be had.
        let _ = rustix::pipe::fcntl_setpipe_size(&writing, PIPE_BYTES);
        // Of the writing end alone: the two are different open files.
        rustix::io::ioctl_fionbio(&writing, true)?;
        let other_end = Some(reading.try_clone()?);
        Ok((Self { fd: Some(watch(writing)?), other_end }, reading))
    }

    /// Connects to the socket at `path`, at once.
    ///
    /// # Errors
    /// The socket's, where nobody listens or nobody accepts.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self { fd: Some(watch(socket)?), other_end: None })
    }

    /// Writes a part of `bytes`, waiting until there is room for at least one.
    ///
    /// # Errors
    /// `BrokenPipe` or `ConnectionReset` where a socket's other side is gone, or after the end. A pipe is never broken.
    ///
    /// # Cancellation
    /// Safe: then nothing was written.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.fd.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let is_pipe = self.other_end.is_some();
        let write = |fd: &OwnedFd| match is_pipe {
            true => Ok(rustix::io::write(fd, bytes)?),
            false => Ok(send(fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?),
        };
        fd.async_io(Interest::WRITABLE, write).await
    }

    /// Waits until a socket's other side closes; what it sends is thrown away. For ever with a pipe.
    ///
    /// # Errors
    /// `ConnectionReset` where it closed with data unread.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn closed(&self) -> io::Result<()> {
        let Some(fd) = self.fd.as_ref().filter(|_| self.other_end.is_none()) else {
            return std::future::pending().await;
        };
        let receive = |fd: &OwnedFd| Ok(recv(fd, &mut [0; 4096], RecvFlags::DONTWAIT)?.0);
        while fd.async_io(Interest::READABLE, receive).await? > 0 {}
        Ok(())
    }

    /// How many of the `written` bytes have been read, at least; `None` where that can't be said now. Of a pipe exactly; of
    /// a socket when all have been read, else less by what the kernel needs beside them.
    pub fn read_of(&self, written: u64) -> Option<u64> {
        if let Some(other_end) = &self.other_end {
            return Some(written.saturating_sub(rustix::io::ioctl_fionread(other_end).ok()?));
        }
        // What the other side has not read is thrown away when it closes, and counts no more: so it must be there still.
        let held = self.held_bytes()?;
        self.is_open().then(|| written.saturating_sub(held))
    }

    /// Memory that a socket's kernel needs for what was written and is neither read nor thrown away at the other side's
    /// end: no less than that has bytes.
    pub fn held_bytes(&self) -> Option<u64> {
        sys::unacknowledged_bytes(self.fd.as_ref()?.get_ref().as_fd()).ok()
    }

    /// Whether a socket's other side has not closed. By `poll`: a read would take the error that tells how it closed.
    fn is_open(&self) -> bool {
        let Some(fd) = &self.fd else { return false };
        let mut fds = [PollFd::new(fd.get_ref(), PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
    }

    /// Nothing more will be written; what was can still be read, and be asked for.
    pub fn finish(&mut self) {
        if self.other_end.is_some() {
            self.fd = None;
        } else if let Some(fd) = &self.fd {
            // Fails only where the other side is gone.
            let _ = shutdown(fd.get_ref(), Shutdown::Write);
        }
    }
}

fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    let interest = Interest::READABLE | Interest::WRITABLE;
    // SAFETY: the descriptor stays open and the same for as long as it is registered: `AsyncFd` owns it, and nothing
    // here gives it away.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    watched.map_err(|error| error.into_parts().1)
}
