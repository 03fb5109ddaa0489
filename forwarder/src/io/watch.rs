//! Descriptors of any kind whose readability the thread's reactor watches.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has `fd` watched, which need not be non-blocking.
///
/// # Errors
/// Where epoll refuses it, as it does files.
pub fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always names the same descriptor, which is open for as long as it lives: until AsyncFd, which
    // owns it, has taken it out of the reactor.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}
