//! Notices that the time of day was set, and by how much.
//!
//! A timer that is never due is cancelled by the kernel whenever the clock jumps (timerfd_create(2)), so nothing is polled.
//! By how much it jumped is the change of its distance to CLOCK_BOOTTIME, which does not jump and counts while the machine
//! sleeps. A clock that is only made to run faster or slower does not jump.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};

use crate::source::clock::{monotonic_ns, realtime_ns};

/// More than a clock that runs faster or slower, which nobody looks at for a day, gains by that.
const MOST_ADJUSTED_NS: i64 = 60_000_000_000;

/// The clocks at one moment, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) monotonic_ns: i64,
    pub(super) realtime_ns: i64,
    pub(super) boottime_ns: i64,
}

impl Now {
    pub(super) fn read() -> Self {
        let boottime = clock_gettime(ClockId::Boottime);
        let boottime_ns = boottime.tv_sec * 1_000_000_000 + boottime.tv_nsec;
        Self { monotonic_ns: monotonic_ns(), realtime_ns: realtime_ns(), boottime_ns }
    }

    /// When the machine was started, by the time of day.
    fn boot_ns(self) -> i64 {
        self.realtime_ns.saturating_sub(self.boottime_ns)
    }
}

/// Watches the time of day.
pub(super) struct SetClock {
    timer: OwnedFd,
    boot_ns: i64,
}

impl SetClock {
    /// # Errors
    /// Where descriptors have run out.
    pub(super) fn watch() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Thousands of years from now: the kernel refuses nothing that fits its nanoseconds.
        let never = Itimerspec { it_interval: zero, it_value: Timespec { tv_sec: 9_000_000_000, tv_nsec: 0 } };
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &never)?;
        Ok(Self { timer, boot_ns: Now::read().boot_ns() })
    }

    /// Whether the clock was set since the last call, or by now since it was followed.
    pub(super) fn was_set(&self, now: Now) -> bool {
        // The kernel sets the clock first and cancels a moment later.
        let jumped_ns = now.boot_ns().saturating_sub(self.boot_ns).saturating_abs();
        rustix::io::read(&self.timer, &mut [0; 8]) == Err(Errno::CANCELED) || jumped_ns > MOST_ADJUSTED_NS
    }

    /// The clock was not set.
    pub(super) fn follow(&mut self, now: Now) {
        self.boot_ns = now.boot_ns();
    }

    /// By how much the clock has jumped since it was followed last, in ns.
    pub(super) fn step_ns(&mut self, now: Now) -> i64 {
        let step = now.boot_ns().saturating_sub(self.boot_ns);
        self.boot_ns = now.boot_ns();
        step
    }
}

impl AsFd for SetClock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_sets_is_not_set() {
        let mut clock = SetClock::watch().unwrap();
        let now = Now::read();
        assert!(!clock.was_set(now));
        clock.follow(now);
        assert_eq!(clock.step_ns(now), 0);
    }

    #[test]
    fn a_step_is_what_the_other_clock_does_not_show() {
        let at = |realtime_ns, boottime_ns| Now { monotonic_ns: 0, realtime_ns, boottime_ns };
        let mut clock = SetClock::watch().unwrap();
        clock.follow(at(1_000, 500));
        assert_eq!(clock.step_ns(at(2_000, 1_500)), 0, "a thousand later");
        assert!(clock.was_set(at(1_700_000_000_000, 1_600)), "also before the timer says so");
        assert_eq!(clock.step_ns(at(1_700_000_000_000, 1_600)), 1_700_000_000_000 - 2_100);
        assert_eq!(clock.step_ns(at(1_700_000_000_000 - 50, 1_650)), -100, "set back");
    }
}
