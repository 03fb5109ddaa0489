//! memlogd: its two sockets around a ring, as a part of `ringward run` or alone.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::io::fd_store::{FdStore, Kept, SOCKET};
use crate::io::unix::{SocketFile, SocketKind, is_bound_to};
use crate::ring::{Ring, RingLimits};
use crate::source::memlogd::{self, LineLimit, MemlogdHandle};
use crate::view::query::{self, QueryOptions};
use crate::view::{ViewHandle, print};

/// A socket of memlogd's, bound.
pub struct BoundSocket {
    pub socket: OwnedFd,
    /// Removed at the end; `None` where the file is another's.
    pub file: Option<SocketFile>,
}

/// What memlogd is run with.
pub struct MemlogdOptions {
    pub log: BoundSocket,
    pub query: BoundSocket,
    pub line: LineLimit,
    pub view: QueryOptions,
    /// Who keeps descriptors, and those that were kept for this process.
    pub kept: (FdStore, Kept),
}

/// memlogd's threads, and the files of its sockets.
pub struct Memlogd {
    source: MemlogdHandle,
    query: ViewHandle,
    _files: [Option<SocketFile>; 2],
}

impl BoundSocket {
    /// # Errors
    /// Where the file is in use, is no socket, or can't be made.
    pub fn bind(kind: SocketKind, path: &Path) -> anyhow::Result<Self> {
        let (socket, file) = kind.bind(path)?;
        Ok(Self { socket, file: Some(file) })
    }
}

/// A socket that the holder keeps under `name`, with its file: from the process before this one, or for the next; without a
/// holder, one of our own.
///
/// # Errors
/// As [`BoundSocket::bind`].
pub fn held_socket(
    name: &str,
    kind: SocketKind,
    path: &Path,
    (store, kept): &mut (FdStore, Kept),
) -> anyhow::Result<BoundSocket> {
    if !store.is_holder() {
        return BoundSocket::bind(kind, path);
    }
    let name = format!("{SOCKET}{name}");
    if let Some(index) = kept.iter().position(|(kept, _)| *kept == name) {
        let (_, socket) = kept.swap_remove(index);
        if is_bound_to(&socket, path) {
            return Ok(BoundSocket { socket, file: None });
        }
        // The configuration names another path now.
        store.let_go(&name).context("the holder can't be told")?;
    }
    let bound = BoundSocket::bind(kind, path)?;
    store.keep(&name, bound.socket.as_fd()).context("the holder can't be given a socket")?;
    bound.file.into_iter().for_each(SocketFile::leave);
    Ok(BoundSocket { socket: bound.socket, file: None })
}

impl Memlogd {
    /// # Errors
    /// Where threads or descriptors have run out.
    pub fn start(options: MemlogdOptions, ring: &Arc<Ring>) -> anyhow::Result<Self> {
        let source = memlogd::start(options.log.socket, options.line, Arc::clone(ring), options.kept)
            .context("the log socket can't be served")?;
        let query = query::start(options.query.socket, options.view, Arc::clone(ring))
            .context("the query socket can't be served")?;
        Ok(Self { source, query, _files: [options.log.file, options.query.file] })
    }

    /// Hands on what was written to the descriptors up to now.
    pub fn stop_source(self) -> Clients {
        self.source.stop();
        Clients { query: self.query, _files: self._files }
    }
}

/// Clients that may still have something to read.
pub struct Clients {
    query: ViewHandle,
    _files: [Option<SocketFile>; 2],
}

impl Clients {
    /// Ends them once they have read everything, or had a moment for it. The ring has been closed before.
    pub fn stop(self) {
        self.query.stop();
    }
}

/// Runs memlogd alone until a signal asks to stop, with the ring in `file` too where that is given. With `prints`, standard
/// output has every entry of this run too.
///
/// # Errors
/// Where threads or descriptors have run out.
pub fn run_alone(options: MemlogdOptions, limits: RingLimits, file: Option<&Path>, prints: bool) -> anyhow::Result<()> {
    let mut signals = super::Signals::catch()?;
    let ring = match file {
        Some(folder) => super::ring_file::open_alone(folder, limits)?,
        None => Ring::new(limits, 1),
    };
    let printer = prints.then(|| print::start(&ring)).transpose().context("standard output can't be printed to")?;
    let memlogd = Memlogd::start(options, &ring)?;
    tracing::info!("ready: memlogd");
    tracing::info!("stopping on {}", signals.wait());
    let clients = memlogd.stop_source();
    ring.close();
    clients.stop();
    if let Some(printer) = printer {
        printer.stop();
    }
    Ok(())
}
