//! Docker's logging driver: dockerd hands over what containers print, and asks for it back for `docker logs`.
//!
//! ```text
//!  dockerd ──HTTP on a unix socket──► plugin ── StartLogging ──► a task a FIFO ──LogEntry──► Output ──► ring
//!                                            ── ReadLogs ◄────── a cursor, of one container ◄────────────┘
//! ```
//!
//! Protocol: moby `docs/extend/plugins_logging.md`. One thread serves all of it. dockerd writes to a FIFO and waits where
//! it is full, so a FIFO is read whatever happens to the ring. A line that dockerd cut (at 16 KiB) is joined again, up to
//! [`DockerOptions::max_line`]. `docker logs` shows what the ring still holds.
//!
//! The containers that are read are kept in the state: after a restart their FIFOs are read on, and what they printed
//! meanwhile has waited there.
//!
//! What can't be read as an entry is counted in bytes and reported as lost; it has no line that could be saved.

mod entries;
mod fifo;
mod known;
mod messages;
mod plugin;
mod read_logs;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ring::Ring;
use plugin::Plugin;

/// Before accepting is tried again after it has failed.
const RETRY: Duration = Duration::from_millis(100);
/// How long the end waits for those who read logs.
const DRAIN: Duration = Duration::from_secs(1);

/// How the plugin reads.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// Bytes of a joined line; a longer one is put in parts.
    pub max_line: usize,
    /// Where the containers that are read are kept for the next run; nowhere: they come to a halt with this one.
    pub state: Option<PathBuf>,
}

/// A running plugin.
pub struct DockerHandle {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl DockerHandle {
    /// Reads what dockerd has written, then ends.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

/// Starts serving dockerd on `socket`, which listens.
///
/// # Errors
/// Where no thread can be had, or no reactor.
pub fn start(socket: OwnedFd, options: DockerOptions, ring: Arc<Ring>) -> io::Result<DockerHandle> {
    let socket = StdListener::from(socket);
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopping) = watch::channel(false);
    let thread = std::thread::Builder::new().name("docker".into()).spawn(move || {
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, run(socket, Rc::new(Plugin::new(options, ring)), stopping));
    })?;
    Ok(DockerHandle { stop, thread })
}

async fn run(socket: StdListener, plugin: Rc<Plugin>, mut stopping: watch::Receiver<bool>) {
    let socket = match UnixListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!("the plugin's socket can't be watched: {error}"),
    };
    plugin.resume();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn_local(serve(stream, Rc::clone(&plugin)))),
                Err(error) => {
                    tracing::warn!("dockerd can't be accepted: {error}");
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(socket);
    plugin.leave().await;
    // dockerd keeps its connections open; only what it is being sent is worth a moment.
    let _ = tokio::time::timeout(DRAIN, plugin.readers_done()).await;
}

async fn serve(stream: UnixStream, plugin: Rc<Plugin>) {
    let service = service_fn(|request| {
        let plugin = Rc::clone(&plugin);
        async move { plugin.answer(request).await }
    });
    // Whoever goes away in the middle of a request is nobody's error.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
