//! Percentiles of what was counted one by one: no buckets, no estimates.

use std::time::Duration;

pub struct Percentiles(Vec<Duration>);

impl Percentiles {
    pub fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest sample that `percent` of all do not exceed, in milliseconds.
    pub fn at(&self, percent: f64) -> f64 {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        let sample = self.0.get(rank.clamp(1, self.0.len().max(1)) - 1);
        sample.map_or(f64::NAN, |sample| sample.as_secs_f64() * 1000.0)
    }

    pub fn max(&self) -> f64 {
        self.at(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let of = Percentiles::of((1..=1000).rev().map(Duration::from_millis).collect());
        assert_eq!([of.at(0.0), of.at(50.0), of.at(99.0), of.at(99.9), of.max()], [1.0, 500.0, 990.0, 999.0, 1000.0]);
        assert_eq!(Percentiles::of(vec![Duration::from_millis(7)]).at(50.0), 7.0);
        assert!(Percentiles::of(Vec::new()).at(50.0).is_nan());
    }
}
