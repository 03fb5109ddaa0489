//! A descriptor that somebody passed: what it is, and reading it without ever waiting.
//!
//! Whoever passed it may still hold it, and may change its flags. So a pipe is opened anew (the new one's flags are
//! ours alone), and a socket is told with every read not to wait. Of a terminal the shared flag is set, as there is no
//! other way. Refused is what has no end of its own or gives nothing: directories, devices, a pipe's write end, a socket
//! that listens, eventfds and their like.

use std::io::{self, IsTerminal};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, sockopt};

/// Why a descriptor is not read.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum Refused {
    #[error("it can't be read from")]
    WriteOnly,
    #[error("it is a socket that listens")]
    Listens,
    #[error("it is {0}, and not a pipe, a socket, a terminal or a file")]
    Kind(&'static str),
    #[error("{0}")]
    Failed(#[from] Errno),
}

/// A descriptor that can be read, and never makes its reader wait.
#[derive(Debug)]
pub(in crate::source) struct Descriptor {
    pub(in crate::source) fd: OwnedFd,
    pub(in crate::source) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Kind {
    Pipe,
    Socket,
    Terminal,
    /// Read by a thread that may wait for its disk; epoll has nothing to say about it. With the length that it had when
    /// it came.
    File {
        len: u64,
    },
}

impl Descriptor {
    /// # Errors
    /// Where it is nothing that lines can be read from.
    pub(in crate::source) fn new(fd: OwnedFd) -> Result<Self, Refused> {
        let flags = fcntl_getfl(&fd)?;
        let access = flags & OFlags::ACCMODE;
        if access == OFlags::WRONLY || flags.contains(OFlags::PATH) {
            return Err(Refused::WriteOnly);
        }
        let metadata = fstat(&fd)?;
        let (fd, kind) = match FileType::from_raw_mode(metadata.st_mode) {
            FileType::Fifo => (opened_anew(fd, flags)?, Kind::Pipe),
            FileType::Socket if sockopt::socket_acceptconn(&fd) == Ok(true) => return Err(Refused::Listens),
            FileType::Socket => (fd, Kind::Socket),
            FileType::CharacterDevice if fd.is_terminal() => {
                fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
                (fd, Kind::Terminal)
            }
            FileType::RegularFile => (fd, Kind::File { len: u64::try_from(metadata.st_size).unwrap_or(0) }),
            FileType::Directory => return Err(Refused::Kind("a directory")),
            FileType::CharacterDevice | FileType::BlockDevice => return Err(Refused::Kind("a device")),
            _ => return Err(Refused::Kind("something else")),
        };
        Ok(Self { fd, kind })
    }
}

impl Kind {
    /// Reads what is there; 0 at the end of the stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where nothing is there yet.
    pub(in crate::source) fn read(self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Socket => recv(fd, &mut *buffer, RecvFlags::DONTWAIT).map(|(read, _)| read),
                _ => rustix::io::read(fd, &mut *buffer),
            };
            return match read {
                Err(Errno::INTR) => continue,
                // What a pty's master reads when nobody has its terminal open any more.
                Err(Errno::IO) if self == Self::Terminal => Ok(0),
                Err(Errno::CONNRESET) => Ok(0),
                read => Ok(read?),
            };
        }
    }
}

/// The pipe of `fd` under flags of our own. Where /proc is missing it stays as it is, and the shared flag is set.
fn opened_anew(fd: OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let access = flags & OFlags::ACCMODE;
    match open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(anew) => Ok(anew),
        Err(_) => {
            fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
            Ok(fd)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Write, pipe};
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    fn read(from: &Descriptor, buffer: &mut [u8]) -> io::Result<usize> {
        from.kind.read(&from.fd, buffer)
    }

    fn why_not(fd: impl Into<OwnedFd>) -> String {
        Descriptor::new(fd.into()).map(|descriptor| panic!("accepted: {descriptor:?}")).unwrap_err().to_string()
    }

    #[test]
    fn what_gives_no_lines_is_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        assert!(why_not(File::open(folder.path()).unwrap()).starts_with("it is a directory"));
        assert!(why_not(File::open("/dev/zero").unwrap()).starts_with("it is a device"));
        assert!(why_not(eventfd(0, EventfdFlags::empty()).unwrap()).starts_with("it is something else"));
        assert_eq!(why_not(UnixListener::bind(folder.path().join("s")).unwrap()), "it is a socket that listens");
        assert_eq!(why_not(pipe().unwrap().1), "it can't be read from");
        assert_eq!(why_not(File::create(folder.path().join("f")).unwrap()), "it can't be read from");
    }

    #[test]
    fn reading_never_waits_and_leaves_the_passed_one_as_it_was() {
        let (ours, write) = pipe().unwrap();
        let kept = ours.try_clone().unwrap();
        let descriptor = Descriptor::new(ours.into()).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read(&descriptor, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!fcntl_getfl(&kept).unwrap().contains(OFlags::NONBLOCK));
        (&write).write_all(b"x").unwrap();
        drop(write);
        assert_eq!(read(&descriptor, &mut buffer).unwrap(), 1);
        assert_eq!(read(&descriptor, &mut buffer).unwrap(), 0);

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let kept = ours.try_clone().unwrap();
        let descriptor = Descriptor::new(ours.into()).unwrap();
        assert_eq!(read(&descriptor, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!fcntl_getfl(&kept).unwrap().contains(OFlags::NONBLOCK));
        theirs.write_all(b"xy").unwrap();
        drop(theirs);
        assert_eq!(read(&descriptor, &mut buffer).unwrap(), 2);
        assert_eq!(read(&descriptor, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_pipe_whose_writer_has_gone_ends() {
        let (ours, write) = pipe().unwrap();
        (&write).write_all(b"last").unwrap();
        drop(write);
        let descriptor = Descriptor::new(ours.into()).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read(&descriptor, &mut buffer).unwrap(), 4);
        assert_eq!(read(&descriptor, &mut buffer).unwrap(), 0);
    }
}
