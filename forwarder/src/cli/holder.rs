//! `memlogd -fd-holder`, `run --fd-holder`: a small parent that keeps the daemon's sockets and the descriptors that were
//! passed to it, and starts the daemon again when it ends. Writers notice nothing of that.
//!
//! It speaks systemd's protocol for descriptors ([`crate::io::fd_store`]), reads nothing and allocates little, so that
//! there is little that could end it. SIGTERM and SIGINT are passed on, and are its end, too.

use std::io::{IoSliceMut, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, bind,
    recvmsg, socket_with, sockopt,
};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

use crate::io::fd_store::{BEGUN, HELD, LAST, NOTIFY, SOCKET};
use crate::io::unix::{SocketFile, bound_path};
use crate::io::watch_readable;
use crate::source::descriptors;

/// Before a daemon is started again that has ended at once; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// One that ran so long had not ended at once.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// Of the list of what is kept: an environment variable has at most 128 KiB.
const MOST_LISTED: usize = 120 << 10;
/// Of them, for the beginning of a descriptor's line.
const BEGUN_BYTES: usize = 40;
/// A message has a few short lines.
const MESSAGE_BYTES: usize = 1024;

/// What is kept, in the order in which it came; and whether it was said that there is no more room.
#[derive(Default)]
struct Store(Vec<(String, OwnedFd)>, bool);

/// Runs the daemon `name` that `command` makes, again and again, until it is told to stop.
///
/// # Errors
/// Where the daemon can't be started the first time, or ended with an error when it was told to stop.
pub fn hold(name: &str, command: impl Fn() -> Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(name, command))
}

async fn run(name: &str, command: impl Fn() -> Command) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (socket, address) = notified().context("descriptors can't be kept")?;
    descriptors::raise_limit();
    let mut store = Store::default();
    let (last, end) = std::io::pipe()?;
    store.0.push((LAST.to_owned(), last.into()));
    let mut end = Some(end);
    let mut pause = FIRST_PAUSE;
    let mut first = true;
    loop {
        let began = Instant::now();
        let mut child = match start(command(), &store, &address) {
            Ok(child) => child,
            Err(error) if first => return Err(error).with_context(|| format!("{name} can't be started")),
            // What is kept would be gone with this process.
            Err(error) => {
                tracing::error!("{name} can't be started, and is tried again in {LONGEST_PAUSE:?}: {error}");
                tokio::select! {
                    () = tokio::time::sleep(LONGEST_PAUSE) => continue,
                    _ = terminate.recv() => return store.unread(name),
                    _ = interrupt.recv() => return store.unread(name),
                }
            }
        };
        first = false;
        let pid = Pid::from_raw(child.id().cast_signed()).context("it has no process id")?;
        let ended = watch_readable(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                ready = socket.readable() => match receive(socket.get_ref(), pid, &mut store) {
                    Ok(()) => {}
                    Err(Errno::AGAIN) => ready?.clear_ready(),
                    Err(error) => return Err(error).context("descriptors can't be received"),
                },
                _ = terminate.recv() => stopping = pass_on(pid, Signal::TERM, &mut end),
                _ = interrupt.recv() => stopping = pass_on(pid, Signal::INT, &mut end),
                ready = ended.readable() => break drop(ready?),
            }
        }
        // What it said before its end.
        while receive(socket.get_ref(), pid, &mut store).is_ok() {}
        let status = child.wait()?;
        if stopping {
            anyhow::ensure!(status.success(), "{name} ended with an error: {status}");
            return Ok(());
        }
        pause = if began.elapsed() >= LONG_LIFE { FIRST_PAUSE } else { pause };
        let count = store.0.len() - 1;
        tracing::warn!("{name} ended ({status}) and is started again in {pause:?}; {count} descriptors are kept");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = terminate.recv() => return store.unread(name),
            _ = interrupt.recv() => return store.unread(name),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A socket for what the daemon says, and its name. Nothing is left in the file system.
fn notified() -> anyhow::Result<(AsyncFd<OwnedFd>, String)> {
    let name = format!("ringward-holder-{}", std::process::id());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    // Anybody may send to such a name: the kernel says who did.
    sockopt::set_socket_passcred(&socket, true)?;
    bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    Ok((watch_readable(socket)?, format!("@{name}")))
}

fn start(mut command: Command, store: &Store, address: &str) -> std::io::Result<Child> {
    let mut held = std::process::id().to_string();
    for (name, descriptor) in &store.0 {
        // It stays open in the daemon; this process starts nothing else.
        fcntl_setfd(descriptor, FdFlags::empty())?;
        held.push_str(&format!(":{}={name}", descriptor.as_raw_fd()));
    }
    command.env(HELD, held).env(NOTIFY, address).spawn()
}

/// The daemon is told before that it is the last one.
fn pass_on(pid: Pid, signal: Signal, end: &mut Option<PipeWriter>) -> bool {
    *end = None;
    // Fails only where it has ended by itself.
    let _ = kill_process(pid, signal);
    true
}

/// Takes one message of the daemon.
///
/// # Errors
/// [`Errno::AGAIN`] where there is none.
fn receive(socket: &OwnedFd, daemon: Pid, store: &mut Store) -> Result<(), Errno> {
    let mut text = [0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?;
    let (mut passed_on, mut sender) = (Vec::new(), None);
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(passed) => passed_on.extend(passed),
            RecvAncillaryMessage::ScmCredentials(credentials) => sender = Some(credentials.pid),
            _ => {}
        }
    }
    if sender == Some(daemon) {
        store.take(&String::from_utf8_lossy(&text[..received.bytes]), passed_on);
    }
    Ok(())
}

/// Bytes of one entry of the list: `:NUMBER=NAME`, and of the beginning of a line that may come with it.
fn listed_bytes(name: &str) -> usize {
    if name.starts_with(BEGUN) { 0 } else { name.len() + 12 + BEGUN_BYTES }
}

impl Drop for Store {
    /// The files of sockets that the daemon has bound and left to us.
    fn drop(&mut self) {
        for (_, socket) in self.0.iter().filter(|(name, _)| name.starts_with(SOCKET)) {
            if let Some(path) = bound_path(socket) {
                drop(SocketFile::of(&path));
            }
        }
    }
}

impl Store {
    /// The end, while there is no daemon.
    fn unread(&self, name: &str) -> anyhow::Result<()> {
        let count = self.0.iter().filter(|(kept, _)| kept != LAST && !kept.starts_with(SOCKET)).count();
        if count > 0 {
            tracing::warn!("stopped while there was no {name}: what is in {count} descriptors is lost");
        }
        Ok(())
    }

    /// Does what a message asks for.
    fn take(&mut self, message: &str, descriptors: Vec<OwnedFd>) {
        let value = |key: &str| message.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let Some(name) = value("FDNAME") else { return };
        if value("FDSTORE") == Some("1") {
            let listed: usize = self.0.iter().map(|(kept, _)| listed_bytes(kept)).sum();
            if listed + listed_bytes(name) <= MOST_LISTED {
                self.0.extend(descriptors.into_iter().map(|descriptor| (name.to_owned(), descriptor)));
            } else if !std::mem::replace(&mut self.1, true) {
                let count = self.0.len();
                tracing::warn!("{count} descriptors are kept, and there is no room for more: they end with the daemon");
            }
        } else if value("FDSTOREREMOVE") == Some("1") {
            self.0.retain(|(kept, _)| kept != name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_until_they_are_let_go() {
        let mut store = Store::default();
        let descriptor = || vec![OwnedFd::from(std::io::pipe().unwrap().0)];
        store.take("FDSTORE=1\nFDPOLL=0\nFDNAME=a", descriptor());
        store.take("FDSTORE=1\nFDNAME=b", descriptor());
        store.take("FDSTORE=1", descriptor());
        store.take("READY=1", Vec::new());
        store.take("FDSTOREREMOVE=1\nFDNAME=a", Vec::new());
        store.take("FDSTOREREMOVE=1\nFDNAME=none", Vec::new());
        assert_eq!(store.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
        // Not more than the next process can be told of.
        for number in 0..MOST_LISTED / 100 {
            store.take(&format!("FDSTORE=1\nFDNAME={number}{}", "x".repeat(240)), descriptor());
        }
        assert!((400..600).contains(&store.0.len()), "{}", store.0.len());
    }
}
