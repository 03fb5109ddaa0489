//! What memlogd says itself, as records of the source `memlogd`: bounded, so that whoever makes it complain can't fill
//! the ring with it.

use std::time::{Duration, Instant};

use super::name;
use crate::record::{Batch, BatchBuilder, RecordMeta};
use crate::source::clock::realtime_ns;

/// Notes a second; how many more there were is said by the next one that is let through.
pub const NOTES: u32 = 20;
const PERIOD: Duration = Duration::from_secs(1);

/// The record before all others.
pub(super) fn first(text: &str) -> Batch {
    let mut builder = BatchBuilder::new(text.len());
    builder.push(&name::ourselves(), RecordMeta::line(realtime_ns(), text.as_bytes()), text.as_bytes());
    builder.seal()
}

/// Counts notes.
#[derive(Debug)]
pub(super) struct Notes {
    period: Instant,
    said: u32,
    left_out: u64,
}

impl Notes {
    pub(super) fn new(now: Instant) -> Self {
        Self { period: now, said: 0, left_out: 0 }
    }

    /// Whether a note may be said now.
    pub(super) fn may_say(&mut self, now: Instant) -> bool {
        if now.duration_since(self.period) >= PERIOD {
            self.period = now;
            self.said = 0;
        }
        if self.said == NOTES {
            self.left_out += 1;
            return false;
        }
        self.said += 1;
        true
    }

    /// How many were left out since this was asked last.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_a_second() {
        let start = Instant::now();
        let mut notes = Notes::new(start);
        let said = (0..100).filter(|_| notes.may_say(start)).count();
        assert_eq!((said, notes.take_left_out()), (NOTES as usize, 100 - u64::from(NOTES)));
        assert!(notes.may_say(start + PERIOD));
        assert_eq!(notes.take_left_out(), 0);
    }
}
