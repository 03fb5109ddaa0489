//! Descriptors that outlive this process, because another one keeps them: systemd (`FileDescriptorStoreMax=`), or the
//! holder of `ringward memlogd -fd-holder` and `ringward run --fd-holder`.
//!
//! Both speak systemd's protocol: datagrams to `$NOTIFY_SOCKET`, `FDSTORE=1` with a descriptor and `FDSTOREREMOVE=1` without,
//! each with a name. systemd gives them to the next process as 3 and the following numbers, by `$LISTEN_PID`,
//! `$LISTEN_FDS` and `$LISTEN_FDNAMES`; the holder names any numbers, by [`HELD`].

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, sendmsg, socket_with,
};

/// What the holder says to the process that it has started: its own process id, then `:NUMBER=NAME` for each descriptor.
pub const HELD: &str = "RINGWARD_HELD";
/// Where to send what is to be kept.
pub const NOTIFY: &str = "NOTIFY_SOCKET";
/// How the names of sockets begin that were bound by this process: the holder removes their files at its end.
pub const SOCKET: &str = "socket.";
/// Of the pipe whose other end the holder closes when it is to end itself: no process of ours comes after this one then.
pub const LAST: &str = "holder.last";
/// How the names of beginnings of lines begin, which are short: the holder has room for one for each descriptor.
pub const BEGUN: &str = "begun.";
/// The longest name.
pub const NAME_BYTES: usize = 255;

/// First of the numbers that systemd passes.
const FIRST: RawFd = 3;

/// Whoever keeps descriptors for us; nobody may.
#[derive(Clone, Debug, Default)]
pub struct FdStore {
    socket: Option<Arc<OwnedFd>>,
    is_holder: bool,
    /// See [`LAST`].
    last: Option<Arc<OwnedFd>>,
}

/// What was kept for this process: names and descriptors.
pub type Kept = Vec<(String, OwnedFd)>;

impl FdStore {
    /// The store that the environment names, and what it has kept, which this process has had open since its start. To be
    /// called once.
    pub fn of_environment() -> (Self, Kept) {
        let address = std::env::var_os(NOTIFY);
        let socket = address.and_then(|address| connected(&address).ok()).map(Arc::new);
        let is_holder = std::env::var(HELD).is_ok_and(|held| held_by(&held, parent()).is_some());
        let numbers = numbers(|name| std::env::var(name).ok(), std::process::id(), parent());
        let take = |(number, name)| Some((name, inherited(number)?));
        let mut kept: Kept = numbers.into_iter().filter_map(take).collect();
        let last = kept.iter().position(|(name, _)| name == LAST);
        let last = last.map(|index| Arc::new(kept.swap_remove(index).1));
        (Self { socket, is_holder, last }, kept)
    }

    /// Whether there is anybody who keeps anything.
    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Whether it is the holder, which keeps also the sockets and their files.
    pub fn is_holder(&self) -> bool {
        self.is_there() && self.is_holder
    }

    /// Whether the holder will start another process like this one when this one ends, as far as that is known now.
    pub fn has_successor(&self) -> bool {
        let Some(last) = &self.last else { return false };
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut watched = [PollFd::new(&**last, PollFlags::IN)];
        // Nothing is ever written to it.
        self.is_holder() && poll(&mut watched, Some(&no_wait)) == Ok(0)
    }

    /// Has `descriptor` kept under `name`: printable, without `:`, and at most [`NAME_BYTES`]. It stays kept also when
    /// nobody has its other end any more: what is in it may not have been read.
    ///
    /// # Errors
    /// The socket's.
    pub fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.send(&format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}"), &[descriptor])
    }

    /// What is kept under `name` is not needed any more.
    ///
    /// # Errors
    /// The socket's.
    pub fn let_go(&self, name: &str) -> io::Result<()> {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[])
    }

    fn send(&self, text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(&**socket, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

fn connected(address: &OsString) -> io::Result<OwnedFd> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
        path => SocketAddrUnix::new(path)?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &address)?;
    Ok(socket)
}

/// The list behind a holder's process id, where it is our parent's: an environment goes on to children of children.
fn held_by(held: &str, parent: u32) -> Option<&str> {
    let (pid, list) = held.split_once(':').unwrap_or((held, ""));
    (pid.parse() == Ok(parent)).then_some(list)
}

fn numbers(variable: impl Fn(&str) -> Option<String>, pid: u32, parent: u32) -> Vec<(RawFd, String)> {
    if let Some(held) = variable(HELD)
        && let Some(list) = held_by(&held, parent)
    {
        let pair =
            |entry: &str| entry.split_once('=').and_then(|(number, name)| Some((number.parse().ok()?, name.into())));
        return list.split(':').filter_map(pair).collect();
    }
    let number = |name: &str| variable(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(pid) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    (FIRST..).zip(names.split(':')).take(count as usize).map(|(number, name)| (number, name.to_owned())).collect()
}

fn inherited(number: RawFd) -> Option<OwnedFd> {
    if number < FIRST {
        return None;
    }
    // SAFETY: descriptors only, no memory; one that is not open is an error here.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return None;
    }
    // SAFETY: it is open, and nothing in this process knows of it but whoever named its number to us: it was there before
    // the program began.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_systemd_or_from_a_holder_that_is_our_parent() {
        let of = |variables: &[(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            numbers(find, 10, 9)
        };
        let systemd = [("LISTEN_PID", "10"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a:b:c")];
        assert_eq!(of(&systemd), [(3, "a".to_owned()), (4, "b".to_owned())]);
        assert_eq!(of(&[("LISTEN_PID", "11"), systemd[1], systemd[2]]), []);
        assert_eq!(of(&[(HELD, "9:7=a:12=b"), systemd[0]]), [(7, "a".to_owned()), (12, "b".to_owned())]);
        assert_eq!(of(&[(HELD, "8:7=a")]), []);
        assert_eq!(of(&[(HELD, "9:x=a:7:8=b")]), [(8, "b".to_owned())]);
        assert_eq!(of(&[(HELD, "9")]), []);
    }
}
