//! Receivers with manners and without.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::bench::{PATIENCE, number_of};

/// A listener on a port that nobody else has.
pub fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

/// Accepts for ever and sends the numbers of all lines. Ends with its listener's last connection.
pub fn healthy(listener: TcpListener) -> Receiver<u64> {
    let (sender, numbers) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || read_lines(stream.unwrap(), &sender));
        }
    });
    numbers
}

/// Reads lines to the end of the stream.
pub fn read_lines(stream: TcpStream, numbers: &Sender<u64>) {
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.last() != Some(&b'\n') => return,
            Ok(_) => {}
        }
        if let Some(number) = number_of(&line)
            && numbers.send(number).is_err()
        {
            return;
        }
    }
}

/// Reads exactly `lines` lines and not one byte more; fewer where the stream ends.
pub fn read_exactly(stream: &mut TcpStream, lines: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut line = Vec::new();
    let mut byte = [0];
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while numbers.len() < lines {
        match stream.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            // As read_exact: a signal is no end of the stream.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => {
                eprintln!("the stream ended: {other:?}");
                break;
            }
        }
        if byte[0] == b'\n' {
            numbers.extend(number_of(&line));
            line.clear();
        }
    }
    numbers
}

/// Handles one connection after the other, until `done` says that it has seen enough. A connection of the sender to
/// nobody may be left over.
pub fn serve<T: Send + 'static>(
    listener: TcpListener,
    mut connection: impl FnMut(TcpStream, &mut T) + Send + 'static,
    mut state: T,
    mut done: impl FnMut(&T) -> bool + Send + 'static,
) -> JoinHandle<(T, usize)> {
    std::thread::spawn(move || {
        let mut connections = 0;
        while !done(&state) {
            connections += 1;
            let (stream, _) = listener.accept().unwrap();
            connection(stream, &mut state);
        }
        (state, connections)
    })
}

/// The next `count` numbers.
pub fn take(numbers: &Receiver<u64>, count: usize) -> Vec<u64> {
    (0..count)
        .map(|taken| {
            numbers.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{taken} of {count} lines came: {error}"))
        })
        .collect()
}
