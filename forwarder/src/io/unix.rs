//! Unix sockets with a name in the file system.
//!
//! A file that a dead process left is replaced; one that somebody listens on, or that is no socket, is an error. The
//! file is removed when its [`SocketFile`] is dropped, unless another has taken its place meanwhile.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket can't be had.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    #[error("the socket {path} can't be made: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("the socket {0} can't be made: a running program listens on it")]
    InUse(PathBuf),
    #[error("the socket {0} can't be made: there is a file of that name, and it is not a socket")]
    NotASocket(PathBuf),
    #[error("the descriptor {0} is no unix {1} socket")]
    WrongKind(i32, &'static str),
}

/// What carries the connections, or the datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// Listens for connections.
    Stream,
    Datagram,
}

/// The file of a socket that was bound here.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: another socket of this name is not ours to remove.
    identity: (u64, u64),
}

impl SocketKind {
    fn socket_type(self) -> SocketType {
        match self {
            Self::Stream => SocketType::STREAM,
            Self::Datagram => SocketType::DGRAM,
        }
    }

    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Datagram => "datagram",
        }
    }

    /// A socket of this kind at `path`, non-blocking; a stream socket listens. Who may send to it is decided by the
    /// process's umask, and by the folder.
    ///
    /// # Errors
    /// Where the file is somebody else's, or can't be made.
    pub fn bind(self, path: &Path) -> Result<(OwnedFd, SocketFile), UnixSocketError> {
        self.bind_with(path, None)
    }

    /// The same; nobody but this user and root may send to it, from the moment it is there.
    ///
    /// # Errors
    /// As [`SocketKind::bind`].
    pub fn bind_private(self, path: &Path) -> Result<(OwnedFd, SocketFile), UnixSocketError> {
        self.bind_with(path, Some(Mode::RUSR | Mode::WUSR))
    }

    /// The same; whom `mode` allows may send to it, whatever the umask says.
    ///
    /// # Errors
    /// As [`SocketKind::bind`].
    pub fn bind_for(self, path: &Path, mode: u32) -> Result<(OwnedFd, SocketFile), UnixSocketError> {
        let bound = self.bind_with(path, Some(Mode::from_raw_mode(mode)))?;
        let failed = |source| UnixSocketError::Make { path: path.to_owned(), source };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        Ok(bound)
    }

    fn bind_with(self, path: &Path, mode: Option<Mode>) -> Result<(OwnedFd, SocketFile), UnixSocketError> {
        let failed = |error: Errno| UnixSocketError::Make { path: path.to_owned(), source: error.into() };
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let socket = self.socket().map_err(failed)?;
        if let Some(mode) = mode {
            // The file gets the mode of the socket's own inode, less the umask.
            rustix::fs::fchmod(&socket, mode).map_err(failed)?;
        }
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                self.remove_stale(path, &address)?;
                bind(&socket, &address).map_err(failed)?;
            }
            bound => bound.map_err(failed)?,
        }
        let file = SocketFile::of(path).map_err(|source| UnixSocketError::Make { path: path.to_owned(), source })?;
        if self == Self::Stream {
            listen(&socket, BACKLOG).map_err(failed)?;
        }
        Ok((socket, file))
    }

    fn check(self, socket: &OwnedFd, number: i32) -> Result<(), UnixSocketError> {
        let is_unix = rustix::net::sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX);
        let is_kind = rustix::net::sockopt::socket_type(socket) == Ok(self.socket_type());
        if is_unix && is_kind { Ok(()) } else { Err(UnixSocketError::WrongKind(number, self.name())) }
    }

    /// Takes over the socket that this process was started with as descriptor `number`.
    ///
    /// # Errors
    /// Where there is none, or it is not one of this kind.
    pub fn inherited(self, number: RawFd) -> Result<OwnedFd, UnixSocketError> {
        let wrong = || UnixSocketError::WrongKind(number, self.name());
        // 0 to 2 belong to the standard library.
        if number <= 2 {
            return Err(wrong());
        }
        // SAFETY: descriptors only, no memory; one that is not open is an error here.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
            return Err(wrong());
        }
        // SAFETY: it is open, and nothing in this process knows of it but whoever named its number to us: it was there
        // before the program began.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        self.check(&socket, number)?;
        Ok(socket)
    }

    fn socket(self) -> Result<OwnedFd, Errno> {
        socket_with(AddressFamily::UNIX, self.socket_type(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
    }

    fn remove_stale(self, path: &Path, address: &SocketAddrUnix) -> Result<(), UnixSocketError> {
        let failed = |source| UnixSocketError::Make { path: path.to_owned(), source };
        if !std::fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
            return Err(UnixSocketError::NotASocket(path.to_owned()));
        }
        let probe = self.socket().map_err(|error| failed(error.into()))?;
        // Anything but a refusal is an answer, such as that the queue is full or that it is of another kind.
        if connect(&probe, address) != Err(Errno::CONNREFUSED) {
            return Err(UnixSocketError::InUse(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(failed)
    }
}

/// The path that a socket is bound to, as it was named then.
pub fn bound_path(socket: impl AsFd) -> Option<PathBuf> {
    let address = rustix::net::getsockname(socket).ok()?;
    let address = SocketAddrUnix::try_from(address).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(address.path_bytes()?)))
}

/// Whether a socket is bound to `path`, and its file is there.
pub fn is_bound_to(socket: impl AsFd, path: &Path) -> bool {
    bound_path(socket).is_some_and(|bound| bound == path) && path.exists()
}

impl SocketFile {
    /// The socket file that is at `path` now.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }
}

impl SocketFile {
    /// Leaves the file to another process, which has the socket.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let now = std::fs::symlink_metadata(&self.path);
        if now.is_ok_and(|now| (now.dev(), now.ino()) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn stale_files_are_replaced_and_our_own_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for kind in [SocketKind::Stream, SocketKind::Datagram] {
            let (first, file) = kind.bind(&path).unwrap();
            let error = kind.bind(&path).unwrap_err();
            assert!(matches!(error, UnixSocketError::InUse(_)), "{error}");
            // As after a kill: the socket is gone, the file is not.
            drop(first);
            std::mem::forget(file);
            let (_second, file) = kind.bind(&path).unwrap();
            let reached = match kind {
                SocketKind::Stream => UnixStream::connect(&path).map(drop),
                SocketKind::Datagram => UnixDatagram::unbound().and_then(|socket| socket.connect(&path)),
            };
            reached.unwrap();
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_private_socket_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_socket, _file) = SocketKind::Stream.bind_private(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_mode_holds_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_socket, _file) = SocketKind::Datagram.bind_for(&path, 0o666).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        std::fs::write(&path, "precious").unwrap();
        let error = SocketKind::Stream.bind(&path).unwrap_err();
        assert!(matches!(error, UnixSocketError::NotASocket(_)), "{error}");
        std::fs::remove_file(&path).unwrap();
        // One of the other kind is in use all the same.
        let (datagrams, file) = SocketKind::Datagram.bind(&path).unwrap();
        assert!(matches!(SocketKind::Stream.bind(&path), Err(UnixSocketError::InUse(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        drop((datagrams, file));
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        assert!(matches!(
            SocketKind::Stream.bind(&folder.path().join("x".repeat(120))),
            Err(UnixSocketError::Make { .. })
        ));
    }

    #[test]
    fn an_inherited_socket_is_looked_at() {
        let (ours, _) = UnixDatagram::pair().unwrap();
        let ours = OwnedFd::from(ours);
        assert!(SocketKind::Datagram.check(&ours, 3).is_ok());
        let error = SocketKind::Stream.check(&ours, 3).unwrap_err();
        assert_eq!(error.to_string(), "the descriptor 3 is no unix stream socket");
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert!(SocketKind::Datagram.check(&file, 4).is_err());
    }
}
