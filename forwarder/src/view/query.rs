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
//! ([`super::outgoing::SEND_BYTES`]); several whole ones may share one. A client that says nothing for [`client::PATIENCE`] is
//! sent away, one that does not read misses what the ring lets go of meanwhile: neither holds up anybody.
//!
//! One thread serves all clients, at most [`super::accept::MAX_CLIENTS`].

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::UnixStream;

use super::accept::{self, Service, ViewHandle};
use super::client::{self, Shared};
use super::entry::EntryFormat;
use crate::ring::Ring;

/// What the clients get.
#[derive(Clone, Copy, Debug)]
pub struct QueryOptions {
    pub format: EntryFormat,
    /// Whether a line that was cut is marked.
    pub marks: bool,
}

/// Starts accepting on `socket`, which listens.
///
/// # Errors
/// Where no thread can be had, or no reactor.
pub fn start(socket: OwnedFd, options: QueryOptions, ring: Arc<Ring>) -> io::Result<ViewHandle> {
    accept::start(socket, move || Shared { options, ring, numbered: Cell::new(0) })
}

impl Service for Shared {
    fn serve(self: Rc<Self>, stream: UnixStream) -> impl Future<Output = ()> + 'static {
        client::serve(stream, self)
    }

    fn refuse(&self, stream: &UnixStream, why: &str) {
        client::refuse(stream, self, why);
    }

    fn failed(&self, error: &io::Error) {
        self.note(&format!("Connection error {error}"));
    }
}
