//! For peers that have no JSON lines over TCP: what they write is passed on to the receiver as it is.
//!
//! A pipe is emptied into the receiver's connection in the kernel. HTTP requests are answered, and their bodies passed
//! on, unpacked where somebody looks at them. None of this is the peer's CPU time; what it saves a peer is said in
//! `benches/peers/README.md`.

use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};
use ruzstd::decoding::StreamingDecoder;

/// What the pipe holds.
const PIPE_BYTES: usize = 1 << 20;
/// A request larger than that is none of a log forwarder's.
const MOST_BYTES: usize = 256 << 20;

pub struct Gateway {
    thread: JoinHandle<Result<()>>,
    /// Where it is told to end, if it does not by itself.
    listener: Option<(u16, Arc<AtomicBool>)>,
}

impl Gateway {
    /// Passes on what comes out of a pipe.
    pub fn pipe(from: PipeReader, receiver: u16) -> Result<Self> {
        // Smaller where the kernel does not allow so much.
        let _ = fcntl_setpipe_size(&from, PIPE_BYTES);
        let to = TcpStream::connect((Ipv4Addr::LOCALHOST, receiver))?;
        let thread = std::thread::spawn(move || {
            while splice(&from, None, &to, None, PIPE_BYTES, SpliceFlags::empty())? > 0 {}
            Ok(())
        });
        Ok(Self { thread, listener: None })
    }

    /// Listens on a port, which is given too, and passes on the bodies of requests; those are zstd's, and unpacked where
    /// that is asked for.
    pub fn http(receiver: u16, unpacked: bool) -> Result<(u16, Self)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let to = TcpStream::connect((Ipv4Addr::LOCALHOST, receiver))?;
        let to = Arc::new(Mutex::new(to));
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            while let Ok((connection, _)) = listener.accept() {
                if is_ended.load(Ordering::Relaxed) {
                    break;
                }
                let to = Arc::clone(&to);
                connections.push(std::thread::spawn(move || serve(connection, &to, unpacked)));
            }
            // They end with their sender, whom we have outlived. One that it broke off is one that it sends again.
            connections.into_iter().for_each(|connection| _ = connection.join());
            Ok(())
        });
        Ok((port, Self { thread, listener: Some((port, ended)) }))
    }

    /// After its sender has gone: returns when all of it was passed on.
    pub fn finish(self) -> Result<()> {
        if let Some((port, ended)) = self.listener {
            ended.store(true, Ordering::Relaxed);
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
        }
        self.thread.join().ok().context("the gateway panicked")?.context("the gateway could not pass on what came")
    }
}

/// Answers the requests of a connection.
fn serve(connection: TcpStream, to: &Mutex<TcpStream>, unpacked: bool) -> Result<()> {
    let mut answers = connection.try_clone()?;
    let mut requests = BufReader::with_capacity(256 << 10, connection);
    let (mut body, mut text) = (Vec::new(), Vec::new());
    while request(&mut requests, &mut body)? {
        let passed = if unpacked { unpack(&body, &mut text)? } else { &body };
        to.lock().unwrap_or_else(PoisonError::into_inner).write_all(passed)?;
        answers.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
    Ok(())
}

/// What the frames of zstd hold.
fn unpack<'t>(mut packed: &[u8], text: &'t mut Vec<u8>) -> Result<&'t [u8]> {
    text.clear();
    while !packed.is_empty() {
        StreamingDecoder::new(&mut packed)?.read_to_end(text)?;
    }
    Ok(text)
}

/// Reads a request's body, by its length or in chunks; false at the end.
fn request(from: &mut impl BufRead, body: &mut Vec<u8>) -> Result<bool> {
    body.clear();
    let (mut length, mut is_chunked) = (0, false);
    let mut line = String::new();
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        if line.trim_end().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse::<usize>().context("no length")?,
            "transfer-encoding" => is_chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    if !is_chunked {
        put(from, length, body)?;
        return Ok(true);
    }
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).context("no length of a chunk")?;
        put(from, length, body)?;
        line.clear();
        from.read_line(&mut line)?;
        if length == 0 {
            return Ok(true);
        }
    }
}

fn put(from: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> Result<()> {
    anyhow::ensure!(body.len() + length <= MOST_BYTES, "a request is too large");
    let start = body.len();
    body.resize(start + length, 0);
    from.read_exact(&mut body[start..])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::super::super::receiver::{Receiver, Transport};
    use super::*;

    fn kept(by: impl FnOnce(u16)) -> Vec<u8> {
        let (receiver, kept) = Receiver::keeping(Transport::Tcp).unwrap();
        by(receiver.address.port());
        receiver.finish().unwrap();
        let kept = kept.lock().unwrap();
        kept.clone()
    }

    #[test]
    fn what_comes_out_of_a_pipe_arrives() {
        let text = b"line\n".repeat(100_000);
        let arrived = kept(|receiver| {
            let (from, mut to) = std::io::pipe().unwrap();
            let gateway = Gateway::pipe(from, receiver).unwrap();
            to.write_all(&text).unwrap();
            drop(to);
            gateway.finish().unwrap();
        });
        assert!(arrived == text);
    }

    #[test]
    fn the_bodies_of_requests_arrive() {
        let arrived = kept(|receiver| {
            let (port, gateway) = Gateway::http(receiver, false).unwrap();
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\none\n").unwrap();
            let mut answer = [0; 27];
            client.read_exact(&mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 204"));
            let chunks = b"POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\ntwo\r\n1\r\n\n\r\n0\r\n\r\n";
            client.write_all(chunks).unwrap();
            client.read_exact(&mut answer).unwrap();
            drop(client);
            gateway.finish().unwrap();
        });
        assert_eq!(arrived, b"one\ntwo\n");
    }

    #[test]
    fn packed_bodies_arrive_unpacked_at_once() {
        let text = b"line\n".repeat(1000);
        let packed = compress_to_vec(&text[..], CompressionLevel::Fastest).repeat(2);
        let (receiver, kept) = Receiver::keeping(Transport::Tcp).unwrap();
        let (port, gateway) = Gateway::http(receiver.address.port(), true).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        write!(client, "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", packed.len()).unwrap();
        client.write_all(&packed).unwrap();
        client.read_exact(&mut [0; 27]).unwrap();
        receiver.wait_quiet().unwrap();
        assert!(*kept.lock().unwrap() == text.repeat(2));
        drop(client);
        gateway.finish().unwrap();
        receiver.finish().unwrap();
    }
}
