//! memlogd's log socket: descriptors come in, and every line that is written to them becomes a record.
//!
//! ```text
//!  log socket ──name + descriptors──► one task a descriptor ──Lines──► Output ──► ring
//!                                     (pipe, FIFO, socket, pty)          ▲
//!  a file ──────────────────────────► a thread that may wait ────────────┘
//! ```
//!
//! Protocol: `receive.rs`. Nothing is answered, and a stream ends when its descriptor does. The time of a record is that
//! of the read that completed its line. One thread reads everything, with large reads into one buffer, and never waits
//! for anything but its reactor: a writer waits for nobody but this thread. What can't be read is said by a record of
//! the source `memlogd`, at most [`NOTES`] of them a second, and how many more there were.
//!
//! With a store of descriptors ([`crate::io::fd_store`]), those that can be read on are kept there until their end, and a
//! restarted process goes on with them: their writers notice nothing.
//!
//! Limits: the process's open files (the soft limit is raised to the hard one), and [`LineLimit`] for a line.

pub(super) mod descriptor;
mod kept;
mod lines;
mod name;
mod notes;
mod receive;
mod stream;

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::io::fd_store::{FdStore, Kept};
use crate::io::watch_readable;
use crate::ring::Ring;
use crate::source::descriptors;
use descriptor::{Descriptor, Kind};
use kept::{Held, Keeper};
pub use lines::{Cut, LineLimit};
pub use notes::NOTES;
use receive::Datagram;
use stream::Shared;

/// Datagrams that are taken in a row before the streams have their turn.
const DATAGRAMS: usize = 64;
/// Files that are read at the same time.
const FILE_THREADS: usize = 4;
/// How long the end waits for a descriptor that has more and more.
const DRAIN: Duration = Duration::from_secs(1);
/// Before receiving is tried again after it has failed.
const RETRY: Duration = Duration::from_millis(100);

/// A running source.
pub struct MemlogdHandle {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl MemlogdHandle {
    /// Reads what is there, then ends.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

/// Starts receiving on `socket`, a datagram socket, and goes on with descriptors that were kept. The first record says so.
///
/// # Errors
/// Where no thread can be had, or no reactor.
pub fn start(
    socket: OwnedFd,
    limit: LineLimit,
    ring: Arc<Ring>,
    (store, kept): (FdStore, Kept),
) -> io::Result<MemlogdHandle> {
    descriptors::raise_limit();
    // Here and not by the thread: nobody who looks at the ring comes before it.
    ring.append(notes::first("memlogd started"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(FILE_THREADS).build()?;
    let (stop, stopping) = watch::channel(false);
    let thread = std::thread::Builder::new().name("memlogd".into()).spawn(move || {
        let tasks = tokio::task::LocalSet::new();
        let shared = Rc::new(Shared::new(limit, ring, Keeper::new(store)));
        tasks.block_on(&runtime, run(socket, kept, shared, stopping));
        drop(tasks);
        // A file on a disk that does not answer is not waited for.
        runtime.shutdown_background();
    })?;
    Ok(MemlogdHandle { stop, thread })
}

async fn run(socket: OwnedFd, mut kept: Kept, shared: Rc<Shared>, stopping: watch::Receiver<bool>) {
    let sealer = tokio::task::spawn_local(Rc::clone(&shared).keep_sealing());
    let socket = match watch_readable(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!("the log socket can't be watched: {error}"),
    };
    let mut streams = JoinSet::new();
    shared.keeper.take_begun(&mut kept);
    for (name, fd) in kept {
        if let Some((name, held)) = shared.keeper.go_on(name) {
            read(&name, fd, Some(held), &shared, &mut streams, &stopping);
        }
    }
    let mut stopped = stopping.clone();
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            ready = socket.readable() => {
                let Ok(mut ready) = ready else { break };
                match receive_some(socket.get_ref(), &shared, &mut streams, &stopping) {
                    Ok(()) => {}
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Err(error) => {
                        shared.note(&format!("ERROR: Unable to read oob data: {}", io::Error::from(error)));
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
            Some(_) = streams.join_next(), if !streams.is_empty() => {}
        }
    }
    // What was sent before the end came is received.
    while let Ok(datagram) = receive::receive(socket.get_ref()) {
        take(datagram, &shared, &mut streams, &stopping);
    }
    let drained = async { while streams.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("{} descriptors had more to read when the time was up", streams.len());
    }
    sealer.abort();
    shared.seal();
}

/// Takes datagrams until there is none, or others should have their turn.
fn receive_some(
    socket: &OwnedFd,
    shared: &Rc<Shared>,
    streams: &mut JoinSet<()>,
    stopping: &watch::Receiver<bool>,
) -> Result<(), Errno> {
    for _ in 0..DATAGRAMS {
        match receive::receive(socket) {
            Ok(datagram) => take(datagram, shared, streams, stopping),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn take(datagram: Datagram, shared: &Rc<Shared>, streams: &mut JoinSet<()>, stopping: &watch::Receiver<bool>) {
    let origin = name::origin(&datagram.name);
    let shown = || origin.origin().memlogd_name();
    if datagram.incomplete {
        shared.note(&format!("ERROR: descriptors of {:?} were left out: too many files are open", shown()));
    } else if datagram.descriptors.is_empty() {
        shared.note(&format!("ERROR: a datagram of {} bytes had no descriptor", datagram.name.len()));
    }
    for fd in datagram.descriptors {
        read(&datagram.name, fd, None, shared, streams, stopping);
    }
}

/// Begins to read a descriptor that came with `name`; `held`: that was kept.
fn read(
    name: &[u8],
    fd: OwnedFd,
    held: Option<Held>,
    shared: &Rc<Shared>,
    streams: &mut JoinSet<()>,
    stopping: &watch::Receiver<bool>,
) {
    let origin = name::origin(name);
    match Descriptor::new(fd) {
        Ok(Descriptor { fd, kind: Kind::File { len } }) => {
            let shared = Rc::clone(shared);
            streams.spawn_local(async move { stream::read_file(fd, len, origin, &shared).await });
        }
        Ok(descriptor) => {
            let held = held.or_else(|| shared.keeper.keep(name, &descriptor.fd));
            let (shared, stopping) = (Rc::clone(shared), stopping.clone());
            streams.spawn_local(async move { stream::read(descriptor, held, origin, &shared, stopping).await });
        }
        Err(why) => {
            let name = origin.origin().memlogd_name();
            shared.note(&format!("ERROR: a descriptor of {name:?} is not read: {why}"));
        }
    }
}
