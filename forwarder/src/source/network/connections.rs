//! Connections: accepted up to a limit, read in turn, no faster than the ring has room.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::sync::{Semaphore, watch};

use super::accepting::{Accepting, Connection};
use super::frames::Frames;
use super::intake::Intake;
use super::stream::Stream;
use super::{Listener, STOP_PATIENCE, stopped};
use crate::source::clock::realtime_ns;
use crate::source::memlogd::descriptor::{Descriptor, Kind};

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

async fn connection(connection: Connection, listener: &Listener, intake: &Intake, stop: watch::Receiver<bool>) {
    if let Connection::Tcp(stream) = &connection {
        // Fails only where the connection is gone, and then there is nothing to keep alive.
        let _ = SockRef::from(stream)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3));
    }
    let mut frames = Frames::of(listener, connection.process());
    if let Err(error) = read(connection, listener, intake, &mut frames, stop).await {
        tracing::info!("{}: a connection broke: {error}", listener.options.endpoint);
    }
    intake.take_unfinished(listener, &mut frames, realtime_ns(), true);
    intake.seal_soon();
}

/// Reads to the end of the connection; at a stop, what has come by then.
async fn read(
    connection: Connection,
    listener: &Listener,
    intake: &Intake,
    frames: &mut Frames,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let stream = Stream::new(Descriptor { fd: connection.into_fd()?, kind: Kind::Socket })?;
    tokio::select! {
        biased;
        () = stopped(&mut stop) => {}
        ended = stream.read_all(listener, intake, frames) => return ended,
    }
    let left = stream.read_rest(listener, intake, frames, STOP_PATIENCE).await?;
    if left > 0 {
        let endpoint = &listener.options.endpoint;
        tracing::warn!("{endpoint}: {left} bytes of a connection were not read: their sender is told by a reset");
    }
    Ok(())
}
