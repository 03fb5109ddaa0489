//! TCP: one record a line, and nothing missing after a reconnect that the receiver's program had not read.
//!
//! What a sender can know when a connection ends:
//!
//! ```text
//! FIN            the receiver closed, or it would be an RST, with everything read that it had acknowledged:
//!                go on exactly after that
//! FIN, then RST  it had only closed one side (`shutdown`), and then closed with data unread: as RST
//! RST, time-out  of what was acknowledged, up to a window may be unread: go on that far back, with flights
//!                that double from one record on (`pace`)
//! ```
//!
//! Records before `acknowledged − resend window` are done while the connection lives; those inside stay held, in
//! the outbox and by the cursor. A record that is sent again was possibly read before: receivers see it twice, not
//! at all never. What a receiver read and threw away can't be known.
//!
//! [`run`] connects again and again; `session` is the life of one connection, `ending` finds out what its end means.

mod ending;
mod pace;
mod session;
mod stall;
mod window;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use self::pace::Pace;
use self::session::{Session, SessionEnd};
use super::backoff::Backoff;
use super::encoder::Encoder;
use super::failures::Failures;
use super::outbox::Outbox;
use super::{DrainReport, Task};
use crate::io::{TcpConnection, TcpOptions, resolve};

/// A connection that lived so long was a success, whatever was sent on it.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// What outlives a connection.
struct State {
    outbox: Outbox,
    encoder: Encoder,
    pace: Pace,
    /// The last connection was closed by the receiver before anything was sent.
    closed_early: bool,
}

/// Runs until everything is sent and the ring is closed, or until the deadline.
pub(super) async fn run(task: Task<'_>, host: &str, port: u16) -> DrainReport {
    let Task { config, cursor, counters, stop, encoder } = task;
    let mut state = State { outbox: Outbox::default(), encoder, pace: Pace::default(), closed_early: false };
    let options = TcpOptions { connect_timeout: config.connect_timeout, keepalive: config.keepalive };
    let mut backoff = Backoff::new(config.retry);
    let mut failures = Failures::new(&config.name, counters);
    loop {
        if state.outbox.is_empty() && cursor.is_closed_and_drained() {
            break;
        }
        let connected = tokio::select! {
            biased;
            () = stop.ended() => break,
            connected = connect(host, port, &options) => connected,
        };
        let pause = match connected {
            Ok(connection) => {
                counters.connects.add(1);
                counters.set_connected(true);
                failures.recovered();
                state.pace.connected();
                let began = Instant::now();
                let peer = connection.peer();
                let proven_before = counters.acknowledged.value();
                let session = Session::new(Rc::new(connection), config, &mut state, cursor, counters, stop);
                let end = session.run().await;
                counters.set_connected(false);
                match end {
                    SessionEnd::Finished => break,
                    SessionEnd::Deadline => break,
                    SessionEnd::Closed { early } => {
                        if !early || began.elapsed() > LONG_LIFE {
                            backoff.reset();
                        }
                        // A receiver that reads a little of each connection gets the next at once.
                        let pause = if early { backoff.pause() } else { Duration::ZERO };
                        failures.failed(&format_args!("{peer} closed the connection"), pause);
                        pause
                    }
                    SessionEnd::Broken(error) => {
                        counters.resets.add(1);
                        let learned = state.pace.reset();
                        let progressed = counters.acknowledged.value() > proven_before;
                        if learned || progressed || began.elapsed() > LONG_LIFE {
                            backoff.reset();
                        }
                        let pause = backoff.pause();
                        failures.failed(&format_args!("the connection to {peer} broke: {error}"), pause);
                        pause
                    }
                }
            }
            Err(error) => {
                if error.is_refusal() {
                    counters.refused.add(1);
                }
                let pause = backoff.pause();
                failures.failed(&error, pause);
                pause
            }
        };
        tokio::select! {
            biased;
            () = stop.ended() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    let left = state.outbox.left();
    DrainReport { unsent: left.unsent, unconfirmed: left.unconfirmed, ..DrainReport::default() }
}

/// Resolves the name anew and tries all its addresses.
async fn connect(host: &str, port: u16, options: &TcpOptions) -> Result<TcpConnection, ConnectError> {
    let place = || if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let addresses = resolve(host, port).await.map_err(|error| ConnectError::Resolve(place(), error))?;
    let mut refusals = Vec::new();
    for address in addresses {
        match TcpConnection::connect(address, options).await {
            Ok(connection) => return Ok(connection),
            Err(error) => refusals.push((address, error)),
        }
    }
    Err(ConnectError::Connect(place(), refusals))
}

/// Why there is no connection; all addresses with their reasons.
#[derive(Debug)]
enum ConnectError {
    Resolve(String, io::Error),
    Connect(String, Vec<(std::net::SocketAddr, io::Error)>),
}

impl ConnectError {
    fn is_refusal(&self) -> bool {
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        matches!(self, Self::Connect(_, errors) if errors.iter().any(|(_, error)| refused(error)))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(place, error) => write!(f, "could not resolve the host of {place}: {error}"),
            Self::Connect(place, errors) => {
                write!(f, "could not connect to {place}")?;
                for (index, (address, error)) in errors.iter().enumerate() {
                    let separator = if index == 0 { ": " } else { ", " };
                    match errors.len() {
                        1 => write!(f, "{separator}{error}")?,
                        _ => write!(f, "{separator}{address}: {error}")?,
                    }
                }
                Ok(())
            }
        }
    }
}
