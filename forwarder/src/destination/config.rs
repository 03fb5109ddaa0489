//! What a destination is told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::endpoint::Endpoint;

/// Largest payload of a UDP datagram over IPv4.
pub(super) const MAX_DATAGRAM_BYTES: usize = 65_507;

/// One destination, resolved: it can't say anything invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationConfig {
    /// Name in logs, metrics and checkpoints.
    pub name: String,
    pub endpoint: Endpoint,
    /// Members that every object gets, whatever else has their key.
    pub extra_tags: BTreeMap<String, String>,
    /// Upper bound of an encoded record in bytes, its newline included. A longer one has its `msg` cut.
    /// Datagrams are never larger than 65507 bytes.
    pub max_record_bytes: Option<usize>,
    /// UDP: neighbours of similar size are padded with spaces to one, and go through the kernel as one packet.
    pub pad_segments: bool,
    pub retry: RetryPolicy,
    /// How long connecting to one address may take.
    pub connect_timeout: Duration,
    /// How long the receiver's kernel may leave everything unanswered while something is on its way.
    pub silence_timeout: Duration,
    /// Silence after which an idle TCP peer is asked whether it is still there.
    pub keepalive: Duration,
    /// Bytes before the last acknowledged one that are sent again after a reset. `None`: up to twice the largest
    /// window that the receiver offered, at least 256 KiB. A smaller value gives up the promise that
    /// nothing is missing that the receiver had not read.
    pub resend_window: Option<u64>,
}

impl DestinationConfig {
    /// A destination with the defaults.
    pub fn new(name: impl Into<String>, endpoint: Endpoint) -> Self {
        Self {
            name: name.into(),
            endpoint,
            extra_tags: BTreeMap::new(),
            max_record_bytes: None,
            pad_segments: false,
            retry: RetryPolicy::default(),
            connect_timeout: Duration::from_secs(5),
            silence_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(15),
            resend_window: None,
        }
    }

    pub(super) fn record_limit(&self) -> Option<usize> {
        match self.endpoint {
            Endpoint::Udp { .. } => Some(self.max_record_bytes.unwrap_or(usize::MAX).min(MAX_DATAGRAM_BYTES)),
            _ => self.max_record_bytes,
        }
    }
}

/// Pauses between attempts: `initial`, then twice as long each time, up to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub initial: Duration,
    pub max: Duration,
    /// Per cent by which a pause is shortened at random, so that many senders don't come back at once.
    pub jitter_percent: u8,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(30), jitter_percent: 30 }
    }
}
