//! Connections of TCP and of a unix socket, as one; and which process has connected.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener as StdUnixListener;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::parse::line::Process;

/// A socket that listens.
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The same, out of the reactor.
pub(super) enum Rest {
    Tcp(std::net::TcpListener),
    Unix(StdUnixListener),
}

/// A connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepting {
    /// # Cancellation
    /// Safe.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    pub(super) fn into_rest(self) -> io::Result<Rest> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(Rest::Tcp),
            Self::Unix(listener) => listener.into_std().map(Rest::Unix),
        }
    }
}

impl Rest {
    /// A connection that the kernel has accepted already.
    ///
    /// # Errors
    /// `WouldBlock` where there is none.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Stream::Tcp)
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Stream::Unix)
            }
        }
    }
}

impl Stream {
    /// # Cancellation
    /// Safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    /// Reads by `read`; after its `WouldBlock`, [`Stream::readable`] waits for news.
    pub(super) fn try_read(&self, read: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, read),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, read),
        }
    }
}

impl Stream {
    /// The process of this machine that has connected, where it has a number here.
    pub(super) fn process(&self) -> Option<Process> {
        let Self::Unix(stream) = self else { return None };
        let peer = stream.peer_cred().ok()?;
        let pid = u32::try_from(peer.pid()?).ok().filter(|pid| *pid != 0)?;
        Some(Process { pid, uid: peer.uid() })
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
