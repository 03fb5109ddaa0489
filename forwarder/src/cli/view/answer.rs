//! What the running Ringward answers, line by line.
//!
//! While nothing comes, standard output is watched too: a reader that closed its end (`| head -1`) ends the command,
//! and not the next record.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::view::request::Request;

const READ_BYTES: usize = 64 << 10;

/// An answer that is being read.
pub(super) struct Answer {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// What was taken of `bytes`.
    taken: usize,
    /// What is known to hold no newline.
    searched: usize,
}

/// What became of waiting for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    More,
    /// It closed its end.
    Closed,
    /// Nobody reads standard output any more.
    Unread,
}

impl Answer {
    /// # Errors
    /// Where nobody listens.
    pub(super) fn ask(socket: &Path, request: &Request) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        // One that does not want all of it says why.
        if let Err(error) = stream.write_all(&line)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error);
        }
        Ok(Self { stream, bytes: Vec::new(), taken: 0, searched: 0 })
    }

    /// The next whole line that is here, without its newline.
    pub(super) fn line(&mut self) -> Option<&[u8]> {
        let from = self.searched.max(self.taken);
        let Some(newline) = memchr::memchr(b'\n', &self.bytes[from..]) else {
            self.searched = self.bytes.len();
            return None;
        };
        let line = self.taken..from + newline;
        self.taken = line.end + 1;
        Some(&self.bytes[line])
    }

    /// Waits for more.
    ///
    /// # Errors
    /// Where the connection has failed.
    pub(super) fn wait(&mut self) -> io::Result<Waited> {
        self.bytes.drain(..self.taken);
        self.searched -= self.taken.min(self.searched);
        self.taken = 0;
        if is_unread(Some(&self.stream), None)? {
            return Ok(Waited::Unread);
        }
        let end = self.bytes.len();
        self.bytes.resize(end + READ_BYTES, 0);
        let read = self.stream.read(&mut self.bytes[end..]);
        self.bytes.truncate(end + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Ok(Waited::Closed),
            Ok(_) => Ok(Waited::More),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Waited::More),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Waited::Closed),
            Err(error) => Err(error),
        }
    }
}

/// Waits until `stream` can be read or nobody reads standard output, or for so long; whether nobody does.
pub(super) fn is_unread(stream: Option<&UnixStream>, limit: Option<Duration>) -> io::Result<bool> {
    let stdout = io::stdout();
    // Without asking for anything, its errors are told: of a pipe, that its other end is closed.
    let mut watched = vec![PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty())];
    watched.extend(stream.map(|stream| PollFd::new(stream, PollFlags::IN)));
    let limit =
        limit.map(|limit| Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() });
    match poll(&mut watched, limit.as_ref()) {
        Ok(_) => Ok(watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
