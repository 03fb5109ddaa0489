//! Many datagrams in one system call.
//!
//! A message of the call is one datagram, or a *run*: datagrams of one size that go through the kernel as one packet
//! and are cut apart at its end, by the device where it can (UDP_SEGMENT, since Linux 4.18). What is shorter than
//! the run's size is padded with spaces, but for the last.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams that one call should have: more save nothing that can be measured.
pub const MAX_DATAGRAMS: usize = 256;

/// Datagrams of a run. The kernel takes twice as many since 6.9.
pub const MAX_SEGMENTS: usize = 64;

/// Spaces that a datagram of a run gets at most.
pub const MAX_PADDING: usize = SPACES.len();

static SPACES: [u8; 16 << 10] = [b' '; 16 << 10];

/// Datagrams that lie one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Datagrams<'a> {
    pub bytes: &'a [u8],
    /// Where each of them ends.
    pub ends: &'a [usize],
}

impl<'a> Datagrams<'a> {
    /// # Panics
    /// Where there are not so many.
    pub fn datagram(&self, index: usize) -> &'a [u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

/// Datagrams that are sent as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// At least one; at most [`MAX_SEGMENTS`].
    pub datagrams: u16,
    /// Size of the largest; what all but the last are padded to. Of no meaning where there is only one.
    pub size: u16,
}

impl Run {
    pub const ONE: Run = Run { datagrams: 1, size: 0 };

    /// Whether the kernel has to cut it apart.
    pub fn is_segmented(&self) -> bool {
        self.datagrams > 1
    }
}

/// Sends datagrams; keeps what the calls need from one to the next.
#[derive(Default)]
pub struct DatagramSender {
    parts: Vec<libc::iovec>,
    controls: Vec<Control>,
    messages: Vec<libc::mmsghdr>,
}

/// The control message that has a run cut apart.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    size: u16,
}

// The compiler's padding is the kernel's.
const _: () = {
    // SAFETY: only computes.
    let space = unsafe { libc::CMSG_SPACE(2) };
    assert!(size_of::<Control>() == space as usize);
};

impl DatagramSender {
    /// Sends `runs` of `datagrams`, beginning with number `from`, on a connected socket without waiting, and returns how
    /// many runs the kernel took: at least one. A run is taken whole or not at all. Zero only where there is none.
    ///
    /// # Errors
    /// The error of the first run. That of a later one is swallowed by the kernel: the runs before it are
    /// taken and it is not, so that sending the rest again loses nothing.
    ///
    /// # Panics
    /// Where there are fewer datagrams than in the runs, and where one would need more than [`MAX_PADDING`].
    pub fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: Datagrams<'_>,
        from: usize,
        runs: &[Run],
    ) -> io::Result<usize> {
        if runs.is_empty() {
            return Ok(0);
        }
        self.build(datagrams, from, runs);
        // SAFETY: every message points at elements of `parts` and `controls`, which are not changed before the call;
        // the parts point at datagrams, borrowed for this call, and at SPACES. The kernel only reads them, and writes
        // `msg_len`.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                self.messages.len() as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Fills the lists that the call gets. First all parts: a list that grows would move them.
    fn build(&mut self, datagrams: Datagrams<'_>, from: usize, runs: &[Run]) {
        let Self { parts, controls, messages } = self;
        parts.clear();
        controls.clear();
        messages.clear();
        let mut next = from;
        for run in runs {
            let first = parts.len();
            for number in 1..=run.datagrams {
                let datagram = datagrams.datagram(next);
                parts.push(part(datagram));
                next += 1;
                let padding = usize::from(run.size).saturating_sub(datagram.len());
                if number < run.datagrams && padding > 0 {
                    parts.push(part(&SPACES[..padding]));
                }
            }
            if run.is_segmented() {
                controls.push(Control::of(run.size));
            }
            // SAFETY: all zeroes is a valid mmsghdr: no address, no parts, no control data.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iovlen = (parts.len() - first) as _;
            messages.push(message);
        }
        let (mut parts, mut controls) = (parts.as_mut_slice(), controls.as_mut_slice());
        for (message, run) in messages.iter_mut().zip(runs) {
            #[allow(clippy::unnecessary_cast, reason = "it is an int with musl")]
            let (own, rest) = std::mem::take(&mut parts).split_at_mut(message.msg_hdr.msg_iovlen as usize);
            message.msg_hdr.msg_iov = own.as_mut_ptr();
            parts = rest;
            if run.is_segmented()
                && let Some((control, rest)) = std::mem::take(&mut controls).split_first_mut()
            {
                message.msg_hdr.msg_control = std::ptr::from_mut(control).cast();
                message.msg_hdr.msg_controllen = size_of::<Control>() as _;
                controls = rest;
            }
        }
    }
}

fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

impl Control {
    fn of(size: u16) -> Self {
        // SAFETY: a cmsghdr is made of numbers; all zeroes is one.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        // SAFETY: only computes.
        header.cmsg_len = unsafe { libc::CMSG_LEN(2) } as _;
        Self { header, size }
    }
}

/// The largest datagram that the way of a connected UDP socket carries in one packet, where the kernel can cut runs
/// apart.
///
/// # Errors
/// Where it can't (`ENOPROTOOPT` before Linux 4.18, which would send a run as one large datagram), and where the way's
/// MTU is not known.
pub fn segment_limit(socket: BorrowedFd<'_>) -> io::Result<usize> {
    option(socket, libc::SOL_UDP, libc::UDP_SEGMENT)?;
    let ipv6 = option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)? == libc::AF_INET6;
    let (mtu, headers) = if ipv6 {
        (option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU)?, 40 + 8)
    } else {
        (option(socket, libc::IPPROTO_IP, libc::IP_MTU)?, 20 + 8)
    };
    Ok(usize::try_from(mtu).unwrap_or(0).saturating_sub(headers))
}

fn option(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `value`, which has as many, and sets `len`.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Leaves out the checksums of a socket: the kernel cuts nothing apart that has none.
#[cfg(test)]
pub(crate) fn leave_out_checksums(socket: BorrowedFd<'_>) {
    let yes: libc::c_int = 1;
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `yes`, which has as many.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, (&raw const yes).cast(), len)
    };
    assert_eq!(result, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let receiver = UdpSocket::bind(address).unwrap();
        let sender = UdpSocket::bind(address).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        (receiver, sender)
    }

    fn send(sender: &UdpSocket, datagrams: &[&[u8]], runs: &[Run]) -> io::Result<usize> {
        let ends: Vec<usize> = datagrams
            .iter()
            .scan(0, |end, datagram| {
                *end += datagram.len();
                Some(*end)
            })
            .collect();
        let bytes = datagrams.concat();
        DatagramSender::default().send(sender.as_fd(), Datagrams { bytes: &bytes, ends: &ends }, 0, runs)
    }

    #[test]
    fn each_part_is_a_datagram() {
        let (receiver, sender) = pair("127.0.0.1:0");
        let datagrams: [&[u8]; 3] = [b"one", b"", b"three"];
        assert_eq!(send(&sender, &datagrams, &[Run::ONE; 3]).unwrap(), 3);
        let mut buffer = [0; 16];
        for expected in datagrams {
            let received = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..received], expected);
        }
    }

    #[test]
    fn a_run_is_cut_apart_and_padded_but_for_its_last() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (receiver, sender) = pair(address);
            let runs = [Run::ONE, Run { datagrams: 3, size: 5 }, Run::ONE, Run { datagrams: 2, size: 3 }];
            let datagrams: [&[u8]; 7] = [b"{}", b"[1]", b"[2,3]", b"[4]", b"[5,6,7]", b"{}", b"[8]"];
            assert_eq!(send(&sender, &datagrams, &runs).unwrap(), 4);
            let mut buffer = [0; 16];
            for expected in ["{}", "[1]  ", "[2,3]", "[4]", "[5,6,7]", "{} ", "[8]"] {
                let received = receiver.recv(&mut buffer).unwrap();
                assert_eq!(std::str::from_utf8(&buffer[..received]).unwrap(), expected);
            }
        }
    }

    #[test]
    fn the_limit_of_a_segment_is_the_way_less_the_headers() {
        assert_eq!(segment_limit(pair("127.0.0.1:0").1.as_fd()).unwrap(), 65_535 - 28);
        assert_eq!(segment_limit(pair("[::1]:0").1.as_fd()).unwrap(), 65_536 - 48);
        let unconnected = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(segment_limit(unconnected.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    }

    #[test]
    fn a_refusal_is_reported_before_the_datagram_that_meets_it_is_taken() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(closed).unwrap();
        assert_eq!(send(&sender, &[b"refused"], &[Run::ONE]).unwrap(), 1);
        let run = Run { datagrams: 2, size: 3 };
        let error = send(&sender, &[b"not", b"taken"], &[run]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn what_is_too_big_stops_the_call_before_it() {
        let (_receiver, sender) = pair("127.0.0.1:0");
        let big = vec![b'x'; 65508];
        assert_eq!(send(&sender, &[b"small", &big], &[Run::ONE; 2]).unwrap(), 1);
        let error = send(&sender, &[&big], &[Run::ONE]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }
}
