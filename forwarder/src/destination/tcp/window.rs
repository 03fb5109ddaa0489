//! How much of what was acknowledged may be unread.

/// Least number of bytes that are sent again after a reset.
const LEAST: u64 = 256 << 10;

/// Assumed where the kernel does not tell the receiver's window (before Linux 5.4): more than it grows to by
/// default.
const UNKNOWN_WINDOW: u32 = 8 << 20;

/// The resend window of a connection.
///
/// What a receiver's kernel holds unread is bounded by its buffer, and the window that it offers is the free part
/// of that buffer, counted differently: 128 kB unread with a largest window of 91 kB were seen, and 3.4 MB with
/// 2.8 MB. Hence twice the largest window, less the one that is offered now: that part of the buffer is free, at the
/// moment at which the last of what is acknowledged came. So a receiver that keeps up costs one window of memory and
/// not two. Of this connection only: another one's buffer says nothing about this
/// one's, and a window that only grows would keep ever more records in memory, and send them twice.
pub(super) struct ResendWindow {
    configured: Option<u64>,
    largest_offered: u32,
    offered_now: u32,
}

impl ResendWindow {
    pub(super) fn new(configured: Option<u64>) -> Self {
        Self { configured, largest_offered: 0, offered_now: 0 }
    }

    /// The receiver offers a window of so many bytes, as it said when it acknowledged what is known to be
    /// acknowledged; `None` where the kernel does not tell.
    pub(super) fn offered(&mut self, window: Option<u32>) {
        self.offered_now = window.unwrap_or(0);
        self.largest_offered = self.largest_offered.max(window.unwrap_or(UNKNOWN_WINDOW));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.configured.unwrap_or_else(|| LEAST.max(2 * u64::from(self.largest_offered) - u64::from(self.offered_now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_largest_window_less_the_free_one_at_least_256_kib_unless_configured() {
        let mut window = ResendWindow::new(None);
        assert_eq!(window.bytes(), 256 << 10);
        window.offered(Some(3_000_000));
        assert_eq!(window.bytes(), 3_000_000);
        window.offered(Some(1_000_000));
        assert_eq!(window.bytes(), 5_000_000);
        window.offered(Some(0));
        assert_eq!(window.bytes(), 6_000_000);
        let mut capped = ResendWindow::new(Some(1000));
        capped.offered(Some(3_000_000));
        assert_eq!(capped.bytes(), 1000);
    }
}
