//! The lines of a way: in a file, or sent to a port.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::payload;
use super::way::{Input, Shape, Way};

/// Bytes of a plain line, its newline included.
const PLAIN_BYTES: usize = 275;
/// What a Talos service says in its `msg`: with the rest of the object 218 bytes a line.
const TALOS_TEXT_BYTES: usize = 80;
/// A CRI line carries so much text.
const CRI_TEXT_BYTES: usize = 275;
/// Sent at once over TCP.
const PIECE: usize = 256 << 10;

pub struct Feed {
    shape: Shape,
    input: Input,
    seed: u64,
    pub lines: u64,
    /// On average, newline included.
    pub line_bytes: f64,
    /// The file, or empty where it is sent.
    pub file: PathBuf,
}

impl Feed {
    /// Writes the file, where there is one; a container's is named as the kubelet does.
    pub fn prepare(way: Way, seed: u64, lines: u64, folder: &Path) -> Result<Self> {
        let lines = lines.min(way.most_lines());
        let mut feed =
            Self { shape: way.shape(), input: way.input(), seed, lines, line_bytes: 0.0, file: PathBuf::new() };
        let mut bytes = 0;
        let mut file = None;
        if feed.input == Input::File {
            feed.file = folder.join(match feed.shape {
                Shape::Cri => "pods/shop_web-0_5f8e1d9c-0000-4000-8000-000000000001/app/0.log",
                Shape::Plain | Shape::Talos => "plain.log",
            });
            std::fs::create_dir_all(feed.file.parent().unwrap_or(folder))?;
            let created = File::create(&feed.file).with_context(|| format!("{}", feed.file.display()))?;
            file = Some(BufWriter::with_capacity(1 << 20, created));
        }
        let mut line = Vec::new();
        for number in 0..lines {
            line.clear();
            feed.line(number, &mut line);
            bytes += line.len();
            match &mut file {
                Some(file) => file.write_all(&line)?,
                None if number >= 1000 => break,
                None => {}
            }
        }
        let counted = if file.is_some() { lines } else { lines.min(1001) };
        feed.line_bytes = bytes as f64 / counted as f64;
        if let Some(mut file) = file {
            file.flush()?;
        }
        Ok(feed)
    }

    /// Appends line `number` as it is sent.
    fn line(&self, number: u64, out: &mut Vec<u8>) {
        match self.shape {
            Shape::Plain => payload::line(self.seed, number, PLAIN_BYTES - 1, out),
            Shape::Cri => {
                let (second, nanosecond) = (number / 1000 % 60, number % 1000 * 1_000_000 + 1);
                write!(out, "2026-01-02T03:04:{second:02}.{nanosecond:09}Z stdout F ").expect("in memory");
                payload::line(self.seed, number, CRI_TEXT_BYTES - 1, out);
            }
            Shape::Talos => {
                out.extend_from_slice(br#"{"caller":"mvcc/kvstore_compaction.go:57","msg":""#);
                payload::line(self.seed, number, TALOS_TEXT_BYTES, out);
                out.extend_from_slice(
                    br#"","talos-level":"info","talos-service":"etcd","talos-time":"2026-01-02T03:04:05.815Z"}"#,
                );
            }
        }
        out.push(b'\n');
    }

    /// The text of line `number`, as it must arrive.
    pub fn text(&self, number: u64, out: &mut Vec<u8>) {
        let length = match self.shape {
            Shape::Plain => PLAIN_BYTES - 1,
            Shape::Cri => CRI_TEXT_BYTES - 1,
            Shape::Talos => TALOS_TEXT_BYTES,
        };
        payload::line(self.seed, number, length, out);
    }

    /// Sends all of it to `port`; a file is there already.
    pub fn send(&self, port: u16) -> Result<()> {
        match self.input {
            Input::File => Ok(()),
            Input::Tcp => self.stream(port),
            Input::Udp { rate } => self.datagrams(port, rate),
        }
    }

    /// As fast as it is taken.
    fn stream(&self, port: u16) -> Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let mut piece = Vec::with_capacity(2 * PIECE);
        for number in 0..self.lines {
            self.line(number, &mut piece);
            if piece.len() >= PIECE {
                stream.write_all(&piece)?;
                piece.clear();
            }
        }
        stream.write_all(&piece)?;
        Ok(())
    }

    /// At a rate, a millisecond's worth at a time.
    fn datagrams(&self, port: u16, rate: u64) -> Result<()> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        let begin = Instant::now();
        let mut line = Vec::new();
        for number in 0..self.lines {
            let due = begin + Duration::from_nanos(number * 1_000_000_000 / rate);
            if number % (rate / 1000) == 0 {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            line.clear();
            self.line(number, &mut line);
            socket.send(&line[..line.len() - 1]).context("could not send a datagram")?;
        }
        Ok(())
    }
}
