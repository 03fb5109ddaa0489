//! Waits until a descriptor that is neither socket nor file (inotify) has something to read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A non-blocking descriptor that the thread's reactor watches.
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Must be called inside of [`super::run`].
    ///
    /// # Errors
    /// Where the descriptor can't be watched.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor stays open and the same for as long as it is registered: `AsyncFd` owns it, and
        // nothing here gives it away.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE)? };
        Ok(Self(watched))
    }

    /// Completes when there is something to read, again and again until [`Readable::is_empty`] is called.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn wait(&self) -> io::Result<()> {
        self.0.readable().await?.retain_ready();
        Ok(())
    }

    /// To be called after a read has found nothing.
    pub fn is_empty(&self) {
        let _ = self.0.try_io(Interest::READABLE, |_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

impl AsFd for Readable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
