//! What others send: lines over TCP and by connections to a unix socket, of standard input and of programs that are started,
//! datagrams over UDP and to a unix socket as /dev/log.
//!
//! ```text
//!            ┌ accept ── a task a connection: readable → room in the ring → read → frame ┐
//!  listen ──►┤ stdin, program ── the same                                                ├─► parse → Output → ring
//!            └ datagrams: recvmmsg until nothing is left, and what the kernel dropped ───┘
//! ```
//!
//! One thread, `listen`, for all of them, with one builder and one parser. A batch is sealed when every connection that
//! had something was read: at once under little load, when it is full under much.
//!
//! - Connections pause: while the fastest destination is behind ([`Ring::room`]) nothing is read, so that the sender waits and
//!   nothing is lost. A line ends at a newline; the last one may lack it and is marked `partial` then, unless it is a
//!   whole object. A longer line than allowed comes in parts. Standard input and programs are read in the same way.
//! - UDP can't pause. A datagram is a record: newlines at its end don't count, and others are part of it, as for most
//!   receivers (a stack trace in one datagram stays one record). What the kernel had no room for is counted and
//!   reported by a record ([`dropped_datagrams`](crate::sys::dropped_datagrams)). Segments are not coalesced
//!   (UDP_GRO): the kernel would count a dropped run of them as one.
//! - A peer's address is no field: what Talos sends passes byte for byte.
//!
//! At a stop, what has come by then is still read, for a second at most.

mod accepting;
mod connections;
mod counters;
mod datagrams;
mod endpoint;
mod frames;
mod intake;
mod program;
mod sockets;
mod stdin;
mod stream;
mod telling;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::accepting::Accepting;
pub use self::counters::ListenCounters;
pub use self::endpoint::ListenEndpoint;
use self::intake::Intake;
use self::sockets::Bound;
use self::telling::Telling;
use crate::io::unix::{SocketFile, UnixSocketError};
use crate::io::{IoError, IoMode, Readable};
use crate::parse::line::LineKind;
use crate::record::{Origin, OriginHandle, OriginKind, Stream as RecordStream};
use crate::ring::Ring;
use crate::source::joiner::JoinOptions;

/// How long what has come by then is read at a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// One place to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    pub endpoint: ListenEndpoint,
    /// `talos-service` of what does not say it.
    pub name: String,
    pub kind: LineKind,
    /// Streams: whether they are entries in journal export format, and no lines.
    pub takes_entries: bool,
    /// TCP: which lines are joined.
    pub join: Option<Arc<JoinOptions>>,
    /// Longer lines are handed on in parts.
    pub max_line: usize,
    /// Of connections; others wait.
    pub max_connections: usize,
    /// UDP: bytes that the kernel holds for us.
    pub receive_buffer: usize,
    /// Unix socket: who may send, as the mode of its file.
    pub mode: u32,
}

/// Listening is not possible.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{endpoint} can't be listened on: {source}")]
    Endpoint { endpoint: ListenEndpoint, source: io::Error },
    #[error(transparent)]
    Unix(#[from] UnixSocketError),
    #[error("the thread that listens can't be started: {0}")]
    Thread(io::Error),
}

/// What a running listener has.
pub struct Listening {
    pub name: String,
    /// With the port that it got.
    pub endpoint: ListenEndpoint,
    pub counters: Arc<ListenCounters>,
}

/// The running listeners.
pub struct ListenHandle {
    pub listening: Vec<Listening>,
    stop: watch::Sender<bool>,
    /// Standard input has ended, where it is read.
    input_ended: Option<oneshot::Receiver<()>>,
    thread: JoinHandle<()>,
    /// Removed when nobody reads any more.
    _files: Vec<SocketFile>,
}

impl ListenHandle {
    /// Where standard input is read: what says that it has ended, and all of it is in the ring.
    pub fn take_input_ended(&mut self) -> Option<oneshot::Receiver<()>> {
        self.input_ended.take()
    }

    /// Reads what has come, within a second, then ends.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.thread.join();
        for Listening { name, counters, .. } in &self.listening {
            tracing::info!("listener {name}: {counters}");
        }
    }
}

/// What the tasks of one listener share.
struct Listener {
    options: ListenOptions,
    origin: OriginHandle,
    counters: Arc<ListenCounters>,
    /// Of what was discarded.
    discarded: RefCell<Telling>,
}

impl Listener {
    /// The same for a program's standard error: text.
    fn for_errors(&self) -> Self {
        let name = self.options.name.clone();
        let origin = Origin { stream: RecordStream::Stderr, ..Origin::new(OriginKind::Peer, name) };
        let options = ListenOptions { kind: LineKind::Text, takes_entries: false, join: None, ..self.options.clone() };
        let counters = Arc::clone(&self.counters);
        Self { options, origin: OriginHandle::new(origin), counters, discarded: RefCell::default() }
    }
}

/// Starts listening; from here on nothing that is sent is refused.
///
/// # Errors
/// Where an address can't be had, or threads and descriptors have run out.
pub fn start(options: Vec<ListenOptions>, ring: Arc<Ring>) -> Result<ListenHandle, ListenError> {
    let (mut bound, mut listening, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for options in options {
        let (socket, endpoint, file) = sockets::bind(&options)?;
        let counters = Arc::new(ListenCounters::default());
        listening.push(Listening { name: options.name.clone(), endpoint, counters: Arc::clone(&counters) });
        bound.push((options, socket, counters));
        files.extend(file);
    }
    let (stop, stopped) = watch::channel(false);
    let (input, input_ended) = oneshot::channel();
    let has_input = bound.iter().any(|(_, bound, _)| matches!(bound, Bound::Stdin(_)));
    let run = move || {
        // Reads are few and large, and datagrams have recvmmsg: io_uring would save nothing.
        let ended: Result<io::Result<()>, IoError> = crate::io::run(IoMode::Epoll, serve(bound, ring, stopped, input));
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("nothing is listened to any more: {error}"),
            Err(error) => tracing::error!("nothing is listened to: {error}"),
        }
    };
    let thread = std::thread::Builder::new().name("listen".into()).spawn(run).map_err(ListenError::Thread)?;
    let input_ended = has_input.then_some(input_ended);
    Ok(ListenHandle { listening, stop, input_ended, thread, _files: files })
}

async fn serve(
    bound: Vec<(ListenOptions, Bound, Arc<ListenCounters>)>,
    ring: Arc<Ring>,
    stop: watch::Receiver<bool>,
    input_ended: oneshot::Sender<()>,
) -> io::Result<()> {
    let mut input_ended = Some(input_ended);
    let intake = Rc::new(Intake::new(ring));
    let sealing = tokio::task::spawn_local(Rc::clone(&intake).keep_sealing());
    let mut tasks = Vec::new();
    for (options, socket, counters) in bound {
        let origin = OriginHandle::new(Origin::new(OriginKind::Peer, options.name.clone()));
        let listener = Rc::new(Listener { options, origin, counters, discarded: RefCell::default() });
        let (intake, stop) = (Rc::clone(&intake), stop.clone());
        tasks.push(match socket {
            Bound::Tcp(socket) => {
                let socket = Accepting::Tcp(tokio::net::TcpListener::from_std(socket)?);
                tokio::task::spawn_local(connections::serve(socket, listener, intake, stop))
            }
            Bound::Connections(socket) => {
                let socket = Accepting::Unix(tokio::net::UnixListener::from_std(socket)?);
                tokio::task::spawn_local(connections::serve(socket, listener, intake, stop))
            }
            Bound::Program(words) => {
                let errors = Rc::new(listener.for_errors());
                tokio::task::spawn_local(program::serve(words, listener, errors, intake, stop))
            }
            Bound::Stdin(input) => {
                tokio::task::spawn_local(stdin::serve(input, listener, intake, stop, input_ended.take()))
            }
            Bound::Datagrams(socket) => {
                tokio::task::spawn_local(datagrams::serve(Readable::new(socket)?, listener, intake, stop))
            }
        });
    }
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!("a listener has failed: {error}");
        }
    }
    sealing.abort();
    intake.seal();
    Ok(())
}

/// Completes when a stop is asked for.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the handle is gone, which is also an end.
    let _ = stop.wait_for(|stop| *stop).await;
}
