//! The batch survives every move and no damage to it goes unnoticed.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn origin(name: &str) -> OriginHandle {
    OriginHandle::new(Origin {
        kind: OriginKind::Container,
        name: name.into(),
        stream: Stream::Stdout,
        source: "file:/x".into(),
        attributes: vec![("pod".into(), "p".into()), ("container".into(), "c".into())],
    })
}

fn sample() -> Batch {
    let mut builder = BatchBuilder::new(1024);
    let (a, b) = (origin("a"), origin("b"));
    builder.push(&a, RecordMeta { position: 7, ..RecordMeta::line(1, b"one") }, b"one");
    let fields = [("seq", FieldValue::Integer(-5)), ("text", FieldValue::Text(b"\xff\0"))];
    builder.push_with_fields(&b, RecordMeta::line(2, b""), b"", &fields);
    builder.push(&a, RecordMeta { flags: Flags::CUT | Flags::PARTIAL, ..RecordMeta::line(3, b"x") }, b"x");
    builder.seal()
}

/// Batches as a source makes them: sealed when what comes next does not fit.
fn filled(capacity: usize, lengths: &[usize]) -> Vec<Batch> {
    let (mut builder, mut batches) = (BatchBuilder::new(capacity), Vec::new());
    for len in lengths {
        if !builder.fits(*len) && !builder.is_empty() {
            batches.push(builder.seal_before(*len));
        }
        let body = vec![b'x'; *len];
        builder.push(&origin("a"), RecordMeta::line(*len as i64, &body), &body);
    }
    batches.push(builder.seal());
    batches
}

fn stored(batch: &Batch, sequence: u64) -> Vec<u8> {
    let mut bytes = batch.stamp(sequence).to_vec();
    bytes.extend_from_slice(&batch.data()[HEADER_LEN..]);
    bytes
}

#[test]
fn golden_header() {
    let bytes = stored(&sample(), 0x0102);
    assert_eq!(&bytes[..8], b"RINGWARD");
    assert_eq!(&bytes[8..12], [1, 0, 64, 0]);
    assert_eq!(&bytes[24..32], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&bytes[32..36], [3, 0, 0, 0]);
    assert_eq!(&bytes[64..67], b"one");
}

#[test]
fn relocated_batch_reads_the_same() {
    let bytes = stored(&sample(), 99);
    let (sequence, batch) = Batch::parse(Bytes::from(bytes)).unwrap();
    assert_eq!(sequence, 99);
    assert!(batch.has_positions());
    let records: Vec<_> = batch.records().collect();
    assert_eq!(records[0].body, b"one");
    assert_eq!(records[0].position, 7);
    assert_eq!(records[2].origin, records[0].origin);
    assert_eq!(records[2].flags, Flags::CUT | Flags::PARTIAL);
    let fields: Vec<_> = records[1].fields().collect();
    assert_eq!(fields[0], (&b"seq"[..], FieldValue::Json(b"-5")));
    assert_eq!(fields[1], (&b"text"[..], FieldValue::Text(b"\xff\0")));
    let decoded = Origin::decode(batch.origin_bytes(records[1].origin)).unwrap();
    assert_eq!(&decoded, origin("b").origin());
    assert_eq!(decoded.attributes[0].0, "container", "attributes are sorted");
}

#[test]
fn truncation_at_every_byte_is_found() {
    let bytes = stored(&sample(), 1);
    for len in 0..bytes.len() {
        let error = Batch::parse(Bytes::copy_from_slice(&bytes[..len])).unwrap_err();
        assert!(error.is_truncation(), "{len}: {error}");
    }
}

#[test]
fn every_bit_flip_is_found() {
    let bytes = stored(&sample(), 1);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Batch::parse(Bytes::from(damaged)).is_err(), "bit {bit}");
    }
}

#[test]
fn small_batches_give_back_their_slack() {
    let mut builder = BatchBuilder::new(1 << 20);
    builder.push(&origin("a"), RecordMeta::line(0, b"x"), b"x");
    assert!(builder.seal().capacity() < 4096);
    assert!(builder.is_empty());
}

proptest! {
    #[test]
    fn round_trip(bodies in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..300), any::<i64>(), 0..4u8), 0..50)) {
        let origins: Vec<_> = ["a", "b", "c", "d"].into_iter().map(origin).collect();
        let mut builder = BatchBuilder::new(4096);
        for (body, time, index) in &bodies {
            builder.push(&origins[usize::from(*index)], RecordMeta::line(*time, body), body);
        }
        let (_, batch) = Batch::parse(Bytes::from(stored(&builder.seal(), 5))).unwrap();
        prop_assert_eq!(batch.record_count() as usize, bodies.len());
        for (record, (body, time, index)) in batch.records().zip(&bodies) {
            prop_assert_eq!(record.body, &body[..]);
            prop_assert_eq!(record.time_ns, *time);
            prop_assert_eq!(batch.origin_id(record.origin), origins[usize::from(*index)].id());
        }
    }

    #[test]
    fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), framed in any::<bool>()) {
        if framed && bytes.len() >= 20 {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&[1, 0, 64, 0]);
        }
        let _ = Batch::parse(Bytes::from(bytes.clone()));
        let _ = Origin::decode(&bytes);
    }
}

proptest! {
    /// A batch that had to move to another block would be copied, and its block would have a part that nobody accounts.
    #[test]
    fn batches_that_are_sealed_in_time_fill_blocks_of_one_size(lengths in proptest::collection::vec(0..800usize, 1..200)) {
        let batches = filled(4096, &lengths);
        let kept: Vec<_> = batches.iter().flat_map(Batch::records).map(|record| record.body.len()).collect();
        prop_assert_eq!(kept, lengths);
        let mut block = 0;
        for batch in &batches {
            block += batch.capacity();
            prop_assert!(block <= 4096);
            let ends_block = batch.capacity() > batch.byte_len();
            prop_assert!(!ends_block || block == 4096);
            block = if ends_block { 0 } else { block };
        }
    }

    #[test]
    fn some_records_and_positions_are_those_of_the_records(lengths in proptest::collection::vec(0..50usize, 1..40), cut: (prop::sample::Index, prop::sample::Index)) {
        let mut builder = BatchBuilder::new(1 << 16);
        for (number, len) in lengths.iter().enumerate() {
            let body = vec![b'x'; *len];
            let meta = RecordMeta { position: number as u64 * 7, ..RecordMeta::line(number as i64 - 3, &body) };
            builder.push(&origin(if len % 3 == 0 { "a" } else { "b" }), meta, &body);
        }
        let batch = builder.seal();
        let (a, b) = (cut.0.index(lengths.len() + 1) as u32, cut.1.index(lengths.len() + 1) as u32);
        let range = a.min(b)..a.max(b);
        let each: Vec<_> = range.clone().map(|index| batch.record(index)).collect();
        let some: Vec<_> = batch.records_in(range).collect();
        let shown = |records: &[Record<'_>]| records.iter().map(|r| (r.time_ns, r.position, r.origin, r.body.to_vec())).collect::<Vec<_>>();
        prop_assert_eq!(shown(&each), shown(&some));
        let first: Vec<_> = batch.records().take(a as usize).map(|record| (record.origin, record.position)).collect();
        prop_assert_eq!(first, batch.positions(a).collect::<Vec<_>>());
        prop_assert_eq!(batch.first_time_ns(), -3);
        prop_assert_eq!(batch.last_time_ns(), lengths.len() as i64 - 4);
    }
}
