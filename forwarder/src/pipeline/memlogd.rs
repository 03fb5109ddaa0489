//! memlogd: its two sockets around a ring, as a part of `ringward run` or alone.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::io::unix::{SocketFile, SocketKind};
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

impl Memlogd {
    /// # Errors
    /// Where threads or descriptors have run out.
    pub fn start(options: MemlogdOptions, ring: &Arc<Ring>) -> anyhow::Result<Self> {
        let source = memlogd::start(options.log.socket, options.line, Arc::clone(ring))
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

/// Runs memlogd alone until a signal asks to stop. With `prints`, standard output has every entry too.
///
/// # Errors
/// Where threads or descriptors have run out.
pub fn run_alone(options: MemlogdOptions, limits: RingLimits, prints: bool) -> anyhow::Result<()> {
    let mut signals = super::Signals::catch()?;
    let ring = Ring::new(limits, 1);
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
