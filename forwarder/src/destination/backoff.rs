//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::config::RetryPolicy;

/// Exponential, with jitter and a ceiling. Reset by success.
pub(super) struct Backoff {
    policy: RetryPolicy,
    next: Duration,
    randomness: RandomState,
    draws: u64,
}

impl Backoff {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, next: policy.initial, randomness: RandomState::new(), draws: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.policy.initial;
    }

    /// How long to wait now; the next pause is twice as long.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.policy.max);
        self.next = pause.saturating_mul(2).min(self.policy.max);
        self.draws += 1;
        // The standard library's hash keys are random, which is all the randomness that this needs.
        let draw = self.randomness.hash_one(self.draws) % 1000;
        let percent = u64::from(self.policy.jitter_percent.min(100));
        pause - pause.mul_f64((draw * percent) as f64 / 100_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_ceiling_and_starts_again_after_a_success() {
        let policy =
            RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(1), jitter_percent: 20 };
        let mut backoff = Backoff::new(policy);
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            assert!(pause <= expected && pause >= expected * 8 / 10, "{pause} of {expected}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }

    #[test]
    fn jitter_spreads() {
        let pauses: std::collections::BTreeSet<Duration> =
            (0..20).map(|_| Backoff::new(RetryPolicy::default()).pause()).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
