//! From the kernel's monotonic clock to the time of day.

use rustix::time::{ClockId, clock_gettime};

/// Difference of the two clocks, taken again as often as the caller likes: the time of day may be stepped.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    offset_ns: i64,
}

impl WallClock {
    pub fn now() -> Self {
        Self { offset_ns: realtime_ns() - monotonic_ns() }
    }

    /// Nanoseconds since the epoch of a CLOCK_MONOTONIC stamp.
    pub fn of_monotonic(self, ns: u64) -> i64 {
        self.offset_ns.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX))
    }
}

/// CLOCK_MONOTONIC in ns.
pub fn monotonic_ns() -> i64 {
    ns(ClockId::Monotonic)
}

/// Time of day in ns since the epoch.
pub fn realtime_ns() -> i64 {
    ns(ClockId::Realtime)
}

fn ns(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
