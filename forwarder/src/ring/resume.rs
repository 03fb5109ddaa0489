//! Leaves out what a reader acknowledged before a restart, when a source is read again from its start.

use crate::record::{Batch, BatchBuilder, Origin, OriginHandle, Record, RecordMeta};

use super::Checkpoint;

pub(super) struct Resume {
    /// What the reader acknowledged in earlier runs.
    acknowledged: Checkpoint,
    /// The same, and what it was given of theirs since.
    seen: Checkpoint,
}

impl Resume {
    pub(super) fn new(acknowledged: Checkpoint) -> Self {
        Self { seen: acknowledged.clone(), acknowledged }
    }

    /// Records of this batch were given to the reader: don't give them again.
    pub(super) fn note(&mut self, batch: &Batch) {
        if !batch.has_positions() {
            return;
        }
        for (source, position) in positions(batch, batch.record_count()) {
            let seen = self.seen.entry(source).or_insert(0);
            *seen = position.max(*seen);
        }
    }

    /// The batch without the records that the reader has seen; `None` where it has seen none of them.
    pub(super) fn unseen(&self, batch: &Batch) -> Option<Batch> {
        beyond(&self.seen, batch)
    }

    /// The same of a batch of an earlier run, which what the reader was given since says nothing about.
    pub(super) fn unacknowledged(&self, batch: &Batch) -> Option<Batch> {
        beyond(&self.acknowledged, batch)
    }
}

/// The batch without the records up to these positions; `None` where it has none of them.
fn beyond(seen: &Checkpoint, batch: &Batch) -> Option<Batch> {
    if seen.is_empty() || !batch.has_positions() {
        return None;
    }
    let limits: Vec<u64> = (0..batch.origin_count())
        .map(|local| origin(batch, local).and_then(|origin| seen.get(&origin.source).copied()).unwrap_or(0))
        .collect();
    let is_seen = |(origin, position): (u32, u64)| position != 0 && position <= limits[origin as usize];
    if !batch.positions(batch.record_count()).any(is_seen) {
        return None;
    }
    Some(retain(batch, |record| !is_seen((record.origin, record.position))))
}

/// A copy with the records for which `keep` says so.
pub(super) fn retain(batch: &Batch, mut keep: impl FnMut(&Record<'_>) -> bool) -> Batch {
    copy(batch, |record, _| keep(record))
}

/// A copy without the first records.
pub(super) fn without_first(batch: &Batch, records: u64) -> Batch {
    let mut index = 0;
    retain(batch, |_| {
        index += 1;
        index > records
    })
}

/// A copy with the records for which `keep` says so, and with what it changes of them.
pub(super) fn copy(batch: &Batch, mut keep: impl FnMut(&Record<'_>, &mut RecordMeta) -> bool) -> Batch {
    let origins: Vec<Option<OriginHandle>> =
        (0..batch.origin_count()).map(|local| origin(batch, local).map(OriginHandle::new)).collect();
    let mut builder = BatchBuilder::new(batch.byte_len());
    for record in batch.records() {
        let Some(origin) = &origins[record.origin as usize] else { continue };
        let mut meta = RecordMeta {
            time_ns: record.time_ns,
            position: record.position,
            level: record.level,
            flags: record.flags,
            original_len: record.original_len,
        };
        if !keep(&record, &mut meta) {
            continue;
        }
        let fields: Vec<_> =
            record.fields().filter_map(|(key, value)| Some((std::str::from_utf8(key).ok()?, value))).collect();
        builder.push_with_fields(origin, meta, record.body, &fields);
    }
    builder.seal()
}

/// Highest position per source among the first `records` records.
pub(super) fn positions(batch: &Batch, records: u32) -> Vec<(String, u64)> {
    let mut highest = vec![0u64; batch.origin_count() as usize];
    for (origin, position) in batch.positions(records) {
        let highest = &mut highest[origin as usize];
        *highest = position.max(*highest);
    }
    let known = highest.into_iter().enumerate().filter(|(_, position)| *position != 0);
    known.filter_map(|(local, position)| Some((origin(batch, local as u32)?.source, position))).collect()
}

fn origin(batch: &Batch, local: u32) -> Option<Origin> {
    Origin::decode(batch.origin_bytes(local)).ok()
}
