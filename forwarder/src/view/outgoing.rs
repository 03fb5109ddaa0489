//! What is encoded ahead of a client, and whether the client is still there.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;

/// What one send carries at most, unless one entry is longer. The kernel takes so much of a unix socket's stream as one
/// piece or not at all: up to 32 KiB, and up to half of the send buffer.
pub(super) const SEND_BYTES: usize = 32 << 10;
/// Bytes that are encoded ahead of a client.
pub(super) const AHEAD_BYTES: usize = 128 << 10;

/// Encoded entries on their way to a client, sent whole.
pub(super) struct Outgoing<'a> {
    stream: &'a UnixStream,
    pub(super) bytes: Vec<u8>,
    /// The length of `bytes` after each entry.
    pub(super) ends: Vec<usize>,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(stream: &'a UnixStream) -> Self {
        Self { stream, bytes: Vec::new(), ends: Vec::new() }
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, entry: &[u8]) {
        self.bytes.extend_from_slice(entry);
        self.ends.push(self.bytes.len());
    }

    /// Appends entries that lie one behind the other, with where they end in `bytes`.
    pub(super) fn push_entries(&mut self, bytes: &[u8], ends: impl Iterator<Item = usize>) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.ends.extend(ends.map(|end| before + end));
    }

    /// Sends everything where there is enough.
    pub(super) async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.bytes.len() >= AHEAD_BYTES {
            self.flush().await?;
            // One that reads as fast as we write would leave the others no turn.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Sends everything that is encoded.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let (mut from, mut entry) = (0, 0);
        while from < self.bytes.len() {
            // As many whole entries as one send takes, or one that is longer.
            let fitting = self.ends[entry..].partition_point(|end| *end <= from + SEND_BYTES);
            let last = entry + fitting.max(1) - 1;
            let until = self.ends[last];
            match self.stream.try_write(&self.bytes[from..until]) {
                Ok(sent) => {
                    from += sent;
                    entry += self.ends[entry..].partition_point(|end| *end <= from);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(2 * AHEAD_BYTES);
        self.ends.shrink_to(AHEAD_BYTES / 32);
        Ok(())
    }
}

/// Completes when the client has closed its end. One that only ended its own sending still reads, and is then seen to
/// be gone by the next send.
pub(super) async fn gone(stream: &UnixStream) {
    let mut ignored = [0; 512];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut ignored) {
            Ok(0) if has_hung_up(stream) => return,
            Ok(0) => return std::future::pending().await,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn has_hung_up(stream: &UnixStream) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&at_once)).is_ok() && watched[0].revents().contains(PollFlags::HUP)
}
