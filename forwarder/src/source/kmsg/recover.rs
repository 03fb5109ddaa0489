//! Fills the gaps of an overrun /dev/kmsg with the texts that the console tracepoint gave.
//!
//! The tracepoint has the text of every printk and nothing else. A record that came by /dev/kmsg takes its text
//! out of the queue, and everything before it: those came by /dev/kmsg too, or are the gap. The texts of several
//! CPUs come one CPU after the other and are put in order by their times. Bounded in texts and bytes; what falls out
//! is only missed when a gap follows.

use std::collections::BTreeMap;

/// Texts and bytes that are kept.
const MAX_TEXTS: usize = 65_536;
const MAX_BYTES: usize = 16 << 20;
/// Texts that are searched for the one of a record.
const WINDOW: usize = 4096;

/// A text of the console tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) monotonic_ns: u64,
    pub(super) text: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Recovery {
    /// By time, then by arrival.
    texts: BTreeMap<(u64, u64), Vec<u8>>,
    arrivals: u64,
    bytes: usize,
}

impl Recovery {
    pub(super) fn push(&mut self, text: Text) {
        self.bytes += text.text.len();
        self.arrivals += 1;
        self.texts.insert((text.monotonic_ns, self.arrivals), text.text);
        while self.texts.len() > MAX_TEXTS || self.bytes > MAX_BYTES {
            self.pop();
        }
    }

    /// Whether the text of a record is there, so that everything before it is there too.
    pub(super) fn has(&self, message: &[u8]) -> bool {
        self.find(message, self.texts.len()).is_some()
    }

    /// A record came by /dev/kmsg after `missing` that did not. Returns the texts of those that were missed, in
    /// order, at most `missing`.
    pub(super) fn take(&mut self, message: &[u8], missing: u64) -> Vec<Text> {
        let window = if missing > 0 { self.texts.len() } else { WINDOW };
        let Some(index) = self.find(message, window) else { return Vec::new() };
        let before: Vec<Text> = (0..index).filter_map(|_| self.pop()).collect();
        self.pop();
        let skip = before.len().saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        before.into_iter().skip(skip).collect()
    }

    fn find(&self, message: &[u8], window: usize) -> Option<usize> {
        self.texts.values().take(window).position(|text| is_same(text, message))
    }

    fn pop(&mut self) -> Option<Text> {
        let ((monotonic_ns, _), text) = self.texts.pop_first()?;
        self.bytes -= text.len();
        Some(Text { monotonic_ns, text })
    }
}

/// The tracepoint's text may have been cut at its limit, and may keep a newline.
pub(super) fn is_same(text: &[u8], message: &[u8]) -> bool {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text == message
        || (text.len() == forwarder_common::CONSOLE_LEN && message.starts_with(text))
        // A message of several lines: the text has them all, the record's message is the first one.
        || (text.get(message.len()) == Some(&b'\n') && text.starts_with(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(texts: &[&str]) -> Recovery {
        let mut recovery = Recovery::default();
        for text in texts {
            recovery.push(Text { monotonic_ns: 0, text: text.as_bytes().to_vec() });
        }
        recovery
    }

    fn taken(texts: Vec<Text>) -> Vec<String> {
        texts.into_iter().map(|text| String::from_utf8(text.text).unwrap()).collect()
    }

    #[test]
    fn a_gap_is_filled_with_what_stands_between_its_neighbours() {
        let mut recovery = queue(&["a", "b", "c", "d"]);
        assert!(recovery.take(b"a", 0).is_empty());
        assert_eq!(taken(recovery.take(b"d", 2)), ["b", "c"]);
        assert!(recovery.texts.is_empty());
    }

    #[test]
    fn never_more_than_are_missing_and_the_latest_of_them() {
        assert_eq!(taken(queue(&["x", "b", "c", "d"]).take(b"d", 2)), ["b", "c"]);
        assert_eq!(taken(queue(&["c", "d"]).take(b"d", 5)), ["c"]);
        assert!(queue(&["a"]).take(b"unknown", 5).is_empty());
    }

    #[test]
    fn texts_of_two_cpus_are_put_in_order() {
        let mut recovery = Recovery::default();
        for (monotonic_ns, text) in [(1, "a"), (3, "c"), (2, "b"), (4, "d")] {
            recovery.push(Text { monotonic_ns, text: text.as_bytes().to_vec() });
        }
        assert_eq!(taken(recovery.take(b"d", 3)), ["a", "b", "c"]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut recovery = Recovery::default();
        for _ in 0..200_000 {
            recovery.push(Text { monotonic_ns: 0, text: vec![b'x'; 100] });
        }
        assert!(recovery.bytes <= MAX_BYTES && recovery.texts.len() <= MAX_TEXTS);
    }
}
