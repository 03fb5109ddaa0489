//! How much of what was acknowledged may be unread.

/// Least number of bytes that are sent again after a reset.
const LEAST: u64 = 256 << 10;

/// Assumed where the kernel does not tell the receiver's window (before Linux 5.4): more than it grows to by
/// default.
const UNKNOWN_WINDOW: u64 = 8 << 20;

/// The resend window of a connection.
///
/// What a receiver's kernel holds unread is bounded by its buffer, and the window that it offers is the free part
/// of that buffer, counted differently: 128 kB unread with a largest window of 91 kB were seen, and 3.4 MB with
/// 2.8 MB. Hence twice the largest window, less the one that is offered now: that part of the buffer is free, at the
/// moment at which the last of what is acknowledged came. So a receiver that keeps up costs one window of memory and
/// not two. Of this connection only: another one's buffer says nothing about this
/// one's, and a window that only grows would keep ever more records in memory, and send them twice.
///
/// The largest window is not the largest that was seen. Between two looks the window may have opened and been filled
/// again, and the buffer grown meanwhile: 313 kB unread with a largest seen window of 112 kB. But the window's
/// right edge never moves back, so no window between two looks was larger than from what was acknowledged at the
/// first to the edge at the second.
pub(super) struct ResendWindow {
    configured: Option<u64>,
    /// Upper bound of all windows that were offered.
    largest: u64,
    /// At the last look: the window, and what was acknowledged.
    offered: u64,
    acked: u64,
}

impl ResendWindow {
    pub(super) fn new(configured: Option<u64>) -> Self {
        Self { configured, largest: 0, offered: 0, acked: 0 }
    }

    /// The receiver's kernel has acknowledged so many bytes of the connection, and offered a window of `window` more
    /// when it did; `None` where the kernel does not tell.
    pub(super) fn look(&mut self, acked: u64, window: Option<u32>) {
        let between = acked.saturating_sub(self.acked);
        self.acked = acked;
        self.offered = window.map_or(0, u64::from);
        self.largest = self.largest.max(between + window.map_or(UNKNOWN_WINDOW, u64::from));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.configured.unwrap_or_else(|| LEAST.max(2 * self.largest - self.offered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_largest_window_less_the_free_one_at_least_256_kib_unless_configured() {
        let mut window = ResendWindow::new(None);
        assert_eq!(window.bytes(), 256 << 10);
        window.look(0, Some(3_000_000));
        assert_eq!(window.bytes(), 3_000_000);
        window.look(0, Some(1_000_000));
        assert_eq!(window.bytes(), 5_000_000);
        window.look(0, Some(0));
        assert_eq!(window.bytes(), 6_000_000);
        let mut capped = ResendWindow::new(Some(1000));
        capped.look(500_000, Some(3_000_000));
        assert_eq!(capped.bytes(), 1000);
    }

    /// The receiver's buffer grew to 500 kB, was emptied in one go and filled again, between two looks.
    #[test]
    fn a_window_that_opened_and_closed_between_two_looks_counts() {
        let mut window = ResendWindow::new(None);
        window.look(700_000, Some(100_000));
        window.look(1_200_000, Some(0));
        assert!(window.bytes() >= 500_000, "{}", window.bytes());
    }

    #[test]
    fn a_receiver_that_keeps_up_costs_little_more_than_its_window() {
        let mut window = ResendWindow::new(None);
        for look in 0..1000 {
            window.look(look * 50_000, Some(3_000_000));
        }
        assert_eq!(window.bytes(), 3_100_000);
    }
}
