//! Where a source's thread puts its records: one builder a thread, sealed into the ring.

use std::sync::Arc;

use crate::record::{Batch, BatchBuilder, FieldValue, Lost, OriginHandle, Parts, RecordMeta};
use crate::ring::{Door, Ring};

/// Bytes of a batch before it is sealed; fewer when the source has nothing more to give, or when the ring is small.
const BATCH_BYTES: usize = 256 << 10;
/// How many full batches the ring has room for at least. Sources that pause do so when half of it is unread, and what each
/// of them has read by then (a batch that is nearly full, and what does not fit into it) must still find room.
const BATCHES: usize = 32;
/// Below this, a batch would be more table than text.
const LEAST_BATCH_BYTES: usize = 4 << 10;

/// The builder of one thread.
pub struct Output {
    ring: Arc<Ring>,
    builder: BatchBuilder,
    /// What stands before the ring.
    door: Option<Box<dyn Door>>,
}

impl Output {
    pub fn new(ring: Arc<Ring>) -> Self {
        let door = ring.door();
        let bytes = BATCH_BYTES.min(ring.limits().bytes / BATCHES).max(LEAST_BATCH_BYTES);
        Self { ring, builder: BatchBuilder::new(bytes), door }
    }

    #[inline]
    pub fn push(&mut self, origin: &OriginHandle, meta: RecordMeta, body: &[u8]) {
        self.make_room(body.len());
        self.builder.push(origin, meta, body);
    }

    pub fn push_with_fields(
        &mut self,
        origin: &OriginHandle,
        meta: RecordMeta,
        body: &[u8],
        fields: &[(&str, FieldValue<'_>)],
    ) {
        self.make_room(body.len());
        self.builder.push_with_fields(origin, meta, body, fields);
    }

    pub fn push_parts(&mut self, origin: &OriginHandle, meta: RecordMeta, parts: &Parts<'_>) {
        self.make_room(parts.byte_len());
        self.builder.push_parts(origin, meta, parts);
    }

    pub fn push_loss(&mut self, origin: &OriginHandle, lost: Lost, place: &str, from_ns: i64, to_ns: i64) {
        self.make_room(place.len());
        self.builder.push_loss(origin, lost, place, from_ns, to_ns);
    }

    /// Hands over what there is: the source has nothing more at the moment.
    pub fn seal(&mut self) {
        if !self.builder.is_empty() {
            let batch = self.builder.seal();
            self.hand_over(batch);
        }
    }

    /// Seals what there is where a record of so many bytes does not fit any more. Not as soon as a batch is nearly full:
    /// only what comes next says whether the rest of the block is of use.
    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if !self.builder.fits(bytes) && !self.builder.is_empty() {
            let batch = self.builder.seal_before(bytes);
            self.hand_over(batch);
        }
    }

    fn hand_over(&mut self, batch: Batch) {
        match &mut self.door {
            None => drop(self.ring.append(batch)),
            Some(door) => door.pass(batch),
        }
    }
}
