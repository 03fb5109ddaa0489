//! Records that did not fit and could not be cut: told once in a while, there may be thousands a second.

use std::time::{Duration, Instant};

/// How often lost records are told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Uncut {
    /// Since it was last told.
    count: u64,
    told: Option<Instant>,
}

impl Uncut {
    /// One more, of `size` bytes; how many were told of now.
    pub(super) fn lost(&mut self, destination: &str, size: usize) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        let count = std::mem::take(&mut self.count);
        tracing::warn!(
            destination,
            "{count} records were lost: too large for a datagram, and not to be cut (the last had {size} bytes)"
        );
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No way on this host is narrower than a datagram may be, so the encoder's limit is left out here.
    #[test]
    fn lost_records_are_told_of_once_in_a_while_with_their_number() {
        let mut uncut = Uncut::default();
        assert_eq!(uncut.lost("d", 70_000), Some(1));
        assert!((0..500).all(|_| uncut.lost("d", 70_000).is_none()));
        uncut.told = Instant::now().checked_sub(TELL_EVERY);
        assert_eq!(uncut.lost("d", 70_000), Some(501));
    }
}
