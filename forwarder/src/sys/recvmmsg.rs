//! Many datagrams in one system call, who sent them, and how many the kernel had no room for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// ReceivedDatagrams that one call gives at most.
const COUNT: usize = 64;
/// Larger than any datagram of UDP.
const UDP_LEN: usize = 64 << 10;
/// A few cache lines between them, so that the datagrams' first bytes, which are all there are of most, don't compete for
/// the same places in the cache.
const APART: usize = 5 * 64;

/// Room for the datagrams of one call. Of its memory only what was once written to is there.
pub struct ReceivedDatagrams {
    bytes: Vec<u8>,
    slot: usize,
    lens: [u32; COUNT],
    /// `None` where nobody asks who sent them.
    senders: Option<Vec<Control>>,
    count: usize,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedDatagram<'d> {
    pub bytes: &'d [u8],
    /// Bytes at its end that there was no room for.
    pub missing: usize,
    pub sender: Option<SenderProcess>,
}

/// A process that has sent something to a unix socket, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderProcess {
    /// As this process sees it.
    pub pid: u32,
    pub uid: u32,
}

/// Control data of one datagram: room for SCM_CREDENTIALS and nothing else, so that descriptors that come along are
/// closed by the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    credentials: libc::ucred,
}

impl Default for ReceivedDatagrams {
    /// For those of UDP.
    fn default() -> Self {
        Self::up_to(UDP_LEN)
    }
}

impl ReceivedDatagrams {
    /// For datagrams of so many bytes; longer ones are cut.
    pub fn up_to(len: usize) -> Self {
        let slot = len + APART;
        Self { bytes: vec![0; COUNT * slot], slot, lens: [0; COUNT], senders: None, count: 0 }
    }

    /// The same, and who sent them: for a socket with SO_PASSCRED.
    pub fn with_senders(len: usize) -> Self {
        Self { senders: Some(vec![Control::empty(); COUNT]), ..Self::up_to(len) }
    }

    /// Takes what has come, without waiting; how many datagrams, and whether there was room for more.
    ///
    /// # Errors
    /// `WouldBlock` where there is none; errors that are left on the socket.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<(usize, bool)> {
        self.count = 0;
        let mut parts = self
            .bytes
            .chunks_exact_mut(self.slot)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect::<Parts>();
        // SAFETY: all zeroes is a valid mmsghdr: no address, no parts, no control data.
        let mut headers: [libc::mmsghdr; COUNT] = unsafe { std::mem::zeroed() };
        for (header, part) in headers.iter_mut().zip(&mut parts.0) {
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        for (header, control) in headers.iter_mut().zip(self.senders.iter_mut().flatten()) {
            *control = Control::empty();
            header.msg_hdr.msg_control = std::ptr::from_mut(control).cast();
            header.msg_hdr.msg_controllen = size_of::<Control>() as _;
        }
        // MSG_TRUNC: of one that is cut, the length that it had.
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: every header points at one element of `parts`, which points at a part of `bytes` of its length, and at one
        // element of `senders` or none; nothing else refers to these during this call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                COUNT as libc::c_uint,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (len, header) in self.lens.iter_mut().zip(&headers[..self.count]) {
            *len = header.msg_len;
        }
        Ok((self.count, self.count < COUNT))
    }

    /// The datagrams of the last call.
    pub fn iter(&self) -> impl Iterator<Item = ReceivedDatagram<'_>> {
        self.bytes.chunks_exact(self.slot).zip(&self.lens[..self.count]).enumerate().map(|(index, (slot, len))| {
            let len = *len as usize;
            let sender = self.senders.as_ref().and_then(|senders| senders[index].sender());
            ReceivedDatagram { bytes: &slot[..len.min(slot.len())], missing: len.saturating_sub(slot.len()), sender }
        })
    }
}

impl Control {
    fn empty() -> Self {
        // SAFETY: both are numbers only.
        unsafe { std::mem::zeroed() }
    }

    /// What the kernel has written here. A process of another PID namespace has no number in this one.
    fn sender(&self) -> Option<SenderProcess> {
        let is_there = self.header.cmsg_level == libc::SOL_SOCKET && self.header.cmsg_type == libc::SCM_CREDENTIALS;
        let pid = u32::try_from(self.credentials.pid).ok().filter(|pid| is_there && *pid != 0)?;
        Some(SenderProcess { pid, uid: self.credentials.uid })
    }
}

/// The parts of one call, on the stack.
struct Parts([libc::iovec; COUNT]);

impl FromIterator<libc::iovec> for Parts {
    fn from_iter<I: IntoIterator<Item = libc::iovec>>(parts: I) -> Self {
        let mut all = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; COUNT];
        all.iter_mut().zip(parts).for_each(|(place, part)| *place = part);
        Self(all)
    }
}

/// ReceivedDatagrams that were dropped at this socket since it was made, modulo 2³².
///
/// By SO_MEMINFO (Linux 4.12) and not SO_RXQ_OVFL, which gives the same number with each datagram: that costs control
/// data for each, and of those that were dropped last it says nothing until another one comes.
///
/// # Errors
/// `getsockopt`'s.
pub fn dropped_datagrams(socket: BorrowedFd<'_>) -> io::Result<u32> {
    // linux/sock_diag.h: SK_MEMINFO_DROPS is the last of nine.
    let mut info = [0u32; 9];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `info`, and their number to `len`.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, info.as_mut_ptr().cast(), &raw mut len)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info[8])
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn bytes(datagrams: &ReceivedDatagrams) -> Vec<&[u8]> {
        datagrams.iter().map(|datagram| datagram.bytes).collect()
    }

    #[test]
    fn of_one_that_is_too_long_the_rest_is_counted() {
        let (receiver, sender) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let mut datagrams = ReceivedDatagrams::up_to(1000);
        for len in [1000 + APART, 1001 + APART, 100_000, 0] {
            sender.send(&vec![b'x'; len]).unwrap();
        }
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap(), (4, true));
        let found: Vec<_> = datagrams.iter().map(|datagram| (datagram.bytes.len(), datagram.missing)).collect();
        let room = 1000 + APART;
        assert_eq!(found, [(room, 0), (room, 1), (room, 100_000 - room), (0, 0)]);
    }

    #[test]
    fn senders_are_known_and_descriptors_are_not_taken() {
        let (receiver, sender) = std::os::unix::net::UnixDatagram::pair().unwrap();
        rustix::net::sockopt::set_socket_passcred(&receiver, true).unwrap();
        let (read_end, write_end) = rustix::pipe::pipe().unwrap();
        let passed = [write_end.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&passed)));
        let part = [io::IoSlice::new(b"with a descriptor")];
        rustix::net::sendmsg(&sender, &part, &mut control, rustix::net::SendFlags::empty()).unwrap();
        drop(write_end);
        sender.send(b"without").unwrap();
        let mut datagrams = ReceivedDatagrams::with_senders(1000);
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap(), (2, true));
        let us = SenderProcess { pid: std::process::id(), uid: rustix::process::getuid().as_raw() };
        assert!(datagrams.iter().all(|datagram| datagram.sender == Some(us)));
        assert_eq!(bytes(&datagrams), [&b"with a descriptor"[..], b"without"]);
        // The end of file says that nobody has the write end.
        assert_eq!(rustix::io::read(&read_end, &mut [0; 1]).unwrap(), 0);
        // Who does not ask is told nothing, and nothing of an earlier call stays.
        rustix::net::sockopt::set_socket_passcred(&receiver, false).unwrap();
        sender.send(b"nobody's").unwrap();
        datagrams.receive(receiver.as_fd()).unwrap();
        assert_eq!(datagrams.iter().map(|datagram| datagram.sender).collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn each_datagram_is_by_itself_and_in_order() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let mut datagrams = ReceivedDatagrams::default();
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let largest = vec![b'x'; 65_507];
        for datagram in [&b"one"[..], b"", &largest] {
            sender.send(datagram).unwrap();
        }
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap(), (3, true));
        assert_eq!(bytes(&datagrams), [&b"one"[..], b"", &largest]);
        for number in 0..COUNT + 1 {
            sender.send(number.to_string().as_bytes()).unwrap();
        }
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap(), (COUNT, false));
        assert_eq!(bytes(&datagrams)[63], b"63");
        assert_eq!(datagrams.receive(receiver.as_fd()).unwrap(), (1, true));
        assert_eq!(bytes(&datagrams), [b"64"]);
    }

    #[test]
    fn what_was_dropped_is_known_without_another_datagram() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&receiver, 4096).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        assert_eq!(dropped_datagrams(receiver.as_fd()).unwrap(), 0);
        for _ in 0..200 {
            sender.send(&[b'x'; 100]).unwrap();
        }
        let dropped = dropped_datagrams(receiver.as_fd()).unwrap();
        let mut received = 0;
        let mut datagrams = ReceivedDatagrams::default();
        while let Ok((count, _)) = datagrams.receive(receiver.as_fd()) {
            received += count;
        }
        assert!(dropped > 0);
        assert_eq!(received + dropped as usize, 200);
    }
}
