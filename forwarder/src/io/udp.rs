//! One connected UDP socket, the same for both back ends.
//!
//! It is known to the thread's reactor only while something waits for it. A socket that a reactor watches wakes it for
//! each datagram that leaves the send queue, which costs a tenth of what sending one does.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A connected socket, so that the kernel tells what comes back from the peer's host.
pub struct UdpConnection(UdpSocket);

impl UdpConnection {
    /// # Errors
    /// The socket's.
    pub fn connect(peer: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        socket.connect(peer)?;
        Ok(Self(socket))
    }

    /// Calls `send` until it does not fail for want of room, and waits for room in between.
    ///
    /// # Errors
    /// Those of `send`, and the reactor's.
    ///
    /// # Cancellation
    /// Safe: what `send` has done is returned at once.
    pub async fn send<T>(&self, mut send: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        loop {
            match send(self.0.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.watch(Interest::WRITABLE)?.writable().await?.retain_ready();
                }
                done => return done,
            }
        }
    }

    /// The error that comes back for what was sent; never where there is none. What the peer sends is thrown away.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn refusal(&self) -> io::Error {
        let watched = match self.watch(Interest::READABLE | Interest::ERROR) {
            Ok(watched) => watched,
            Err(error) => return error,
        };
        loop {
            match self.0.recv(&mut [0; 16]) {
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return error,
            }
            match watched.ready(Interest::READABLE | Interest::ERROR).await {
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => return error,
            }
        }
    }

    fn watch(&self, interest: Interest) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
        // SAFETY: the descriptor stays the same open socket for as long as it is registered: it is borrowed, and who
        // asks here lets go of the registration before the borrow ends.
        Ok(unsafe { AsyncFd::register_with_interest(self.0.as_fd(), interest)? })
    }
}

impl AsFd for UdpConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::net::SendFlags;

    use super::*;
    use crate::io::{IoMode, run};

    #[test]
    fn a_refusal_is_heard_before_and_while_it_is_waited_for() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        run(IoMode::Epoll, async {
            let connection = UdpConnection::connect(closed).unwrap();
            let send = async || {
                connection.send(|socket| rustix::net::send(socket, b"x", SendFlags::empty()).map_err(Into::into)).await
            };
            assert_eq!(send().await.unwrap(), 1);
            assert_eq!(connection.refusal().await.kind(), io::ErrorKind::ConnectionRefused);
            let (error, sent) = tokio::join!(connection.refusal(), async {
                tokio::task::yield_now().await;
                send().await
            });
            assert_eq!((error.kind(), sent.unwrap()), (io::ErrorKind::ConnectionRefused, 1));
        })
        .unwrap();
    }

    #[test]
    fn what_the_peer_sends_is_no_refusal() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        run(IoMode::Epoll, async {
            let connection = UdpConnection::connect(peer.local_addr().unwrap()).unwrap();
            peer.send_to(b"hello", connection.0.local_addr().unwrap()).unwrap();
            let wait = Duration::from_millis(50);
            assert!(tokio::time::timeout(wait, connection.refusal()).await.is_err());
        })
        .unwrap();
    }
}
