//! Connections: accepted up to a limit, read in turn, no faster than the ring has room.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use socket2::{SockRef, TcpKeepalive};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::frames::Frames;
use super::intake::{Intake, READ_BYTES};
use super::stream::{Accepting, Stream};
use super::{Listener, STOP_PATIENCE, stopped};
use crate::source::clock::realtime_ns;

/// Silence after which a peer is asked whether it is still there: a dead one must not keep a place for ever.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Wait after a failure to accept, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until the stop, then waits for the connections' ends.
pub(super) async fn serve(
    socket: Accepting,
    listener: Rc<Listener>,
    intake: Rc<Intake>,
    mut stop: watch::Receiver<bool>,
) {
    let most = listener.options.max_connections;
    let places = Arc::new(Semaphore::new(most));
    let full = Cell::new(false);
    let spawn = |stream, stop, place| {
        listener.counters.connections.add(1);
        let (listener, intake) = (Rc::clone(&listener), Rc::clone(&intake));
        tokio::task::spawn_local(async move {
            connection(stream, &listener, &intake, stop).await;
            drop(place);
        });
    };
    loop {
        let accepted = async {
            if places.available_permits() == 0 && !full.replace(true) {
                tracing::warn!("{}: {most} connections; others wait until one ends", listener.options.endpoint);
            }
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes it");
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok(stream) => spawn(stream, stop.clone(), place),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::error!("{}: no connection can be accepted: {error}", listener.options.endpoint);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Those that the kernel has accepted already, and whose senders have perhaps gone.
    if let Ok(socket) = socket.into_rest() {
        while let Ok(place) = Arc::clone(&places).try_acquire_owned()
            && let Ok(stream) = socket.accept()
        {
            spawn(stream, stop.clone(), place);
        }
    }
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let _ended = places.acquire_many(most).await;
}

/// Whether it is the peer's connection that failed, before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn connection(stream: Stream, listener: &Listener, intake: &Intake, mut stop: watch::Receiver<bool>) {
    if let Stream::Tcp(stream) = &stream {
        // Fails only where the connection is gone, and then there is nothing to keep alive.
        let _ = SockRef::from(stream)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3));
    }
    let mut frames = Frames::of(listener, stream.process());
    let ended = tokio::select! {
        biased;
        () = stopped(&mut stop) => None,
        ended = read_all(&stream, listener, intake, &mut frames) => Some(ended),
    };
    let ended = match ended {
        Some(ended) => ended,
        None => read_rest(&stream, listener, intake, &mut frames).await,
    };
    if let Err(error) = ended {
        tracing::info!("{}: a connection broke: {error}", listener.options.endpoint);
    }
    intake.end(listener, &mut frames);
    intake.seal_soon();
}

/// Reads to the end of the connection.
async fn read_all(stream: &Stream, listener: &Listener, intake: &Intake, frames: &mut Frames) -> io::Result<()> {
    loop {
        match frames.patience() {
            None => stream.readable().await?,
            Some(patience) => match timeout(patience, stream.readable()).await {
                Ok(ready) => ready?,
                Err(_) => {
                    intake.end(listener, frames);
                    intake.seal_soon();
                    continue;
                }
            },
        }
        if !intake.ring.has_room() {
            intake.seal_soon();
            intake.ring.room().await;
        }
        match read(stream, listener, intake, frames) {
            Ok(Some(0)) => return Ok(()),
            // There may be more: the others' turn, then again.
            Ok(Some(READ_BYTES)) => tokio::task::yield_now().await,
            Ok(_) => {
                intake.seal_soon();
                if !frames.is_waiting() {
                    // Gives back the memory of long lines.
                    frames.flush(&mut |_, _| {});
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads once; `None` where there is nothing.
fn read(stream: &Stream, listener: &Listener, intake: &Intake, frames: &mut Frames) -> io::Result<Option<usize>> {
    let mut taken = None;
    let result = stream.try_read(|| {
        let len = intake.read(listener, frames, realtime_ns(), |buffer| receive(stream, buffer))?;
        taken = Some(len);
        // Less than there was room for: nothing is left, and there is no need to ask. Not so at the end.
        if 0 < len && len < READ_BYTES { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match result {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(taken),
    }
}

/// Reads what has come up to now, within [`STOP_PATIENCE`], and no more: a busy sender must not hold up the stop.
async fn read_rest(stream: &Stream, listener: &Listener, intake: &Intake, frames: &mut Frames) -> io::Result<()> {
    let deadline = Instant::now() + STOP_PATIENCE;
    let mut left = rustix::io::ioctl_fionread(stream)?;
    while left > 0 {
        if timeout_at(deadline, intake.ring.room()).await.is_err() || Instant::now() > deadline {
            let endpoint = &listener.options.endpoint;
            tracing::warn!("{endpoint}: {left} bytes of a connection were not read: their sender is told by a reset");
            break;
        }
        match intake.read(listener, frames, realtime_ns(), |buffer| receive(stream, buffer)) {
            Ok(0) => break,
            Ok(len) => {
                left = left.saturating_sub(len as u64);
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(stream, buffer, RecvFlags::DONTWAIT)?.0)
}
