//! What a destination has taken from the ring and not yet seen arrive.
//!
//! Maps between records and the bytes of a connection: records go in as batches, are encoded in order, and are
//! done when the bytes up to their end are *proven*. When a connection ends, everything that is not proven is
//! encoded again for the next, from a record's start.
//!
//! Does no I/O. Limits: none of its own; who fills it stops when it has enough.

use std::collections::VecDeque;

use super::encoder::{Encoder, Out};
use crate::encode::json_lines::EncodeReport;
use crate::record::Batch;
use crate::ring::BatchRef;

/// Bytes that an object has besides its body, about: only for the size of writes.
const ENVELOPE_BYTES: usize = 200;

#[derive(Default)]
pub(super) struct Outbox {
    held: VecDeque<Held>,
    /// Index of the first batch with records that are not encoded.
    next: usize,
    /// Bytes encoded for this connection.
    encoded: u64,
    held_bytes: usize,
}

struct Held {
    batch: BatchRef,
    /// Records that are proven.
    proven: u32,
    /// Of the batch's records, the first that was encoded for this connection.
    base: u32,
    /// Where records from `base` on end, in bytes of the connection.
    ends: Vec<u64>,
    /// Records that were sent on an earlier connection.
    sent_before: u32,
}

/// What [`Outbox::encode`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) records: u32,
    /// Of these, the ones that were sent before.
    pub(super) resent: u32,
    pub(super) report: EncodeReport,
}

/// Records that are left, of [`Outbox::left`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) unsent: u64,
    pub(super) unconfirmed: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, batch: BatchRef) {
        self.held_bytes += batch.batch.capacity();
        self.held.push_back(Held { batch, proven: 0, base: 0, ends: Vec::new(), sent_before: 0 });
    }

    /// Whether there are records to encode.
    pub(super) fn has_pending(&self) -> bool {
        self.next < self.held.len()
    }

    /// Whether everything is proven.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Memory of the batches that are held here; the ring may hold them too.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The first record that is not proven.
    pub(super) fn first(&self) -> Option<(&Batch, u32)> {
        self.held.front().map(|held| (&*held.batch.batch, held.proven))
    }

    /// Appends encoded records to `out`, and to `ends` the length of `out` after each: at most `max_records`,
    /// until `out` has about `max_bytes`, and at least one where there is one.
    pub(super) fn encode(
        &mut self,
        encoder: &mut Encoder,
        max_records: u32,
        max_bytes: usize,
        out: &mut impl Out,
        ends: &mut Vec<usize>,
    ) -> Encoded {
        let mut done = Encoded::default();
        while done.records < max_records && (out.len() < max_bytes || done.records == 0) {
            let Some(held) = self.held.get_mut(self.next) else { break };
            let batch = &held.batch.batch;
            let from = held.base + held.ends.len() as u32;
            let room = max_bytes.saturating_sub(out.len());
            let to = fitting(batch, from, room).min(from.saturating_add(max_records - done.records));
            let (start, known) = (out.len(), ends.len());
            done.report += encoder.encode(&held.batch, from..to, out, ends);
            let offset = self.encoded;
            held.ends.extend(ends[known..].iter().map(|end| offset + (end - start) as u64));
            self.encoded += (out.len() - start) as u64;
            done.records += to - from;
            done.resent += held.sent_before.min(to).saturating_sub(from);
            if to == batch.record_count() {
                self.next += 1;
            }
        }
        done
    }

    /// Bytes of the connection up to `offset` have arrived: their records are done. Calls `acknowledge` for each
    /// batch that got further, in order, and returns the number of records that became proven.
    pub(super) fn prove(&mut self, offset: u64, acknowledge: impl FnMut(&BatchRef, u32)) -> u64 {
        self.advance(acknowledge, |held| held.base + held.ends.partition_point(|end| *end <= offset) as u32)
    }

    /// The next `records` records that were encoded have arrived; else like [`Outbox::prove`].
    pub(super) fn prove_records(&mut self, records: u32, acknowledge: impl FnMut(&BatchRef, u32)) -> u64 {
        let mut left = records;
        self.advance(acknowledge, |held| {
            let encoded = held.base + held.ends.len() as u32;
            let proven = encoded.min(held.proven.saturating_add(left));
            left -= proven - held.proven;
            proven
        })
    }

    fn advance(&mut self, mut acknowledge: impl FnMut(&BatchRef, u32), mut proven_of: impl FnMut(&Held) -> u32) -> u64 {
        let mut records = 0;
        while let Some(held) = self.held.front_mut() {
            let proven = proven_of(held);
            let whole = proven == held.batch.batch.record_count();
            if proven > held.proven || whole {
                records += u64::from(proven - held.proven);
                held.proven = proven;
                acknowledge(&held.batch, proven);
            }
            if !whole {
                break;
            }
            self.held_bytes -= held.batch.batch.capacity();
            self.held.pop_front();
            self.next -= 1;
        }
        records
    }

    /// The next record was encoded by somebody else.
    pub(super) fn skip_encoding(&mut self) {
        let Some(held) = self.held.get_mut(self.next) else { return };
        held.ends.push(self.encoded);
        if held.base + held.ends.len() as u32 == held.batch.batch.record_count() {
            self.next += 1;
        }
    }

    /// The connection is over, on which the first `written` bytes were handed to the kernel: what is not proven
    /// will be encoded again.
    pub(super) fn rewind(&mut self, written: u64) {
        for held in &mut self.held {
            let sent = held.base + held.ends.partition_point(|end| *end <= written) as u32;
            held.sent_before = held.sent_before.max(sent);
            held.base = held.proven;
            held.ends.clear();
        }
        self.next = 0;
        self.encoded = 0;
    }

    /// What is not proven; counts what was sent after [`Outbox::rewind`].
    pub(super) fn left(&self) -> Left {
        self.held.iter().fold(Left::default(), |left, held| {
            let unproven = held.batch.batch.record_count() - held.proven;
            let sent = held.sent_before.saturating_sub(held.proven);
            Left { unsent: left.unsent + u64::from(unproven - sent), unconfirmed: left.unconfirmed + u64::from(sent) }
        })
    }
}

/// End of the run of records from `from` on that fills about `room` bytes, by the batch's average; at least one record.
fn fitting(batch: &Batch, from: u32, room: usize) -> u32 {
    let each = batch.byte_len() / batch.record_count().max(1) as usize + ENVELOPE_BYTES;
    let records = u32::try_from(room / each).unwrap_or(u32::MAX).max(1);
    from.saturating_add(records).min(batch.record_count())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::destination::encoder::Encoders;
    use crate::encode::json_lines::JsonLinesOptions;
    use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
    use crate::ring::Selection;

    fn encode(outbox: &mut Outbox, max_records: u32, max_bytes: usize, out: &mut Vec<u8>) -> Encoded {
        let options = JsonLinesOptions { newline: true, ..JsonLinesOptions::default() };
        let mut encoder = Encoders::default().encoder(options, Selection::All);
        outbox.encode(&mut encoder, max_records, max_bytes, out, &mut Vec::new())
    }

    fn batch(sequence: u64, bodies: &[&str]) -> BatchRef {
        let origin = OriginHandle::new(Origin::new(OriginKind::Service, "test"));
        let mut builder = BatchBuilder::new(1024);
        for body in bodies {
            builder.push(&origin, RecordMeta::line(0, body.as_bytes()), body.as_bytes());
        }
        BatchRef::new(sequence, Arc::new(builder.seal()))
    }

    fn bodies(encoded: &[u8]) -> Vec<String> {
        let lines = encoded.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["msg"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn records_are_done_when_their_last_byte_is() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.push(batch(1, &["a", "b", "c"]));
        outbox.push(batch(2, &["d"]));
        assert!(outbox.held_bytes() > 0);
        assert_eq!(encode(&mut outbox, u32::MAX, 1 << 20, &mut out).records, 4);
        assert!(!outbox.has_pending());
        let line = out.len() as u64 / 4;
        let mut acknowledged = Vec::new();
        let mut note = |batch: &BatchRef, records| acknowledged.push((batch.sequence, records));
        assert_eq!(outbox.prove(line - 1, &mut note), 0);
        assert_eq!(outbox.prove(2 * line + 5, &mut note), 2);
        assert_eq!(outbox.prove(2 * line + 6, &mut note), 0);
        assert_eq!(outbox.prove(4 * line, &mut note), 2);
        assert_eq!(acknowledged, [(1, 2), (1, 3), (2, 1)]);
        assert!(outbox.is_empty());
        assert_eq!(outbox.held_bytes(), 0);
    }

    #[test]
    fn a_new_connection_starts_at_the_first_record_that_is_not_proven() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.push(batch(1, &["a", "b", "c"]));
        outbox.push(batch(2, &["d", "e"]));
        encode(&mut outbox, 4, 1 << 20, &mut out);
        let line = out.len() as u64 / 4;
        outbox.prove(line + 1, |_, _| ());
        outbox.rewind(3 * line);
        assert_eq!(outbox.left(), Left { unsent: 2, unconfirmed: 2 });
        out.clear();
        let done = encode(&mut outbox, u32::MAX, 1 << 20, &mut out);
        assert_eq!((done.records, done.resent), (4, 2));
        assert_eq!(bodies(&out), ["b", "c", "d", "e"]);
        assert_eq!(outbox.prove(4 * line, |_, _| ()), 4);
        assert_eq!(outbox.left(), Left::default());
    }

    #[test]
    fn a_write_has_a_bound_in_records_and_in_bytes_but_takes_one_record() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        let long = "x".repeat(5000);
        outbox.push(batch(1, &["a", "b", &long, "c"]));
        assert_eq!(encode(&mut outbox, 1, 1 << 20, &mut out).records, 1);
        out.clear();
        assert_eq!(encode(&mut outbox, u32::MAX, 1000, &mut out).records, 2, "b and the one that fills it");
        out.clear();
        assert_eq!(encode(&mut outbox, u32::MAX, 1, &mut out).records, 1);
        assert_eq!(bodies(&out), ["c"]);
        assert_eq!(encode(&mut outbox, u32::MAX, 1 << 20, &mut out).records, 0);
    }

    #[test]
    fn records_pushed_while_others_are_in_flight_keep_their_order() {
        let mut outbox = Outbox::default();
        let mut all = Vec::new();
        let mut proven = 0;
        for round in 0..20u32 {
            outbox.push(batch(u64::from(round), &[&format!("{round}a"), &format!("{round}b")]));
            let mut out = Vec::new();
            encode(&mut outbox, 1 + round % 3, 1 << 20, &mut out);
            all.extend(bodies(&out));
            proven += outbox.prove(outbox.encoded / 2, |_, _| ());
        }
        let mut out = Vec::new();
        encode(&mut outbox, u32::MAX, 1 << 20, &mut out);
        all.extend(bodies(&out));
        let expected: Vec<String> = (0..20).flat_map(|n| [format!("{n}a"), format!("{n}b")]).collect();
        assert_eq!(all, expected);
        proven += outbox.prove(outbox.encoded, |_, _| ());
        assert_eq!(proven, 40);
    }

    #[test]
    fn datagrams_are_proven_by_number_and_one_may_be_encoded_elsewhere() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.push(batch(1, &["a", "b"]));
        outbox.push(batch(2, &["c", "d"]));
        encode(&mut outbox, 3, 1 << 20, &mut out);
        assert_eq!(outbox.prove_records(1, |_, _| ()), 1);
        assert_eq!(outbox.first().map(|(_, record)| record), Some(1));
        outbox.rewind(0);
        outbox.skip_encoding();
        out.clear();
        encode(&mut outbox, u32::MAX, 1 << 20, &mut out);
        assert_eq!(bodies(&out), ["c", "d"]);
        assert_eq!(outbox.prove_records(2, |_, _| ()), 2);
        assert_eq!(outbox.prove_records(9, |_, _| ()), 1, "no more than were encoded");
        assert!(outbox.is_empty());
    }
}
