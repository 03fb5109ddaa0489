//! How fast a source that can pause may read: no faster than the fastest reader takes what it gave.
//!
//! A file, a TCP peer or stdin keep what is not read yet, and lose nothing by waiting. So nothing of theirs falls off
//! the ring's end because all destinations are slow or down.

use std::pin::pin;

use super::Ring;

impl Ring {
    /// Completes once the reader that is least behind has less than half of the ring's bytes unread; at once where
    /// there is no reader. Waits for as long as none of them moves: to be given up when the source has to stop.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn room(&self) {
        loop {
            let mut taken = pin!(self.taken.notified());
            // Registered before looking, so that a reader that moves in between is not missed.
            taken.as_mut().enable();
            if self.has_room() {
                return;
            }
            taken.await;
        }
    }

    /// Whether [`Ring::room`] would complete at once.
    pub fn has_room(&self) -> bool {
        self.fastest_reader().is_none_or(|fastest| fastest.lag_bytes < self.limits.bytes / 2)
    }
}
