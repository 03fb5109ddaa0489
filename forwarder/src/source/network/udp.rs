//! ReceivedDatagrams: taken as they come, and those that the kernel had no room for are counted.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::intake::Intake;
use super::{Listener, STOP_PATIENCE, stopped};
use crate::source::clock::realtime_ns;
use crate::sys::{ReceivedDatagrams, dropped_datagrams};

/// Full calls before others have their turn, and losses are looked for.
const CALLS_A_TURN: usize = 8;
/// How often losses are told of in the log.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Reads until the stop, and then what has come by then.
pub(super) async fn serve(
    socket: UdpSocket,
    listener: Rc<Listener>,
    intake: Rc<Intake>,
    mut stop: watch::Receiver<bool>,
) {
    let mut receiver =
        Receiver { socket, listener, intake, datagrams: ReceivedDatagrams::default(), losses: Losses::start() };
    loop {
        let readable = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            readable = receiver.socket.readable() => readable,
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
    socket: UdpSocket,
    listener: Rc<Listener>,
    intake: Rc<Intake>,
    datagrams: ReceivedDatagrams,
    losses: Losses,
}

impl Receiver {
    /// Takes what has come, up to [`CALLS_A_TURN`] full calls.
    fn turn(&mut self) {
        for _ in 0..CALLS_A_TURN {
            let Self { socket, datagrams, .. } = self;
            let mut is_empty = true;
            let result = socket.try_io(Interest::READABLE, || {
                let (_, drained) = datagrams.receive(socket.as_fd())?;
                is_empty = false;
                // Less than there was room for: nothing is left, and there is no need to ask.
                if drained { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if !is_empty {
                self.take();
            }
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        // Of one datagram, or of an earlier one's way: the next is not concerned.
                        tracing::debug!("{}: {error}", self.listener.options.endpoint);
                    }
                    return;
                }
            }
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
        if let Some(count) = self.losses.tell(new) {
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
    untold: u64,
    told: Option<Instant>,
}

impl Losses {
    fn start() -> Self {
        Self { dropped: 0, looked_ns: realtime_ns(), untold: 0, told: None }
    }

    /// So many more; how many to tell of now.
    fn tell(&mut self, new: u64) -> Option<u64> {
        self.untold += new;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}
