//! Programs on this machine: a command that is started and gets one record a line on its standard input, or a program
//! that listens on a unix stream socket. What others call external hooks.
//!
//! Both tell exactly, or nearly so, what has been read ([`LocalStream::read_of`]), so nothing is missing after a restart that
//! the program had not read, and little comes twice:
//!
//! ```text
//! command      what it left unread in its pipe is counted when it ends: go on at the first record that it did not
//!              read to its end
//! unix socket  closed with everything read: go on after it; closed with data unread: go on at the first record that
//!              may be unread (at most the socket's send buffer back, some 200 KiB)
//! ```
//!
//! A program that ends is started again, with the pauses of `retry`; one that does not read is left alone, and the ring does
//! not wait for it. At the end a command gets the end of its input and the time to read it; then SIGTERM.

mod command;
mod session;

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use self::command::Running;
use self::session::{Session, SessionEnd};
use super::backoff::Backoff;
use super::encoder::Encoder;
use super::failures::Failures;
use super::outbox::{Left, Outbox};
use super::{DrainReport, Task};
use crate::io::LocalStream;

/// A program that ran so long was a success, whatever it read.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// Which program.
pub(super) enum Program<'a> {
    /// To be started: its path or name, and its arguments.
    Command(&'a [String]),
    /// Listens here.
    Socket(&'a Path),
}

/// A program that was reached.
struct Reached {
    stream: LocalStream,
    /// The command, where it is one.
    running: Option<Running>,
}

/// What outlives a session.
struct State {
    outbox: Outbox,
    encoder: Encoder,
}

/// Runs until everything is read and the ring is closed, or until the deadline.
pub(super) async fn run(task: Task<'_>, program: Program<'_>) -> DrainReport {
    let Task { config, cursor, counters, stop, encoder } = task;
    let mut state = State { outbox: Outbox::default(), encoder };
    let mut backoff = Backoff::new(config.retry);
    let mut failures = Failures::new(&config.name, counters);
    loop {
        if stop.has_ended() || state.outbox.is_empty() && cursor.is_closed_and_drained() {
            break;
        }
        let pause = match program.reach(&config.name) {
            Ok(reached) => {
                counters.connects.add(1);
                counters.set_connected(true);
                failures.recovered();
                let began = Instant::now();
                let before = counters.acknowledged.value();
                let end = Session::new(reached, &mut state, cursor, counters, stop).run().await;
                counters.set_connected(false);
                match end {
                    SessionEnd::Finished | SessionEnd::Deadline => break,
                    SessionEnd::Gone { why, unread } => {
                        counters.resets.add(u64::from(unread));
                        if counters.acknowledged.value() > before || began.elapsed() > LONG_LIFE {
                            backoff.reset();
                        }
                        let pause = backoff.pause();
                        failures.failed(&why, pause);
                        pause
                    }
                }
            }
            Err(error) => {
                counters.refused.add(1);
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
    let Left { unsent, unconfirmed } = state.outbox.left();
    DrainReport { unsent, unconfirmed, ..DrainReport::default() }
}

impl Program<'_> {
    fn reach(&self, destination: &str) -> Result<Reached, String> {
        match self {
            Self::Command(words) => {
                let (stream, running) = Running::start(words, destination)?;
                Ok(Reached { stream, running: Some(running) })
            }
            Self::Socket(path) => {
                let stream = LocalStream::connect(path);
                let stream = stream.map_err(|error| format!("could not connect to {}: {error}", path.display()))?;
                Ok(Reached { stream, running: None })
            }
        }
    }
}
