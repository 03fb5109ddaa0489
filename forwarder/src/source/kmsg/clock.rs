//! From the kernel log's clock to the time of day.
//!
//! kmsg stamps are `local_clock()`, which runs apart from CLOCK_MONOTONIC (by minutes a month on some machines).
//! The difference shows in records that have just arrived: `monotonic now − stamp` is the difference plus the
//! time on the way, so the smallest of the recent ones is the best. Until there is one, all that is known is that nothing
//! was logged in the future.

use std::collections::VecDeque;

/// Records that the difference is taken from.
const WINDOW: usize = 32;

/// Keeps track of the difference of the two clocks.
#[derive(Default)]
pub(super) struct KernelClock {
    recent: VecDeque<i64>,
    /// The difference is no more than this, by the records that have not just arrived.
    most: Option<i64>,
}

impl KernelClock {
    /// A record with this stamp (µs) has arrived just now.
    pub(super) fn learn(&mut self, clock_us: i64, monotonic_ns: i64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(monotonic_ns - clock_us.saturating_mul(1000));
    }

    /// A record with this stamp (µs) was logged some time before now.
    pub(super) fn bound(&mut self, clock_us: i64, monotonic_ns: i64) {
        let difference = monotonic_ns - clock_us.saturating_mul(1000);
        self.most = Some(self.most.map_or(difference, |most| most.min(difference)));
    }

    /// CLOCK_MONOTONIC less the kernel log's clock, in ns; 0 until a record has arrived live, or less where 0 can't be.
    pub(super) fn difference_ns(&self) -> i64 {
        let recent = self.recent.iter().min().copied();
        recent.unwrap_or_else(|| self.most.unwrap_or(0).min(0))
    }

    /// Time of day (ns since the epoch) of a stamp (µs).
    pub(super) fn wall_ns(&self, clock_us: i64, monotonic_ns: i64, realtime_ns: i64) -> i64 {
        let age = monotonic_ns - clock_us.saturating_mul(1000) - self.difference_ns();
        realtime_ns - age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn without_a_live_record_the_clocks_are_taken_as_one() {
        assert_eq!(KernelClock::default().wall_ns(1_000_000, 3_000_000_000, 10 * HOUR), 10 * HOUR - 2_000_000_000);
    }

    #[test]
    fn the_difference_is_learned_and_followed() {
        let mut clock = KernelClock::default();
        // The log's clock is 5 s behind; records take 1 ms and once 30 µs.
        for delay in [1_000_000, 30_000, 1_000_000] {
            clock.learn(1_000_000, 6_000_000_000 + delay);
        }
        assert_eq!(clock.difference_ns(), 5_000_030_000);
        assert_eq!(clock.wall_ns(1_000_000, 6_000_030_000, HOUR), HOUR);
        // It drifts away for hours.
        for _ in 0..WINDOW {
            clock.learn(2_000_000, 9_000_000_000);
        }
        assert_eq!(clock.difference_ns(), 7_000_000_000);
    }

    /// A clock that has run ahead shows it by stamps that are to come.
    #[test]
    fn nothing_was_logged_in_the_future() {
        let mut clock = KernelClock::default();
        clock.bound(1_000_000, 60_000_000_000);
        assert_eq!(clock.difference_ns(), 0);
        clock.bound(61_000_000, 60_000_000_000);
        clock.bound(2_000_000, 60_000_000_001);
        assert_eq!(clock.difference_ns(), -1_000_000_000);
        assert_eq!(clock.wall_ns(61_000_000, 60_000_000_000, HOUR), HOUR);
        clock.learn(61_500_000, 60_000_000_000);
        assert_eq!(clock.difference_ns(), -1_500_000_000);
    }

    #[test]
    fn a_step_of_the_time_of_day_moves_all_records_with_it() {
        let clock = KernelClock::default();
        let before = clock.wall_ns(1_000_000, 2_000_000_000, HOUR);
        assert_eq!(clock.wall_ns(1_000_000, 2_000_000_000, 2 * HOUR) - before, HOUR);
    }
}
