//! What the kernel knows of a TCP connection: `TCP_INFO` and `SIOCOUTQ`. Both still answer after an RST.
//!
//! Read by offset, because the C library's `struct tcp_info` ends before the fields that are needed here. The
//! layout only grows (linux/include/uapi/linux/tcp.h):
//!
//! ```text
//!   0  u8   tcpi_state               4  u8   tcpi_backoff
//!   8  u32  tcpi_rto (µs)           24  u32  tcpi_unacked
//!  56  u32  tcpi_last_ack_recv (ms) 68  u32  tcpi_rtt (µs)
//! 120  u64  tcpi_bytes_acked       228  u32  tcpi_snd_wnd (since Linux 5.4)
//! ```

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// State of a connection that is gone: after an RST, a time-out, or when both sides have closed.
pub const STATE_CLOSED: u8 = 7;

/// TCP_RTO_MAX of the kernel.
const MAX_RETRY: Duration = Duration::from_secs(120);

const STATE: usize = 0;
const BACKOFF: usize = 4;
const RTO: usize = 8;
const UNACKED: usize = 24;
const LAST_ACK_RECV: usize = 56;
const RTT: usize = 68;
const BYTES_ACKED: usize = 120;
const SND_WND: usize = 228;
const LEN: usize = 256;

/// The fields of `struct tcp_info` that say what the peer has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Of the kernel's `enum tcp_state`; [`STATE_CLOSED`] when the connection is gone.
    pub state: u8,
    /// Pause between what is sent again, or between probes of a closed window.
    pub retry: Duration,
    /// Time since the peer's last answer of any kind.
    pub silence: Duration,
    /// Segments on their way.
    pub unacked: u32,
    /// Smoothed round trip in microseconds.
    pub rtt_us: u32,
    /// Bytes that the peer's kernel acknowledged. Counts the SYN, and the FIN when that is acknowledged.
    pub bytes_acked: u64,
    /// Window that the peer offers, in bytes; `None` before Linux 5.4.
    pub snd_wnd: Option<u32>,
}

/// Reads `TCP_INFO`.
///
/// # Errors
/// `getsockopt`'s, and `Unsupported` where the kernel's structure has no acknowledged bytes (before Linux 4.1).
pub fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut raw = [0u8; LEN];
    let mut len = LEN as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `raw`, which is LEN bytes long, and sets `len`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            raw.as_mut_ptr().cast::<libc::c_void>(),
            &raw mut len,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    parse(&raw[..len as usize]).ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// Bytes that were written and are not acknowledged yet, a FIN included.
///
/// # Errors
/// `ioctl`'s.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn parse(raw: &[u8]) -> Option<TcpInfo> {
    let u32_at = |at: usize| Some(u32::from_ne_bytes(raw.get(at..at + 4)?.try_into().ok()?));
    Some(TcpInfo {
        state: *raw.get(STATE)?,
        retry: (Duration::from_micros(u32_at(RTO)?.into()) * (1 << (*raw.get(BACKOFF)?).min(16))).min(MAX_RETRY),
        silence: Duration::from_millis(u32_at(LAST_ACK_RECV)?.into()),
        unacked: u32_at(UNACKED)?,
        rtt_us: u32_at(RTT)?,
        bytes_acked: u64::from_ne_bytes(raw.get(BYTES_ACKED..BYTES_ACKED + 8)?.try_into().ok()?),
        snd_wnd: u32_at(SND_WND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn bytes_acked_counts_the_syn_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = tcp_info(client.as_fd()).unwrap();
        assert_eq!(before.bytes_acked, 1, "the SYN");
        client.write_all(&[b'x'; 1000]).unwrap();
        server.read_exact(&mut [0; 1000]).unwrap();
        while unacknowledged_bytes(client.as_fd()).unwrap() > 0 {
            std::thread::yield_now();
        }
        let after = tcp_info(client.as_fd()).unwrap();
        assert_eq!(after.bytes_acked, 1001);
        assert!(after.snd_wnd.unwrap() > 0);
    }

    #[test]
    fn still_answers_after_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(&[b'x'; 1000]).unwrap();
        while unacknowledged_bytes(client.as_fd()).unwrap() > 0 {
            std::thread::yield_now();
        }
        drop(server); // With unread data: an RST.
        assert!(client.read(&mut [0; 1]).is_err());
        let info = tcp_info(client.as_fd()).unwrap();
        assert_eq!((info.state, info.bytes_acked), (STATE_CLOSED, 1001));
    }

    #[test]
    fn an_older_kernel_reports_no_window() {
        assert_eq!(parse(&[0; 128]).unwrap().snd_wnd, None);
        assert_eq!(parse(&[0; 104]), None);
    }
}
