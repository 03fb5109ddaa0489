//! Tells a receiver that does not read from one that is gone.
//!
//! TCP_USER_TIMEOUT can't: it gives up a connection whose window stays closed for so long although the receiver's
//! kernel answers every probe, and then everything that lies unread there would be sent again. So it is not set;
//! a connection is given up when the receiver's kernel has not answered for so long, to anything.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::io::TcpConnection;

pub(super) struct StallWatch {
    timeout: Duration,
    look_at: Option<Instant>,
    /// What was written and acknowledged at the last look.
    seen: (u64, u64),
    /// Since when nothing has moved.
    still_since: Instant,
}

impl StallWatch {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, look_at: None, seen: (0, 0), still_since: Instant::now() }
    }

    /// When to look; `None` while everything is acknowledged.
    pub(super) fn due(&mut self, outstanding: bool) -> Option<Instant> {
        if !outstanding {
            self.look_at = None;
            return None;
        }
        if self.look_at.is_none() {
            self.still_since = Instant::now();
        }
        Some(*self.look_at.get_or_insert_with(|| Instant::now() + self.timeout / 4))
    }

    /// # Errors
    /// `TimedOut` where the receiver is gone.
    pub(super) fn look(&mut self, connection: &TcpConnection, written: u64) -> io::Result<()> {
        let now = Instant::now();
        self.look_at = Some(now + self.timeout / 4);
        let info = connection.tcp_info()?;
        let seen = (written, info.bytes_acked);
        if std::mem::replace(&mut self.seen, seen) != seen {
            self.still_since = now;
            return Ok(());
        }
        // While its window is closed it is only asked now and then.
        let is_closed = info.unacked == 0 || info.snd_wnd == Some(0);
        let patience = if is_closed { self.timeout.max(info.retry * 5 / 2) } else { self.timeout };
        if now - self.still_since >= patience && info.silence >= patience {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}
