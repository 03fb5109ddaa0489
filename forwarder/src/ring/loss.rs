//! What a reader could not be given, and the record that tells it so.

use crate::record::{Batch, BatchBuilder, Lost, Origin, OriginHandle, OriginKind};

/// A count of records that are gone, and the times between which they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub records: u64,
    /// Bytes of the batches that held them.
    pub bytes: u64,
    /// Bytes of output that reports among these records said to be lost: with them, that would be forgotten.
    pub reported_bytes: u64,
    /// Time of the first one in ns since the epoch.
    pub from_ns: i64,
    /// Time of the last one in ns since the epoch.
    pub to_ns: i64,
}

impl Loss {
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.reported_bytes == 0
    }

    /// A batch that is lost.
    pub(super) fn of(batch: &Batch) -> Self {
        let mut loss = Self::default();
        loss.add(batch);
        loss
    }

    /// Counts all records of a batch; a report among them counts as what it reports.
    pub fn add(&mut self, batch: &Batch) {
        let mut loss = Self {
            records: 0,
            bytes: batch.byte_len() as u64,
            reported_bytes: 0,
            from_ns: batch.first_time_ns(),
            to_ns: batch.last_time_ns(),
        };
        if !batch.has_reports() {
            // The common case must cost nothing: a destination that is away loses each batch, under the ring's lock.
            loss.records = u64::from(batch.record_count());
            return self.merge(loss);
        }
        for record in batch.records() {
            match record.lost() {
                Some(Lost::Records(records)) => loss.records += records,
                Some(Lost::Bytes(bytes)) => loss.reported_bytes += bytes,
                None => loss.records += 1,
            }
        }
        self.merge(loss);
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
        self.reported_bytes += other.reported_bytes;
        self.from_ns = self.from_ns.min(other.from_ns);
        self.to_ns = self.to_ns.max(other.to_ns);
    }

    /// The records that report this loss to the reader `reader`: one, or a second one for lost bytes of output.
    pub(super) fn report(&self, reader: &str) -> Batch {
        let origin = OriginHandle::new(Origin::new(OriginKind::Ringward, "ringward"));
        let mut builder = BatchBuilder::new(512);
        let place = format!("before they could be sent to {reader}");
        let lost = [Lost::Records(self.records), Lost::Bytes(self.reported_bytes)];
        for lost in lost.into_iter().filter(|lost| lost.amount() > 0) {
            builder.push_loss(&origin, lost, &place, self.from_ns, self.to_ns);
        }
        builder.seal()
    }
}
