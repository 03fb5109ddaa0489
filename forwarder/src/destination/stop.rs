//! How a destination is told to end.

use tokio::sync::watch;
use tokio::time::Instant;

/// Tells destinations to end. Dropping it is the same as stopping at once.
pub struct StopHandle(watch::Sender<Option<Instant>>);

/// Heard by a destination; one each.
#[derive(Clone)]
pub struct StopSignal(watch::Receiver<Option<Instant>>);

/// A handle and the signal that it gives.
pub fn stop_channel() -> (StopHandle, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (StopHandle(sender), StopSignal(receiver))
}

impl StopHandle {
    /// Asks for an end: what is in the ring is still sent, until `deadline`. Close the ring too, or the
    /// destinations wait until then for more.
    pub fn drain_until(&self, deadline: Instant) {
        // Without a destination nobody has to hear it.
        let _ = self.0.send(Some(deadline));
    }
}

impl StopSignal {
    /// When everything must end; `None` while nothing was said.
    pub fn deadline(&self) -> Option<Instant> {
        let said = *self.0.borrow();
        said.or_else(|| self.0.has_changed().is_err().then(Instant::now))
    }

    /// Waits until draining is asked for; at once where it was.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn draining(&self) {
        // An error means that the handle is gone, which is also an end.
        let _ = self.0.clone().wait_for(Option::is_some).await;
    }

    /// Waits until everything must end.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn ended(&self) {
        loop {
            self.draining().await;
            let Some(deadline) = self.deadline() else { continue };
            tokio::time::sleep_until(deadline).await;
            return;
        }
    }

    /// Whether the deadline has passed.
    pub fn has_ended(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }
}
