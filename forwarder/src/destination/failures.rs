//! Failures that are tried again, told so that a person sees them and the log does not fill with them.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::observe::counters::DestinationCounters;

/// At most one line in this time while nothing changes.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// The failures of one destination since it last worked.
pub(super) struct Failures<'a> {
    destination: &'a str,
    counters: &'a DestinationCounters,
    count: u64,
    since: Option<Instant>,
    reported: Option<Instant>,
    /// Whether these failures were reported; if not, neither is their end.
    visible: bool,
}

impl<'a> Failures<'a> {
    pub(super) fn new(destination: &'a str, counters: &'a DestinationCounters) -> Self {
        Self { destination, counters, count: 0, since: None, reported: None, visible: false }
    }

    /// Counts a failure; logs the first, then one each [`REPORT_EVERY`].
    pub(super) fn failed(&mut self, what: &dyn Display, next_attempt: Duration) {
        let now = Instant::now();
        self.count += 1;
        let since = *self.since.get_or_insert(now);
        self.counters.retries.add(1);
        self.counters.set_error(what.to_string());
        if self.reported.is_some_and(|reported| now - reported < REPORT_EVERY) {
            return;
        }
        self.reported = Some(now);
        self.visible = true;
        let destination = self.destination;
        let next = match next_attempt {
            Duration::ZERO => "at once".to_owned(),
            pause => format!("in {pause:.1?}"),
        };
        if self.count == 1 {
            tracing::warn!(destination, "{what}; next attempt {next}");
        } else {
            let (count, seconds) = (self.count, (now - since).as_secs());
            tracing::warn!(destination, "{what}; {count} failures in {seconds} s, next attempt {next}");
        }
    }

    /// It works again.
    pub(super) fn recovered(&mut self) {
        let Some(since) = self.since.take() else { return };
        let (destination, count, seconds) = (self.destination, self.count, since.elapsed().as_secs());
        // `reported` stays: a destination that fails and recovers all the time is not reported each time.
        if std::mem::take(&mut self.visible) {
            tracing::info!(destination, "works again after {count} failures in {seconds} s");
        }
        self.count = 0;
    }
}
