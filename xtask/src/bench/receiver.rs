//! Receivers that are never the bottleneck: one that lets the kernel throw everything away, one that keeps it, one that
//! hands it to a closure.
//!
//! A thread of its own reads one connection to its end, or datagrams until it gets an empty one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::net::{RecvFlags, recv, sockopt};

/// Datagrams that wait for us may take so much: then a slow moment of ours is no loss.
const DATAGRAM_BUFFER: usize = 1 << 30;
/// Nothing for so long: everything has arrived, also where something else keeps the machine busy.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What is done with the bytes of one read: a datagram, or a piece of a stream.
pub type OnBytes = Box<dyn FnMut(&[u8]) + Send>;

pub struct Receiver {
    transport: Transport,
    pub address: SocketAddr,
    progress: Arc<Progress>,
    thread: JoinHandle<io::Result<()>>,
}

struct Progress {
    begin: Instant,
    reads: AtomicU64,
    bytes: AtomicU64,
    /// Nanoseconds from `begin` to the first read that gave something, and to the last.
    first: AtomicU64,
    last: AtomicU64,
}

impl Receiver {
    /// The kernel throws away what comes, without copying it: all that there is to see is how much it was.
    pub fn discarding(transport: Transport) -> Result<Self> {
        Self::start(transport, None, RecvFlags::TRUNC, Box::new(|_| ()))
    }

    /// The same over TCP, with a receive buffer of at most so many bytes instead of what the machine allows.
    pub fn discarding_within(buffer: usize) -> Result<Self> {
        Self::start(Transport::Tcp, Some(buffer), RecvFlags::TRUNC, Box::new(|_| ()))
    }

    /// Keeps everything, a newline after each datagram.
    pub fn keeping(transport: Transport) -> Result<(Self, Arc<Mutex<Vec<u8>>>)> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let receiver = Self::calling(transport, move |bytes| {
            let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(bytes);
            if transport == Transport::Udp {
                kept.push(b'\n');
            }
        })?;
        Ok((receiver, kept))
    }

    pub fn calling(transport: Transport, on_bytes: impl FnMut(&[u8]) + Send + 'static) -> Result<Self> {
        Self::start(transport, None, RecvFlags::empty(), Box::new(on_bytes))
    }

    fn start(transport: Transport, buffer: Option<usize>, flags: RecvFlags, on_bytes: OnBytes) -> Result<Self> {
        let progress = Arc::new(Progress {
            begin: Instant::now(),
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
        });
        let seen = Arc::clone(&progress);
        let (address, thread) = match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                if let Some(buffer) = buffer {
                    // The kernel takes half of a buffer for its own use, and doubles what is asked for.
                    sockopt::set_socket_recv_buffer_size_force(&listener, buffer / 2)
                        .context("cannot choose a receive buffer")?;
                }
                let read = move |listener: TcpListener| read(&listener.accept()?.0, flags, &seen, on_bytes);
                (listener.local_addr()?, std::thread::spawn(move || read(listener)))
            }
            Transport::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                sockopt::set_socket_recv_buffer_size_force(&socket, DATAGRAM_BUFFER)
                    .context("cannot have a large receive buffer")?;
                (socket.local_addr()?, std::thread::spawn(move || read(&socket, flags, &seen, on_bytes)))
            }
        };
        Ok(Self { transport, address, progress, thread })
    }

    /// What `--to` takes.
    pub fn url(&self) -> String {
        format!("{}://{}", self.transport.name(), self.address)
    }

    pub fn bytes(&self) -> u64 {
        self.progress.bytes.load(Ordering::Relaxed)
    }

    /// When the last bytes came.
    pub fn last(&self) -> Instant {
        self.progress.begin + Duration::from_nanos(self.progress.last.load(Ordering::Relaxed))
    }

    /// When the first bytes came.
    pub fn first(&self) -> Instant {
        self.progress.begin + Duration::from_nanos(self.progress.first.load(Ordering::Relaxed))
    }

    /// Waits until something has come, and then nothing more for a while.
    pub fn wait_quiet(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.bytes() == 0 || self.last().elapsed() < QUIET {
            ensure!(Instant::now() < deadline, "after {} s the receiver was not quiet", PATIENCE.as_secs());
            std::thread::sleep(QUIET / 20);
        }
        Ok(())
    }

    /// Waits for the end of the stream, whose sender has gone: all reads that gave something.
    pub fn finish(self) -> Result<u64> {
        if self.transport == Transport::Udp {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(&[], self.address)?;
        }
        let ended = self.thread.join().ok().context("the receiver panicked")?;
        ended.context("the receiver's socket failed")?;
        Ok(self.progress.reads.load(Ordering::Relaxed))
    }
}

fn read(socket: impl AsFd, flags: RecvFlags, progress: &Progress, mut on_bytes: OnBytes) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        // With TRUNC the length is that of the datagram, or of what was thrown away.
        let (_, length) = match recv(&socket, &mut buffer[..], flags) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return Ok(());
        }
        // With TRUNC the length of a datagram may be more than fits.
        on_bytes(&buffer[..length.min(buffer.len())]);
        let now = progress.begin.elapsed().as_nanos() as u64;
        if progress.reads.fetch_add(1, Ordering::Relaxed) == 0 {
            progress.first.store(now, Ordering::Relaxed);
        }
        progress.bytes.fetch_add(length as u64, Ordering::Relaxed);
        progress.last.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn both_transports_are_counted_and_kept() {
        // The large buffer needs CAP_NET_ADMIN, as the benchmark itself does.
        let Ok((udp, kept)) = Receiver::keeping(Transport::Udp) else { return };
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sender.send_to(b"one", udp.address).unwrap();
        sender.send_to(b"two", udp.address).unwrap();
        udp.wait_quiet().unwrap();
        assert_eq!(udp.bytes(), 6);
        assert_eq!(udp.finish().unwrap(), 2);
        assert_eq!(kept.lock().unwrap().as_slice(), b"one\ntwo\n");
        let tcp = Receiver::discarding(Transport::Tcp).unwrap();
        std::net::TcpStream::connect(tcp.address).unwrap().write_all(&[b'x'; 100_000]).unwrap();
        tcp.wait_quiet().unwrap();
        assert_eq!(tcp.bytes(), 100_000);
        tcp.finish().unwrap();
    }
}
