//! Receivers that are never the bottleneck: one that lets the kernel throw everything away, one that keeps it, one that
//! hands it to a closure.
//!
//! A thread for each connection reads it to its end, or one thread datagrams until it gets an empty one: some forwarders send
//! by several connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// What is done with a datagram, or with a piece of a stream: of several connections, with whole lines in turn.
type OnBytes = Arc<Mutex<dyn FnMut(&[u8]) + Send>>;

pub struct Receiver {
    transport: Transport,
    pub address: SocketAddr,
    progress: Arc<Progress>,
    /// No more connections are expected.
    ends: Arc<AtomicBool>,
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
        Self::start(transport, None, RecvFlags::TRUNC, Arc::new(Mutex::new(|_: &[u8]| ())))
    }

    /// The same over TCP, with a receive buffer of at most so many bytes instead of what the machine allows.
    pub fn discarding_within(buffer: usize) -> Result<Self> {
        Self::start(Transport::Tcp, Some(buffer), RecvFlags::TRUNC, Arc::new(Mutex::new(|_: &[u8]| ())))
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
        Self::start(transport, None, RecvFlags::empty(), Arc::new(Mutex::new(on_bytes)))
    }

    fn start(transport: Transport, buffer: Option<usize>, flags: RecvFlags, on_bytes: OnBytes) -> Result<Self> {
        let progress = Arc::new(Progress {
            begin: Instant::now(),
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
        });
        let (seen, ends) = (Arc::clone(&progress), Arc::new(AtomicBool::new(false)));
        let (address, thread) = match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                if let Some(buffer) = buffer {
                    // The kernel takes half of a buffer for its own use, and doubles what is asked for.
                    sockopt::set_socket_recv_buffer_size_force(&listener, buffer / 2)
                        .context("cannot choose a receive buffer")?;
                }
                let (address, ends) = (listener.local_addr()?, Arc::clone(&ends));
                (address, std::thread::spawn(move || accept(&listener, &ends, flags, &seen, &on_bytes)))
            }
            Transport::Udp => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                sockopt::set_socket_recv_buffer_size_force(&socket, DATAGRAM_BUFFER)
                    .context("cannot have a large receive buffer")?;
                (socket.local_addr()?, std::thread::spawn(move || read(&socket, false, flags, &seen, &on_bytes)))
            }
        };
        Ok(Self { transport, address, progress, ends, thread })
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

    /// Waits for the end of the streams, whose sender has gone: all reads that gave something.
    pub fn finish(self) -> Result<u64> {
        self.ends.store(true, Ordering::Release);
        match self.transport {
            Transport::Udp => drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(&[], self.address)?),
            // It may have seen already that no more come.
            Transport::Tcp => drop(TcpStream::connect(self.address)),
        }
        let ended = self.thread.join().ok().context("the receiver panicked")?;
        ended.context("the receiver's socket failed")?;
        Ok(self.progress.reads.load(Ordering::Relaxed))
    }
}

/// Reads connections until no more are expected, each to its end.
fn accept(
    listener: &TcpListener,
    ends: &AtomicBool,
    flags: RecvFlags,
    progress: &Progress,
    on_bytes: &OnBytes,
) -> io::Result<()> {
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        loop {
            match listener.accept() {
                Ok((connection, _)) => {
                    readers.push(scope.spawn(move || read(&connection, true, flags, progress, on_bytes)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            // Those that wait are taken.
            if ends.load(Ordering::Acquire) {
                listener.set_nonblocking(true)?;
            }
        }
        readers.into_iter().try_for_each(|reader| reader.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    })
}

/// Reads to the end. Of a stream of `lines`, what follows the last newline waits for the rest of its line.
fn read(socket: impl AsFd, lines: bool, flags: RecvFlags, progress: &Progress, on_bytes: &OnBytes) -> io::Result<()> {
    let on_bytes = |bytes: &[u8]| on_bytes.lock().unwrap_or_else(PoisonError::into_inner)(bytes);
    let lines = lines && !flags.contains(RecvFlags::TRUNC);
    let (mut buffer, mut waiting) = (vec![0; 1 << 20], 0);
    loop {
        // With TRUNC the length is that of the datagram, or of what was thrown away.
        let (_, length) = match recv(&socket, &mut buffer[waiting..], flags) {
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            if waiting > 0 {
                on_bytes(&buffer[..waiting]);
            }
            return Ok(());
        }
        let now = progress.begin.elapsed().as_nanos() as u64;
        // With TRUNC the length of a datagram may be more than fits.
        let end = (waiting + length).min(buffer.len());
        let whole = match memchr::memrchr(b'\n', &buffer[..end]).filter(|_| lines) {
            Some(newline) => newline + 1,
            // A line that is longer than the buffer comes in pieces.
            None if lines && end < buffer.len() => 0,
            None => end,
        };
        if whole > 0 {
            on_bytes(&buffer[..whole]);
            buffer.copy_within(whole..end, 0);
        }
        waiting = end - whole;
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

    #[test]
    fn lines_of_several_connections_are_whole() {
        let (receiver, kept) = Receiver::keeping(Transport::Tcp).unwrap();
        let mut streams = [(); 3].map(|()| TcpStream::connect(receiver.address).unwrap());
        let mut sent = 0;
        for piece in ["one ", "two ", "three\nfour ", "five\n"] {
            for stream in &mut streams {
                stream.write_all(piece.as_bytes()).unwrap();
                sent += piece.len() as u64;
                while receiver.bytes() < sent {
                    std::thread::yield_now();
                }
            }
        }
        drop(streams);
        receiver.finish().unwrap();
        let expected = ["one two three\n".repeat(3), "four five\n".repeat(3)].concat();
        assert_eq!(kept.lock().unwrap().as_slice(), expected.as_bytes());
    }
}
