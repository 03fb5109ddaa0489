//! Connections of TCP and of a unix socket, as one; and which process has connected.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdUnixListener;

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
pub(super) enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepting {
    /// # Cancellation
    /// Safe.
    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Connection::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Connection::Unix(stream)),
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
    pub(super) fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Connection::Tcp)
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Connection::Unix)
            }
        }
    }
}

impl Connection {
    /// The process of this machine that has connected, where it has a number here.
    pub(super) fn process(&self) -> Option<Process> {
        let Self::Unix(stream) = self else { return None };
        let peer = stream.peer_cred().ok()?;
        let pid = u32::try_from(peer.pid()?).ok().filter(|pid| *pid != 0)?;
        Some(Process { pid, uid: peer.uid() })
    }

    /// Its descriptor, out of the reactor; it does not wait.
    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(stream) => Ok(stream.into_std()?.into()),
            Self::Unix(stream) => Ok(stream.into_std()?.into()),
        }
    }
}
