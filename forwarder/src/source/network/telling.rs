//! What is told of in the log, and not more often than once a minute.

use std::time::{Duration, Instant};

const TELL_EVERY: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Telling {
    untold: u64,
    told: Option<Instant>,
}

impl Telling {
    /// So many more; how many to tell of now.
    pub(super) fn tell(&mut self, new: u64) -> Option<u64> {
        self.untold += new;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}
