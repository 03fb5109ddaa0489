//! Where a source's thread puts its records: one builder a thread, sealed into the ring.

use std::sync::Arc;

use crate::record::{BatchBuilder, FieldValue, Lost, OriginHandle, Parts, RecordMeta};
use crate::ring::Ring;

/// Bytes of a batch before it is sealed; fewer when the source has nothing more to give.
const BATCH_BYTES: usize = 256 << 10;

/// The builder of one thread.
pub struct Output {
    ring: Arc<Ring>,
    builder: BatchBuilder,
}

impl Output {
    pub fn new(ring: Arc<Ring>) -> Self {
        Self { ring, builder: BatchBuilder::new(BATCH_BYTES) }
    }

    pub fn push(&mut self, origin: &OriginHandle, meta: RecordMeta, body: &[u8]) {
        self.builder.push(origin, meta, body);
        self.seal_if_full();
    }

    pub fn push_with_fields(
        &mut self,
        origin: &OriginHandle,
        meta: RecordMeta,
        body: &[u8],
        fields: &[(&str, FieldValue<'_>)],
    ) {
        self.builder.push_with_fields(origin, meta, body, fields);
        self.seal_if_full();
    }

    pub fn push_parts(&mut self, origin: &OriginHandle, meta: RecordMeta, parts: &Parts<'_>) {
        self.builder.push_parts(origin, meta, parts);
        self.seal_if_full();
    }

    pub fn push_loss(&mut self, origin: &OriginHandle, lost: Lost, place: &str, from_ns: i64, to_ns: i64) {
        self.builder.push_loss(origin, lost, place, from_ns, to_ns);
        self.seal_if_full();
    }

    /// Hands over what there is: the source has nothing more at the moment.
    pub fn seal(&mut self) {
        if !self.builder.is_empty() {
            self.ring.append(self.builder.seal());
        }
    }

    fn seal_if_full(&mut self) {
        if self.builder.is_full() {
            self.seal();
        }
    }
}
