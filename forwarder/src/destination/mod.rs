//! Destinations: read the ring, encode, send, and say what has arrived.
//!
//! ```text
//!  ring ──Cursor──► Outbox ──JsonLines──► bytes ──► io::TcpConnection / sendmmsg / stdout's thread
//!                     ▲                                        │
//!                     └──── proven read ◄── TCP_INFO, FIN ─────┘
//! ```
//!
//! Each destination is one local task with its own cursor, connection and retry: one that is down, slow or a
//! black hole never delays, drops or doubles anything for another. Nothing here waits on the thread itself.
//!
//! What is promised: over TCP, **nothing is missing after a reconnect that the receiver's program had not read**
//! (`tcp` says how that is known), and so with programs on this machine (`local`); over UDP, a record counts as arrived
//! when the kernel took its datagram; stdout, when the write returned. An idle destination sends what there is at once; while one write is in
//! flight the next grows, up to [`WRITE_BYTES`].
//!
//! Limits: a destination holds the batches that are in flight. For TCP these are the ones in the kernel's send
//! queue, those inside the resend window (twice what the receiver's buffer takes: with a kernel that lets it grow to
//! 32 MiB, tens of megabytes), and two writes. `DestinationCounters::held_bytes` tells how much that is.

mod backoff;
mod config;
mod encoder;
mod endpoint;
mod failures;
mod local;
mod outbox;
mod stdout;
mod stop;
mod tcp;
mod udp;

use std::sync::Arc;

use self::encoder::Encoder;
use crate::encode::json_lines::JsonLinesOptions;
use crate::observe::counters::DestinationCounters;
use crate::ring::{Cursor, Persisted};

pub use config::{DestinationConfig, RetryPolicy};
pub use encoder::Encoders;
pub use endpoint::Endpoint;
pub use stop::{StopHandle, StopSignal, stop_channel};

/// Encoded bytes that one write carries, about: a write ends with a record. Measured on the way from a file, with
/// two busy cores: with half as many a line took a tenth to a fifth longer, and twice as many gave nothing.
pub const WRITE_BYTES: usize = 512 << 10;

/// What a destination had not finished when it ended.
#[derive(Debug, Default)]
pub struct DrainReport {
    /// Records that were never sent, those still in the ring included.
    pub unsent: u64,
    /// Records that were sent and may be unread: the receiver did not confirm the end of the stream in time.
    pub unconfirmed: u64,
    /// Of both: records that are not kept anywhere for the next run.
    pub lost: u64,
    /// Why the destination ended before it was told to.
    pub error: Option<DestinationError>,
}

impl DrainReport {
    /// Whether everything arrived.
    pub fn is_complete(&self) -> bool {
        self.unsent == 0 && self.unconfirmed == 0 && self.error.is_none()
    }
}

/// Why a destination can't go on. What can be tried again is not an error: it is counted and logged. The texts hold
/// their cause, so none is given as a source, where it would be shown a second time.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    #[error("nobody reads stdout any more: {0}")]
    StdoutClosed(std::io::Error),
    #[error("could not write to stdout: {0}")]
    Stdout(std::io::Error),
}

/// Sends what `cursor` reads to the destination until `stop` says so, or the ring is closed and everything has
/// arrived. Then tries to deliver the rest within the bound that `stop` sets, and reports what is left.
/// Destinations that are given the same `encoders` and want the same bytes share the work of encoding them.
///
/// Runs as a local task inside [`crate::io::run`].
///
/// # Cancellation
/// Not safe: what is in flight would not be reported. Use `stop`.
pub async fn run(
    config: DestinationConfig,
    mut cursor: Cursor,
    counters: Arc<DestinationCounters>,
    stop: StopSignal,
    encoders: Encoders,
) -> DrainReport {
    let encoder = encoders.encoder(config.encoding(), cursor.wanted());
    let task = Task { config: &config, cursor: &mut cursor, counters: &counters, stop: &stop, encoder };
    let mut report = match &config.endpoint {
        Endpoint::Udp { host, port } => udp::run(task, host, *port).await,
        Endpoint::Tcp { host, port } => tcp::run(task, host, *port).await,
        Endpoint::Unix(path) => local::run(task, local::Program::Socket(path)).await,
        Endpoint::Exec(words) => local::run(task, local::Program::Command(words)).await,
        Endpoint::Stdout => stdout::run(task).await,
    };
    counters.set_connected(false);
    report.unsent += cursor.lag().records;
    // What the ring still has of the rest goes to the spill; a batch in flight that the ring has let go of was
    // given to the spill then. A disk may be slow, and other destinations are still being delivered to.
    match tokio::task::spawn_blocking(move || cursor.persist()).await {
        Ok(Persisted::Kept { refused }) => report.lost = refused,
        Ok(Persisted::Nowhere { unreported }) => {
            report.unsent += unreported;
            report.lost = report.unsent + report.unconfirmed;
        }
        Err(error) => {
            tracing::error!("what {} had left could not be kept: {error}", config.name);
            report.lost = report.unsent + report.unconfirmed;
        }
    }
    report
}

/// What every kind of destination works with.
struct Task<'a> {
    config: &'a DestinationConfig,
    cursor: &'a mut Cursor,
    counters: &'a DestinationCounters,
    stop: &'a StopSignal,
    encoder: Encoder,
}

impl DestinationConfig {
    fn encoding(&self) -> JsonLinesOptions {
        JsonLinesOptions {
            extra_tags: self.extra_tags.clone(),
            newline: !matches!(self.endpoint, Endpoint::Udp { .. }),
            max_record_bytes: self.record_limit(),
        }
    }
}
