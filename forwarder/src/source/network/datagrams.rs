//! Datagrams: taken as they come, and those that the kernel had no room for are counted.
//!
//! Senders to a unix socket wait where it is full, or are told, so that none is lost there. It is read all the same
//! however late destinations are: who waits is every program of the machine that has something to say.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::watch;

use super::intake::Intake;
use super::telling::Telling;
use super::{ListenEndpoint, Listener, STOP_PATIENCE, stopped};
use crate::io::Readable;
use crate::source::clock::realtime_ns;
use crate::sys::{ReceivedDatagrams, dropped_datagrams};

/// Full calls before others have their turn, and losses are looked for.
const CALLS_A_TURN: usize = 8;
/// The largest datagram that a unix socket takes from who has not asked for more (`net.core.wmem_max`) has 208 KiB.
const UNIX_BYTES: usize = 256 << 10;

/// Reads until the stop, and then what has come by then.
pub(super) async fn serve(
    socket: Readable,
    listener: Rc<Listener>,
    intake: Rc<Intake>,
    mut stop: watch::Receiver<bool>,
) {
    let datagrams = match listener.options.endpoint {
        ListenEndpoint::Unix(_) => ReceivedDatagrams::with_senders(UNIX_BYTES),
        _ => ReceivedDatagrams::default(),
    };
    let mut receiver = Receiver { socket, listener, intake, datagrams, losses: Losses::start() };
    loop {
        let readable = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            readable = receiver.socket.wait() => readable,
        };
        if readable.is_err() {
            break;
        }
        receiver.turn();
        receiver.find_losses();
        receiver.intake.seal_soon();
        tokio::task::yield_now().await;
    }
    // A busy sender must not hold up the stop.
    let deadline = Instant::now() + STOP_PATIENCE;
    while Instant::now() < deadline {
        match receiver.datagrams.receive(receiver.socket.as_fd()) {
            Ok(_) => receiver.take(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => {}
        }
    }
    receiver.find_losses();
}

struct Receiver {
    socket: Readable,
    listener: Rc<Listener>,
    intake: Rc<Intake>,
    datagrams: ReceivedDatagrams,
    losses: Losses,
}

impl Receiver {
    /// Takes what has come, up to [`CALLS_A_TURN`] full calls.
    fn turn(&mut self) {
        for _ in 0..CALLS_A_TURN {
            match self.datagrams.receive(self.socket.as_fd()) {
                Ok((_, drained)) => {
                    self.take();
                    if !drained {
                        continue;
                    }
                    // Less than there was room for: nothing is left, and there is no need to ask.
                    self.socket.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.is_empty(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Of one datagram, or of an earlier one's way: the next is not concerned.
                Err(error) => tracing::debug!("{}: {error}", self.listener.options.endpoint),
            }
            return;
        }
    }

    fn take(&self) {
        self.intake.datagrams(&self.listener, self.datagrams.iter(), realtime_ns());
    }

    /// Puts a record where datagrams were dropped since the last look.
    fn find_losses(&mut self) {
        let Ok(dropped) = dropped_datagrams(self.socket.as_fd()) else { return };
        let now_ns = realtime_ns();
        let from_ns = std::mem::replace(&mut self.losses.looked_ns, now_ns);
        let new = u64::from(dropped.wrapping_sub(std::mem::replace(&mut self.losses.dropped, dropped)));
        if new == 0 {
            return;
        }
        self.intake.lose(&self.listener, new, from_ns, now_ns);
        if let Some(count) = self.losses.telling.tell(new) {
            tracing::warn!(
                "{}: {count} datagrams were lost: the receive buffer was full (`receive_buffer`)",
                self.listener.options.endpoint
            );
        }
    }
}

/// What was dropped so far.
struct Losses {
    dropped: u32,
    looked_ns: i64,
    telling: Telling,
}

impl Losses {
    fn start() -> Self {
        Self { dropped: 0, looked_ns: realtime_ns(), telling: Telling::default() }
    }
}
