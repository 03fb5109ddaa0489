//! memlogd's query socket.
//!
//! ```text
//! client                      server
//! connects
//! one byte  00                what the ring holds, oldest first; then closes
//!           01                what comes from now on
//!           02                both, without a gap and without overlap
//!           anything else     one entry that says what is accepted; then closes
//! ends before its first byte  as 00, and an entry of memlogd's in the ring says so
//! ```
//!
//! Entries: see `entry.rs`. An entry is never split over two sends unless it alone is longer than a send takes
//! ([`client::SEND_BYTES`]); several whole ones may share one. A client that says nothing for [`client::PATIENCE`] is
//! sent away, one that does not read misses what the ring lets go of meanwhile: neither holds up anybody.
//!
//! One thread serves all clients. Limits: [`MAX_CLIENTS`]; one more is told so and closed.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::{self, Shared};
use super::entry::EntryFormat;
use crate::ring::Ring;

/// Clients at the same time.
pub const MAX_CLIENTS: usize = 1024;
/// How long the end waits for clients that have not read everything.
const DRAIN: Duration = Duration::from_secs(1);
/// Before accepting is tried again after it has failed.
const RETRY: Duration = Duration::from_millis(100);

/// What the clients get.
#[derive(Clone, Copy, Debug)]
pub struct QueryOptions {
    pub format: EntryFormat,
    /// Whether a line that was cut is marked.
    pub marks: bool,
}

/// A running view.
pub struct QueryHandle {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl QueryHandle {
    /// Ends once the clients have read everything, or have had a second to do so. The ring has been closed before.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

/// Starts accepting on `socket`, which listens.
///
/// # Errors
/// Where no thread can be had, or no reactor.
pub fn start(socket: OwnedFd, options: QueryOptions, ring: Arc<Ring>) -> io::Result<QueryHandle> {
    let socket = StdListener::from(socket);
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopping) = watch::channel(false);
    let thread = std::thread::Builder::new().name("view".into()).spawn(move || {
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, run(socket, options, ring, stopping));
    })?;
    Ok(QueryHandle { stop, thread })
}

async fn run(socket: StdListener, options: QueryOptions, ring: Arc<Ring>, mut stopping: watch::Receiver<bool>) {
    let socket = match UnixListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!("the query socket can't be watched: {error}"),
    };
    let shared = Rc::new(Shared { options, ring, numbered: Cell::new(0) });
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS => {
                    clients.spawn_local(client::serve(stream, Rc::clone(&shared)));
                }
                Ok((stream, _)) => client::refuse(&stream, &shared, "too many clients are connected"),
                Err(error) => {
                    shared.note(&format!("Connection error {error}"));
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
        }
    }
    let drained = async { while clients.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}
