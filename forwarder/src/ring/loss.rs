//! What a reader could not be given, and the record that tells it so.

use crate::record::{Batch, BatchBuilder, Lost, Origin, OriginHandle, OriginKind};

/// A count of records that are gone, and the times between which they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub records: u64,
    /// Bytes of the batches that held them.
    pub bytes: u64,
    /// Time of the first one in ns since the epoch.
    pub from_ns: i64,
    /// Time of the last one in ns since the epoch.
    pub to_ns: i64,
}

impl Loss {
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Counts all records of a batch.
    pub fn add(&mut self, batch: &Batch) {
        self.merge(Self {
            records: u64::from(batch.record_count()),
            bytes: batch.byte_len() as u64,
            from_ns: batch.first_time_ns(),
            to_ns: batch.last_time_ns(),
        });
    }

    pub fn merge(&mut self, other: Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other;
            return;
        }
        self.records += other.records;
        self.bytes += other.bytes;
        self.from_ns = self.from_ns.min(other.from_ns);
        self.to_ns = self.to_ns.max(other.to_ns);
    }

    /// One record that reports this loss to the reader `reader`.
    pub(super) fn report(&self, reader: &str) -> Batch {
        let origin = OriginHandle::new(Origin::new(OriginKind::Ringward, "ringward"));
        let mut builder = BatchBuilder::new(512);
        let place = format!("before they could be sent to {reader}");
        builder.push_loss(&origin, Lost::Records(self.records), &place, self.from_ns, self.to_ns);
        builder.seal()
    }
}
