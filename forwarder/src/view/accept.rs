//! Accepting: one thread that serves all clients of a socket.
//!
//! Limits: [`MAX_CLIENTS`]; one more is told so and closed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Clients at the same time.
pub const MAX_CLIENTS: usize = 1024;
/// How long the end waits for clients that have not read everything.
const DRAIN: Duration = Duration::from_secs(1);
/// Before accepting is tried again after it has failed.
const RETRY: Duration = Duration::from_millis(100);

/// What is done with the clients of a socket.
pub(super) trait Service: 'static {
    /// Serves a client to its end.
    fn serve(self: Rc<Self>, stream: UnixStream) -> impl Future<Output = ()> + 'static;

    /// Tells a client why it is sent away, if it can be told without waiting.
    fn refuse(&self, stream: &UnixStream, why: &str);

    /// Accepting has failed, and is tried again.
    fn failed(&self, error: &io::Error);
}

/// A running view.
pub struct ViewHandle {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl ViewHandle {
    /// Accepts nobody any more. Those who follow end when the ring is closed.
    pub fn close(&self) {
        let _ = self.stop.send(true);
    }

    /// Ends once the clients have read everything, or have had a second to do so. The ring has been closed before.
    pub fn stop(self) {
        self.close();
        let _ = self.thread.join();
    }
}

/// Starts accepting on `socket`, which listens. `make` is called by the thread that serves.
///
/// # Errors
/// Where no thread can be had, or no reactor.
pub(super) fn start<S: Service>(socket: OwnedFd, make: impl FnOnce() -> S + Send + 'static) -> io::Result<ViewHandle> {
    let socket = StdListener::from(socket);
    socket.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopping) = watch::channel(false);
    let thread = std::thread::Builder::new().name("view".into()).spawn(move || {
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, run(socket, Rc::new(make()), stopping));
    })?;
    Ok(ViewHandle { stop, thread })
}

async fn run<S: Service>(socket: StdListener, service: Rc<S>, mut stopping: watch::Receiver<bool>) {
    let socket = match UnixListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!("the socket of a view can't be watched: {error}"),
    };
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS => {
                    clients.spawn_local(Rc::clone(&service).serve(stream));
                }
                Ok((stream, _)) => service.refuse(&stream, "too many clients are connected"),
                Err(error) => {
                    service.failed(&error);
                    tokio::time::sleep(RETRY).await;
                }
            },
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
        }
    }
    drop(socket);
    let drained = async { while clients.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}
