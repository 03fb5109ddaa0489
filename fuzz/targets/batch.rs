//! Stored batches: damaged ones are refused, and of what is accepted everything can be looked at.
#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ringward::record::{Batch, BatchBuilder, FieldValue, HEADER_LEN, Origin, OriginHandle, OriginKind, RecordMeta};

/// Of the checksum, in the header.
const CRC: usize = 20;

fuzz_target!(|data: &[u8]| {
    look(Bytes::copy_from_slice(data));
    // A good one with some bytes changed, and a checksum that says that it is good.
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    let mut changed = GOOD.get_or_init(good).clone();
    ringward_fuzz::change(&mut changed, data);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&changed[..CRC]);
    crc.update(&changed[CRC + 4..]);
    changed[CRC..CRC + 4].copy_from_slice(&crc.finalize().to_le_bytes());
    look(changed.into());
});

fn good() -> Vec<u8> {
    let mut builder = BatchBuilder::new(4096);
    for name in ["a", "b"] {
        let origin = OriginHandle::new(Origin::new(OriginKind::Service, name));
        let meta = RecordMeta { position: 7, ..RecordMeta::line(1, b"text") };
        builder.push(&origin, meta, b"text");
        let fields = [("key", FieldValue::Text(b"value")), ("n", FieldValue::Json(b"1"))];
        builder.push_with_fields(&origin, meta, b"more", &fields);
    }
    let batch = builder.seal();
    [&batch.stamp(5)[..], &batch.data()[HEADER_LEN..]].concat()
}

fn look(data: Bytes) {
    let Ok((_, batch)) = Batch::parse(data) else { return };
    for record in batch.records() {
        std::hint::black_box(record.body);
        for (key, value) in record.fields() {
            std::hint::black_box((key, value));
        }
    }
    for local in 0..batch.origin_count() {
        std::hint::black_box((batch.origin_id(local), batch.origin_bytes(local), batch.origin_kind(local)));
    }
    assert_eq!(batch.records().len(), batch.record_count() as usize);
    std::hint::black_box(batch.positions(batch.record_count()).count());
}
