//! How much is sent at a time after a receiver has closed with data unread.
//!
//! An RST proves nothing about what was read, so what was sent is sent again. A receiver that closes after a few
//! records would then never get further: whatever comes behind the records that it reads turns its close into an
//! RST. So the first *flight* after an RST is one record, and the next, twice as large, leaves only when the
//! first was acknowledged and the receiver had time to close ([`Pace::hold`]). A close with nothing behind it is
//! a FIN, and that proves that everything was read.
//!
//! ```text
//! reads 5 records, closes:   full speed ─RST─► 1 2 4 ─RST─► 1 2 2 ─FIN─► done with 5 ─► 1 2 2 ─FIN─► …
//! ```
//!
//! Each RST teaches: `safe` records went well, the flight behind them was too large by some, so beyond `safe` half
//! of that is tried. A flight of one record that ends in an RST came too early: the hold grows. Full speed again
//! when so much was acknowledged that an RST would take back no more than half of it; an RST after that changes nothing.
//!
//! A receiver that closes after a time, however much it has read by then, gets further by nothing but speed: its close
//! comes in the middle of a flight, whatever its size, and proves nothing. So after each RST on slow flights the next
//! connection is at full speed, a *leap*, and the one behind it slow again where that did not help.

use std::time::Duration;

const FIRST_HOLD: Duration = Duration::from_millis(10);
const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// Flights that must go well at the ceiling before it is doubled.
const CALM_FLIGHTS: u32 = 8;

#[derive(Default)]
pub(super) struct Pace {
    /// `None`: full speed.
    slow: Option<Slow>,
    /// On this connection an RST would take back no more than half of what was acknowledged.
    earned: bool,
}

struct Slow {
    /// This connection is at full speed all the same.
    leap: bool,
    hold: Duration,
    /// Records of a connection that went well last time.
    safe: u64,
    /// Largest flight beyond `safe`.
    ceiling: u32,
    calm: u32,
    /// Of this connection: records that may be sent in flights so far, the last of these, what is left of it.
    sent: u64,
    flight: u32,
    left: u32,
}

impl Pace {
    /// A new connection begins.
    pub(super) fn connected(&mut self) {
        self.earned = false;
        if let Some(slow) = &mut self.slow {
            slow.begin();
        }
    }

    /// Records that may be sent now.
    pub(super) fn allowance(&self) -> u32 {
        self.flying().map_or(u32::MAX, |slow| slow.left)
    }

    pub(super) fn sent(&mut self, records: u32) {
        if let Some(slow) = self.slow.as_mut().filter(|slow| !slow.leap) {
            slow.left = slow.left.saturating_sub(records);
        }
    }

    /// How long a receiver gets to close after it has acknowledged a flight; `None` at full speed.
    pub(super) fn hold(&self) -> Option<Duration> {
        self.flying().map(|slow| slow.hold)
    }

    /// Nothing at full speed.
    fn flying(&self) -> Option<&Slow> {
        self.slow.as_ref().filter(|slow| !slow.leap)
    }

    /// The flight was acknowledged and the receiver did not close: the next may go.
    pub(super) fn flight_went_well(&mut self) {
        if let Some(slow) = self.slow.as_mut().filter(|slow| !slow.leap) {
            slow.next_flight();
        }
    }

    /// An RST would take back no more than half of what was acknowledged.
    pub(super) fn back_to_full_speed(&mut self) {
        self.slow = None;
        self.earned = true;
    }

    /// The receiver closed and had read everything.
    pub(super) fn closed(&mut self) {
        let Some(slow) = &mut self.slow else { return };
        if !std::mem::take(&mut slow.leap) {
            slow.safe = slow.sent - u64::from(slow.left);
        }
    }

    /// The connection was reset. Returns whether the next one is expected to do better.
    pub(super) fn reset(&mut self) -> bool {
        if self.earned {
            return true;
        }
        let Some(slow) = &mut self.slow else {
            let ceiling = u32::MAX;
            let mut slow =
                Slow { leap: false, hold: FIRST_HOLD, safe: 0, ceiling, calm: 0, sent: 0, flight: 0, left: 0 };
            slow.begin();
            self.slow = Some(slow);
            return true;
        };
        slow.leap = !slow.leap;
        if !slow.leap {
            return false;
        }
        let flight = slow.flight - slow.left;
        slow.safe = slow.sent - u64::from(slow.flight);
        slow.calm = 0;
        slow.ceiling = (flight / 2).max(1);
        if flight <= 1 {
            slow.hold = (slow.hold * 4).min(LONGEST_HOLD);
        }
        flight > 1
    }
}

impl Slow {
    fn begin(&mut self) {
        (self.sent, self.flight, self.left) = (1, 1, 1);
    }

    fn next_flight(&mut self) {
        let doubled = self.flight.saturating_mul(2);
        let flight = if self.sent < self.safe {
            doubled.min(u32::try_from(self.safe - self.sent).unwrap_or(u32::MAX))
        } else {
            if doubled >= self.ceiling {
                self.calm += 1;
            }
            if self.calm >= CALM_FLIGHTS {
                self.calm = 0;
                self.ceiling = self.ceiling.saturating_mul(2);
            }
            doubled.min(self.ceiling)
        };
        self.flight = flight;
        self.left = flight;
        self.sent += u64::from(flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver that reads `reads` records on each connection and closes, and a sender with enough to send.
    /// Returns the connections that it took until `goal` records were proven, and the largest hold.
    fn connections_until(goal: u64, reads: u64, hold_needed: Duration) -> (u32, Duration) {
        let mut pace = Pace::default();
        pace.reset();
        let (mut proven, mut connections) = (0, 0);
        while proven < goal {
            connections += 1;
            assert!(connections < 10_000, "no progress at {proven} with {reads} a connection");
            pace.connected();
            let mut sent = 0;
            loop {
                let flight = u64::from(pace.allowance());
                sent += flight;
                pace.sent(flight as u32);
                let in_time = pace.hold().is_some_and(|hold| hold >= hold_needed);
                if sent > reads || (sent == reads && !in_time) {
                    pace.reset();
                    break;
                }
                if sent == reads {
                    pace.closed();
                    proven += reads;
                    break;
                }
                pace.flight_went_well();
            }
        }
        (connections, pace.slow.unwrap().hold)
    }

    #[test]
    fn every_receiver_gets_further_that_reads_a_record_before_it_closes() {
        for reads in (1..200).chain([1000, 1023, 1024, 5000]) {
            let (connections, _) = connections_until(10 * reads, reads, Duration::ZERO);
            assert!(connections < 10 + 30, "{reads} a connection: {connections} connections");
        }
    }

    /// Of each connection all arrives until some time is over; then it is reset.
    #[test]
    fn a_receiver_that_resets_by_the_clock_gets_every_other_connection_at_full_speed_until_that_pays() {
        let mut pace = Pace::default();
        let mut speeds = Vec::new();
        for _ in 0..6 {
            pace.connected();
            speeds.push(pace.hold().is_none());
            pace.sent(pace.allowance().min(100));
            pace.reset();
        }
        assert_eq!(speeds, [true, false, true, false, true, false]);
        pace.connected();
        assert_eq!(pace.allowance(), u32::MAX);
        pace.back_to_full_speed();
        for _ in 0..3 {
            assert!(pace.reset());
            pace.connected();
            assert_eq!(pace.allowance(), u32::MAX);
            pace.back_to_full_speed();
        }
        pace.connected();
        assert!(pace.reset());
        pace.connected();
        assert_eq!(pace.allowance(), 1, "one that did not pay is followed by a slow one");
    }

    #[test]
    fn the_hold_grows_until_a_slow_receiver_has_time_to_close() {
        let (connections, hold) = connections_until(10, 1, Duration::from_millis(500));
        assert!(hold >= Duration::from_millis(500) && connections < 20, "{connections} {hold:?}");
    }

    #[test]
    fn flights_double_and_full_speed_comes_back() {
        let mut pace = Pace::default();
        assert_eq!((pace.allowance(), pace.hold()), (u32::MAX, None));
        assert!(pace.reset());
        pace.connected();
        for flight in [1, 2, 4, 8, 16] {
            assert_eq!(pace.allowance(), flight);
            pace.sent(flight);
            assert_eq!(pace.allowance(), 0);
            pace.flight_went_well();
        }
        pace.back_to_full_speed();
        assert_eq!(pace.allowance(), u32::MAX);
    }

    #[test]
    fn a_receiver_that_became_healthy_is_tried_with_more() {
        let mut pace = Pace::default();
        pace.reset();
        pace.connected();
        pace.sent(1);
        pace.reset();
        pace.connected();
        pace.reset();
        pace.connected();
        let flights: Vec<u32> = (0..30)
            .map(|_| {
                pace.flight_went_well();
                pace.allowance()
            })
            .collect();
        assert!(flights.windows(2).all(|pair| pair[0] <= pair[1]) && flights[29] >= 8, "{flights:?}");
    }
}
