//! Counters of `process`: what its steps did with records.

use std::fmt;

use super::counters::Counter;

/// Of all threads. Records.
#[derive(Debug, Default)]
pub struct ShapingCounters {
    pub records: Counter,
    pub changed: Counter,
    /// Of which a part could not be done: not parsed, not converted, no room for what was added.
    pub failed: Counter,
    /// What steps discarded, by their names.
    discarded: Vec<(String, Counter)>,
}

/// What came of one batch.
#[derive(Clone, Debug, Default)]
pub struct Shaped {
    pub records: u64,
    pub changed: u64,
    pub failed: u64,
    /// By step.
    pub discarded: Vec<u64>,
}

impl ShapingCounters {
    /// `steps` are their names.
    pub fn new(steps: Vec<String>) -> Self {
        Self { discarded: steps.into_iter().map(|name| (name, Counter::default())).collect(), ..Self::default() }
    }

    pub fn add(&self, shaped: &Shaped) {
        self.records.add(shaped.records);
        self.changed.add(shaped.changed);
        self.failed.add(shaped.failed);
        for ((_, counter), count) in self.discarded.iter().zip(&shaped.discarded) {
            counter.add(*count);
        }
    }

    /// Steps and what each discarded.
    pub fn discarded(&self) -> impl Iterator<Item = (&str, u64)> {
        self.discarded.iter().map(|(name, counter)| (name.as_str(), counter.value()))
    }
}

impl fmt::Display for ShapingCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [records, changed, failed] = [&self.records, &self.changed, &self.failed].map(Counter::value);
        let discarded: u64 = self.discarded().map(|(_, count)| count).sum();
        write!(f, "{records} records, {changed} changed, {failed} failures, {discarded} discarded")?;
        for (index, (name, count)) in self.discarded().filter(|(_, count)| *count > 0).enumerate() {
            write!(f, "{} {count} by {name}", if index == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}
