//! The way to sockets: io_uring where the host allows it, epoll where it does not.
//!
//! Owns the choice ([`run`], [`probe`]), TCP connections, UDP sockets, pipes and unix sockets to local programs, the files
//! of unix sockets ([`unix`]), descriptors that somebody keeps for us ([`fd_store`]), and name resolution. Everything runs on one thread, as local tasks: the futures are `!Send`. What is hot (TCP writes) goes
//! through io_uring, the rest (connecting, watching a peer, datagrams) through the thread's reactor with both back ends,
//! which therefore differ in one function: [`TcpConnection::write`].
//!
//! io_uring cancels nothing when a future is dropped: the operation keeps its buffer and its socket until the
//! kernel is done with them. So nothing here parks an operation that may never end: peers are watched by epoll,
//! and [`TcpConnection::abort`] ends a write that waits for a dead peer.
#![allow(unsafe_code)]

pub mod fd_store;
mod local;
mod mode;
mod payload;
mod probe;
mod readable;
mod resolve;
mod ring_send;
mod tcp;
mod udp;
pub mod unix;
mod watch;

pub use local::LocalStream;
pub use mode::{Backend, IoError, IoMode, backend, run};
pub use payload::Payload;
pub use probe::{UringSupport, probe};
pub use readable::Readable;
pub use resolve::resolve;
pub use tcp::{PeerEvent, TcpConnection, TcpOptions, WriteFuture};
pub use udp::UdpConnection;
pub use watch::watch_readable;

/// Pieces of a payload that one write carries; the rest goes with the next.
const MOST_PIECES: usize = 16;
