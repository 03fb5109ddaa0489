//! The lines of a way: in a file, or sent to a port or through a descriptor; all at once, or at a rate with the time in
//! each.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

use super::super::memlogd::pass_pipe;
use super::candidate::Running;
use super::shape::Shape;
use super::way::{Input, Way};

/// Sent at once over TCP and into a pipe.
const PIECE: usize = 256 << 10;
/// Datagrams of one send: the kernel cuts them apart, so that offering them costs less than taking them.
const SEGMENTS: usize = 64;
/// Of these, at most so much together.
const SEGMENT_BYTES: usize = 60_000;
/// How often a sender at a rate sends what is due.
pub const TICK: Duration = Duration::from_millis(1);

pub struct Feed {
    pub shape: Shape,
    input: Input,
    seed: u64,
    pub lines: u64,
    /// On average, newline included.
    pub line_bytes: f64,
    /// The file, or empty where it is sent.
    pub file: PathBuf,
    /// What is sent, made beforehand: the sender is not to be what limits. Empty where it is a file.
    bytes: Vec<u8>,
}

impl Feed {
    /// Makes all lines; those of a file are written into it, and a container's is named as the kubelet does.
    pub fn prepare(way: Way, seed: u64, lines: u64, folder: &Path) -> Result<Self> {
        let mut feed = Self::empty(way, seed, folder)?;
        feed.lines = lines.min(way.most_lines());
        let mut bytes = 0;
        if feed.input == Input::File {
            let created = File::create(&feed.file).with_context(|| format!("{}", feed.file.display()))?;
            let mut file = BufWriter::with_capacity(1 << 20, created);
            let mut line = Vec::new();
            for number in 0..feed.lines {
                line.clear();
                feed.shape.line(seed, number, None, &mut line);
                bytes += line.len();
                file.write_all(&line)?;
            }
            file.flush()?;
        } else {
            for number in 0..feed.lines {
                feed.shape.line(seed, number, None, &mut feed.bytes);
            }
            bytes = feed.bytes.len();
        }
        feed.line_bytes = bytes as f64 / feed.lines as f64;
        Ok(feed)
    }

    /// Without a line yet, for [`Feed::timed`].
    pub fn empty(way: Way, seed: u64, folder: &Path) -> Result<Self> {
        let (shape, input) = (way.shape(), way.input());
        let mut file = PathBuf::new();
        if input == Input::File {
            file = folder.join(match shape {
                Shape::Cri => "pods/shop_web-0_5f8e1d9c-0000-4000-8000-000000000001/app/0.log",
                _ => "plain.log",
            });
            std::fs::create_dir_all(file.parent().unwrap_or(folder))?;
            File::create(&file).with_context(|| format!("{}", file.display()))?;
        }
        Ok(Self { shape, input, seed, lines: 0, line_bytes: 0.0, file, bytes: Vec::new() })
    }

    /// Sends all of it; a file is there already. How long that took.
    pub fn send(&self, to: &Running) -> Result<Duration> {
        let begin = Instant::now();
        let mut sender = self.sender(to)?;
        match self.input {
            Input::File => {}
            Input::Tcp | Input::Descriptor => {
                self.bytes.chunks(PIECE).try_for_each(|piece| sender.lines(piece))?;
            }
            Input::Udp { rate } => {
                let tick = (rate / 1000) as usize;
                let mut rest = &self.bytes[..];
                for number in 0.. {
                    let due = begin + TICK * number;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let now = rest.len().min(tick * self.line_bytes as usize);
                    sender.lines(&rest[..now])?;
                    rest = &rest[now..];
                    if rest.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(begin.elapsed())
    }

    /// Where lines go in; for a file, what appends to it.
    pub fn sender(&self, to: &Running) -> Result<Sender> {
        Ok(match self.input {
            Input::File => Sender::Bytes(Box::new(File::options().append(true).open(&self.file)?)),
            Input::Tcp => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, to.port()))?;
                stream.set_nodelay(true)?;
                Sender::Bytes(Box::new(stream))
            }
            Input::Descriptor => Sender::Bytes(Box::new(pass_pipe(to.log_socket())?)),
            Input::Udp { .. } => {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.connect((Ipv4Addr::LOCALHOST, to.port()))?;
                Sender::Datagrams { socket, together: Vec::new() }
            }
        })
    }

    /// Lines whose time can be set.
    pub fn timed(&self) -> Result<Timed> {
        Timed::new(self.shape, self.seed)
    }

    /// The text of line `number`, as it must arrive.
    pub fn text(&self, number: u64, out: &mut Vec<u8>) {
        self.shape.text(self.seed, number, out);
    }
}

/// Some lines that are sent again and again, each time with the time at which they are sent: making new ones would be
/// what limits the rate.
pub struct Timed {
    /// With the place of the time in each.
    lines: Vec<(Vec<u8>, usize)>,
    sent: u64,
}

impl Timed {
    /// So many that the next round is a new one for every cache; a multiple of the kinds of lines that a shape has.
    const LINES: u64 = 3000;
    const NO_TIME: u64 = 1_000_000_000_000_000_000;

    fn new(shape: Shape, seed: u64) -> Result<Self> {
        let digits = Self::NO_TIME.to_string();
        let lines = (0..Self::LINES).map(|number| {
            let mut line = Vec::new();
            shape.line(seed, number, Some(Self::NO_TIME), &mut line);
            let at = memchr::memmem::find(&line, digits.as_bytes()).context("a line has no room for its time")?;
            Ok((line, at))
        });
        Ok(Self { lines: lines.collect::<Result<_>>()?, sent: 0 })
    }

    /// Sends lines at a rate for a while, those of a millisecond at once; how many.
    pub fn pace(&mut self, sender: &mut Sender, rate: u64, time: Duration) -> Result<u64> {
        let (begin, from, mut piece) = (Instant::now(), self.sent, Vec::new());
        for tick in 1.. {
            let elapsed = begin.elapsed().min(time);
            let due = from + (elapsed.as_secs_f64() * rate as f64) as u64;
            // A sender that is late sends in pieces, so that no line has the time of one much earlier.
            let until = due.min(self.sent + Self::LINES);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
            piece.clear();
            for number in self.sent..until {
                let (line, at) = &self.lines[(number % Self::LINES) as usize];
                let start = piece.len();
                piece.extend_from_slice(line);
                piece[start + at..][..now.len()].copy_from_slice(now.as_bytes());
            }
            sender.lines(&piece)?;
            self.sent = until;
            if elapsed == time && self.sent == due {
                break;
            }
            if until == due {
                std::thread::sleep((begin + TICK * tick).saturating_duration_since(Instant::now()));
            }
        }
        Ok(self.sent - from)
    }
}

/// Where lines go in.
pub enum Sender {
    Bytes(Box<dyn Write>),
    /// A line a datagram. All lines have one length.
    Datagrams {
        socket: UdpSocket,
        together: Vec<u8>,
    },
}

impl Sender {
    /// Sends whole lines.
    pub fn lines(&mut self, lines: &[u8]) -> Result<()> {
        match self {
            Self::Bytes(to) => to.write_all(lines).context("the lines were not taken"),
            Self::Datagrams { socket, together } => {
                let Some(length) = memchr::memchr(b'\n', lines) else { return Ok(()) };
                together.clear();
                lines.chunks(length + 1).for_each(|line| together.extend_from_slice(&line[..length]));
                setsockopt(&*socket, UdpGsoSegment, &(length as i32)).context("the kernel has no UDP_SEGMENT")?;
                for some in together.chunks(SEGMENTS.min(SEGMENT_BYTES / length) * length) {
                    socket.send(some).context("could not send datagrams")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::payload;
    use super::*;

    #[test]
    fn lines_at_a_rate_are_all_sent_and_have_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let feed = Feed::empty(Way::CriTcp, 1, folder.path()).unwrap();
        let mut timed = feed.timed().unwrap();
        let mut sender = Sender::Bytes(Box::new(File::create(&feed.file).unwrap()));
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let sent = timed.pace(&mut sender, 500_000, Duration::from_millis(20)).unwrap();
        let text = std::fs::read_to_string(&feed.file).unwrap();
        assert_eq!((sent, text.lines().count()), (10_000, 10_000));
        let times = text.lines().map(|line| payload::time_of(line.split_once(" F ").unwrap().1.as_bytes()).unwrap());
        let times = times.collect::<Vec<_>>();
        assert!(times[0] >= before && times.is_sorted());
    }

    #[test]
    fn datagrams_that_are_sent_together_arrive_alone() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(receiver.local_addr().unwrap()).unwrap();
        let mut sender = Sender::Datagrams { socket, together: Vec::new() };
        sender.lines(b"one\ntwo\nsix\n").unwrap();
        let mut buffer = [0; 100];
        for expected in [b"one", b"two", b"six"] {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }
}
