//! Counters: what came in, what went out, what was lost, per destination and in all.
//!
//! Plain relaxed atomics: each is exact, and several read one after the other need not fit together. They are
//! raised per batch, or per system call, never per record. *Lost* is unintentional, *discarded* was asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of one destination. Records, unless the name says otherwise.
#[derive(Debug, Default)]
pub struct DestinationCounters {
    /// Taken from the ring.
    pub received: Counter,
    /// Handed to the kernel; again when they are sent again.
    pub sent: Counter,
    pub sent_bytes: Counter,
    /// Of `sent`: those that were sent before, on a connection that broke.
    pub resent: Counter,
    /// Known to have arrived, as far as the transport can know; each once.
    pub acknowledged: Counter,
    /// Given up: no datagram could carry them, or the destination failed for good.
    pub lost: Counter,
    /// Their `msg` was cut to the size limit, or fields were left out for it.
    pub cut: Counter,
    /// Longer than the size limit even with an empty `msg` and without fields.
    pub oversized: Counter,
    /// Attempts to send or connect that failed and are repeated.
    pub retries: Counter,
    /// Times that the peer said it does not listen (ECONNREFUSED).
    pub refused: Counter,
    /// Connections that were established.
    pub connects: Counter,
    /// Connections that broke with data possibly unread (RST, time-out).
    pub resets: Counter,
    /// TCP: bytes before the last acknowledged one that would be sent again after a reset.
    pub resend_window_bytes: Gauge,
    /// TCP: memory of the batches that may have to be sent again; the ring may hold them too.
    pub held_bytes: Gauge,
    connected: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl std::fmt::Display for DestinationCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [sent, resent, acknowledged] = [&self.sent, &self.resent, &self.acknowledged].map(Counter::value);
        let [cut, lost, connects] = [&self.cut, &self.lost, &self.connects].map(Counter::value);
        let [resets, retries, bytes] = [&self.resets, &self.retries, &self.sent_bytes].map(Counter::value);
        write!(
            f,
            "{sent} records sent ({resent} of them again) in {bytes} bytes, {acknowledged} acknowledged, {cut} cut, \
             {lost} impossible to send; {connects} connections, {resets} broken, {retries} attempts repeated"
        )
    }
}

impl DestinationCounters {
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// Whether what is sent now is expected to arrive.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Replaces the text of [`DestinationCounters::last_error`].
    pub fn set_error(&self, text: String) {
        *self.error() = Some(text);
    }

    /// The most recent failure, also after it was overcome.
    pub fn last_error(&self) -> Option<String> {
        self.error().clone()
    }

    fn error(&self) -> MutexGuard<'_, Option<String>> {
        // A text can't be half written: assignment does not panic in between.
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of all destinations.
#[derive(Debug, Default)]
pub struct Counters {
    destinations: Mutex<BTreeMap<String, Arc<DestinationCounters>>>,
}

impl Counters {
    /// The counters of the destination called `name`; the same ones each time, also after a reload.
    pub fn destination(&self, name: &str) -> Arc<DestinationCounters> {
        Arc::clone(self.by_name().entry(name.to_owned()).or_default())
    }

    /// All destinations, by name.
    pub fn destinations(&self) -> Vec<(String, Arc<DestinationCounters>)> {
        self.by_name().iter().map(|(name, counters)| (name.clone(), Arc::clone(counters))).collect()
    }

    fn by_name(&self) -> MutexGuard<'_, BTreeMap<String, Arc<DestinationCounters>>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_keeps_its_counters_by_name() {
        let counters = Counters::default();
        counters.destination("a").sent.add(3);
        counters.destination("b");
        counters.destination("a").sent.add(4);
        assert_eq!(counters.destination("a").sent.value(), 7);
        let names: Vec<String> = counters.destinations().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
