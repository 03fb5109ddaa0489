//! Many datagrams in one system call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams that one call takes at most.
pub const MAX_DATAGRAMS: usize = 256;

/// Sends `datagrams` on a connected socket without waiting, and returns how many the kernel took: at least one,
/// at most [`MAX_DATAGRAMS`]. Zero only where there is none to send.
///
/// # Errors
/// The error of the first datagram. That of a later one is swallowed by the kernel: the datagrams before it are
/// taken and it is not, so that sending the rest again loses nothing.
pub fn send_datagrams<'a>(socket: BorrowedFd<'_>, datagrams: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
    let mut parts: Vec<libc::iovec> = datagrams
        .take(MAX_DATAGRAMS)
        .map(|datagram| libc::iovec { iov_base: datagram.as_ptr().cast_mut().cast(), iov_len: datagram.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: all zeroes is a valid mmsghdr: no address, no parts, no control data.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    if headers.is_empty() {
        return Ok(0);
    }
    // SAFETY: every header points at one element of `parts`, which points at a datagram that is borrowed for
    // this call; the kernel only reads the datagrams and writes `msg_len`.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn each_part_is_a_datagram() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let datagrams: [&[u8]; 3] = [b"one", b"", b"three"];
        assert_eq!(send_datagrams(sender.as_fd(), datagrams.into_iter()).unwrap(), 3);
        let mut buffer = [0; 16];
        for expected in datagrams {
            let received = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..received], expected);
        }
    }

    #[test]
    fn a_refusal_is_reported_before_the_datagram_that_meets_it_is_taken() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(closed).unwrap();
        let send = |text: &'static [u8]| send_datagrams(sender.as_fd(), std::iter::once(text));
        assert_eq!(send(b"refused").unwrap(), 1);
        assert_eq!(send(b"not taken").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn what_is_too_big_stops_the_call_before_it() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let big = vec![b'x'; 65508];
        let datagrams: [&[u8]; 2] = [b"small", &big];
        assert_eq!(send_datagrams(sender.as_fd(), datagrams.into_iter()).unwrap(), 1);
        let error = send_datagrams(sender.as_fd(), std::iter::once(big.as_slice())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }
}
