//! One TCP connection, the same for both back ends.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::mode::{Backend, backend};
use super::payload::Payload;
use super::{MOST_PIECES, ring_send};
use crate::sys::{self, TcpInfo};

/// Unsent bytes that the kernel queues before it calls a socket full. More would only be memory, and bytes to
/// send again after a reset; what is sent and not acknowledged is not limited by this.
const NOT_SENT_BYTES: u32 = 256 << 10;

/// How a connection behaves.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions {
    /// For each address.
    pub connect_timeout: Duration,
    /// Silence after which an idle peer is asked whether it is still there.
    pub keepalive: Duration,
}

/// What a peer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// It sent so many bytes, which were thrown away.
    Data(usize),
    /// It closed its sending side (FIN). Don't ask again.
    Closed,
}

/// A write that owns its payload and gives it back.
pub type WriteFuture = Pin<Box<dyn Future<Output = (io::Result<usize>, Payload)>>>;

/// A connected socket. Dropping it closes it, once a write that is still in flight has ended.
pub struct TcpConnection {
    socket: AsyncFd<Rc<Socket>>,
    backend: Backend,
    peer: SocketAddr,
    /// `tcpi_bytes_acked` right after connecting: the SYN.
    acked_before: u64,
}

impl TcpConnection {
    /// Connects, within [`TcpOptions::connect_timeout`].
    ///
    /// # Errors
    /// The socket's; `TimedOut`; `ConnectionRefused` also where the kernel connected the socket to itself, as it
    /// may when nobody listens on a local port.
    pub async fn connect(peer: SocketAddr, options: &TcpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
        let probe = options.keepalive.max(Duration::from_secs(3)) / 3;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(options.keepalive).with_interval(probe))?;
        match socket.connect(&SockAddr::from(peer)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let backend = backend();
        // SAFETY: the descriptor stays the same open socket for as long as it is registered: `AsyncFd` holds the
        // `Rc`, which is never taken out of it, and nothing closes the socket but the end of the last `Rc`.
        let socket =
            unsafe { AsyncFd::register_with_interest(Rc::new(socket), Interest::READABLE | Interest::WRITABLE)? };
        let connected = tokio::time::timeout(options.connect_timeout, socket.writable()).await;
        connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.retain_ready();
        if let Some(error) = socket.get_ref().take_error()? {
            return Err(error);
        }
        if socket.get_ref().local_addr()?.as_socket() == Some(peer) {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        if backend == Backend::Uring {
            // io_uring waits for room only on a blocking socket; reads say MSG_DONTWAIT.
            socket.get_ref().set_nonblocking(false)?;
        }
        let acked_before = sys::tcp_info(socket.get_ref().as_fd())?.bytes_acked;
        Ok(Self { socket, backend, peer, acked_before })
    }

    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Writes a part of `payload` from `from` on, waiting until the socket takes at least one byte, and gives the
    /// payload back with the number of bytes.
    ///
    /// # Cancellation
    /// Not to be dropped before it ends, unless by [`TcpConnection::abort`] first: io_uring goes on writing.
    pub fn write(self: &Rc<Self>, payload: Payload, from: usize) -> WriteFuture {
        if self.backend == Backend::Uring {
            return Box::pin(ring_send::send(Rc::clone(self.socket.get_ref()), payload, from));
        }
        let connection = Rc::clone(self);
        Box::pin(async move {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            let written = {
                let pieces: Vec<IoSlice<'_>> = payload.pieces(from).take(MOST_PIECES).collect();
                let send = |socket: &Rc<Socket>| socket.send_vectored_with_flags(&pieces, flags);
                connection.socket.async_io(Interest::WRITABLE, send).await
            };
            (written, payload)
        })
    }

    /// Waits until the peer sends or closes. What it sends is thrown away.
    ///
    /// # Errors
    /// When the connection is broken: reset, timed out.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn peer_event(&self) -> io::Result<PeerEvent> {
        let receive = |socket: &Rc<Socket>| {
            let mut scratch = [MaybeUninit::<u8>::uninit(); 4096];
            socket.recv_with_flags(&mut scratch, libc::MSG_DONTWAIT)
        };
        match self.socket.async_io(Interest::READABLE, receive).await? {
            0 => Ok(PeerEvent::Closed),
            bytes => Ok(PeerEvent::Data(bytes)),
        }
    }

    /// Waits until the connection is broken: reset, timed out. For a peer that has closed its side, from which
    /// [`TcpConnection::peer_event`] has nothing new to tell.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn broken(&self) -> io::Error {
        let told = self.socket.ready(Interest::ERROR).await.err();
        let error = told.or_else(|| self.socket.get_ref().take_error().ok().flatten());
        error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    /// What the kernel knows of the connection, also after it broke. `bytes_acked` has no SYN in it; it has the
    /// FIN, once that is acknowledged.
    ///
    /// # Errors
    /// `getsockopt`'s.
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        let info = sys::tcp_info(self.socket.get_ref().as_fd())?;
        Ok(TcpInfo { bytes_acked: info.bytes_acked - self.acked_before, ..info })
    }

    /// Bytes that were written and are not acknowledged.
    ///
    /// # Errors
    /// `ioctl`'s.
    pub fn unacknowledged_bytes(&self) -> io::Result<u64> {
        sys::unacknowledged_bytes(self.socket.get_ref().as_fd())
    }

    /// Says that nothing more will be sent (FIN).
    ///
    /// # Errors
    /// `NotConnected` where the connection is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.socket.get_ref().shutdown(Shutdown::Write)
    }

    /// Gives the connection up: a write that waits ends with an error at once.
    pub fn abort(&self) {
        // Fails only where the connection is gone already, and then nothing waits.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }
}
