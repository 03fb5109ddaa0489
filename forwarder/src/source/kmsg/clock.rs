//! From the kernel log's clock to the time of day.
//!
//! kmsg stamps are `local_clock()`, which runs apart from CLOCK_MONOTONIC (by minutes a month on some machines, and faster
//! while a time service slews). The difference shows in records that have just arrived: `monotonic now − stamp` is the
//! difference plus the time on the way. So the smallest of what was seen is the best, but only for as long as the clocks can't
//! have run apart by more. Until there is one, all that is known is that nothing was logged in the future.

/// How fast the clocks may run apart, as a part of the time that passes: adjtimex(2) lets CLOCK_MONOTONIC run by a tenth
/// faster or slower.
const APART: i64 = 10;

/// Keeps track of the difference of the two clocks.
#[derive(Default)]
pub(super) struct KernelClock {
    learned: Option<Learned>,
    /// The difference is no more than this, by the records that have not just arrived.
    most: Option<i64>,
}

#[derive(Clone, Copy)]
struct Learned {
    difference_ns: i64,
    /// CLOCK_MONOTONIC when it was learned.
    at_ns: i64,
}

impl KernelClock {
    /// A record with this stamp (µs) has arrived just now.
    pub(super) fn learn(&mut self, clock_us: i64, monotonic_ns: i64) {
        let seen = monotonic_ns - clock_us.saturating_mul(1000);
        let possible = self.learned.map_or(i64::MAX, |before| {
            let passed = (monotonic_ns - before.at_ns).max(0);
            before.difference_ns.saturating_add(passed / APART)
        });
        self.learned = Some(Learned { difference_ns: seen.min(possible), at_ns: monotonic_ns });
    }

    /// A record with this stamp (µs) was logged some time before now.
    pub(super) fn bound(&mut self, clock_us: i64, monotonic_ns: i64) {
        let difference = monotonic_ns - clock_us.saturating_mul(1000);
        self.most = Some(self.most.map_or(difference, |most| most.min(difference)));
    }

    /// CLOCK_MONOTONIC less the kernel log's clock, in ns; 0 until a record has arrived live, or less where 0 can't be.
    pub(super) fn difference_ns(&self) -> i64 {
        self.learned.map_or_else(|| self.most.unwrap_or(0).min(0), |learned| learned.difference_ns)
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
    fn the_difference_is_learned_by_the_fastest_record() {
        let mut clock = KernelClock::default();
        // The log's clock is 5 s behind; records take 1 ms and once 30 µs.
        for (clock_us, delay) in [(1_000_000, 1_000_000), (1_000_100, 30_000), (1_000_200, 1_000_000)] {
            clock.learn(clock_us, clock_us * 1000 + 5_000_000_000 + delay);
        }
        // Of what has passed since the fastest, a tenth may have come to it.
        assert_eq!(clock.difference_ns(), 5_000_030_000 + 107_000);
        assert_eq!(clock.wall_ns(1_000_200, 6_000_337_000, HOUR), HOUR);
    }

    /// Few records an hour, and clocks that run apart all the time, in both directions: each has its right time.
    #[test]
    fn the_difference_is_followed_for_days() {
        for drift_ppm in [-500, -50, 0, 50, 500, 80_000] {
            let mut clock = KernelClock::default();
            for hour in 1..100 {
                let monotonic = hour * HOUR;
                let stamp_us = (monotonic - hour * HOUR / 1_000_000 * drift_ppm) / 1000;
                let delay = 200_000 * (hour % 5);
                clock.learn(stamp_us, monotonic + delay);
                let wall = clock.wall_ns(stamp_us, monotonic + delay, 1_000 * HOUR + delay);
                let error = wall - 1_000 * HOUR;
                assert!((0..=delay).contains(&error), "{drift_ppm} ppm, {hour} h: {error} ns");
            }
        }
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
