//! The ring against a model: what each reader gets, and what it is told that it lost.

mod selection;

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::record::{BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta};

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    let origin = OriginHandle::new(Origin { source: "boot:x".into(), ..Origin::new(OriginKind::Kernel, "kernel") });
    let mut builder = BatchBuilder::new(64);
    for number in numbers {
        let body = number.to_string();
        let meta = RecordMeta { position: number + 1, ..RecordMeta::line(number as i64, body.as_bytes()) };
        builder.push(&origin, meta, body.as_bytes());
    }
    builder.seal()
}

fn limits(records: u64) -> RingLimits {
    RingLimits { bytes: usize::MAX, records }
}

/// Numbers that a reader gets now, and the records that it is told were lost.
fn drain(cursor: &mut Cursor) -> (Vec<u64>, u64) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    while let Some(found) = cursor.try_next() {
        for record in found.batch.records() {
            let text = std::str::from_utf8(record.body).unwrap();
            if record.flags.contains(Flags::LOSS) {
                lost += text.split(' ').next().unwrap().parse::<u64>().unwrap();
            } else {
                numbers.push(text.parse().unwrap());
            }
        }
        cursor.acknowledge(&found, found.batch.record_count());
    }
    (numbers, lost)
}

#[test]
fn the_records_bound_is_exact() {
    let ring = Ring::new(limits(5), 1);
    ring.append(batch(0..4));
    ring.append(batch(4..7));
    let mut cursor = ring.reader(ReaderOptions::new("r"));
    assert_eq!(drain(&mut cursor), (vec![2, 3, 4, 5, 6], 0));
}

#[test]
fn what_everyone_has_taken_is_known() {
    let ring = Ring::new(limits(4), 1);
    assert_eq!(ring.acknowledged_below(), 1, "nobody reads");
    let mut fast = ring.reader(ReaderOptions::new("fast"));
    let slow = ring.reader(ReaderOptions::new("slow"));
    let _view = ring.reader(ReaderOptions { sets_pace: false, ..ReaderOptions::new("view") });
    ring.append(batch(0..2));
    ring.append(batch(2..4));
    let first = fast.try_next().unwrap();
    assert_eq!(ring.acknowledged_below(), 1);
    fast.acknowledge(&first, 2);
    assert_eq!(ring.acknowledged_below(), 1, "the slow one has not");
    ring.append(batch(4..6));
    assert_eq!(ring.acknowledged_below(), 2, "what the ring let go can't be taken any more");
    drop(slow);
    assert_eq!(ring.acknowledged_below(), 2);
    drain(&mut fast);
    assert_eq!(ring.acknowledged_below(), 4);
}

#[test]
fn a_slow_reader_is_told_what_it_lost_and_others_are_not() {
    let ring = Ring::new(limits(4), 1);
    let mut slow = ring.reader(ReaderOptions::new("slow"));
    let mut fast = ring.reader(ReaderOptions::new("fast"));
    for n in 0..5 {
        ring.append(batch(n * 2..n * 2 + 2));
        assert_eq!(drain(&mut fast), (vec![n * 2, n * 2 + 1], 0));
    }
    assert_eq!(drain(&mut slow), (vec![6, 7, 8, 9], 6));
    ring.append(batch(10..11));
    assert_eq!(drain(&mut slow), (vec![10], 0));
}

#[test]
fn bytes_are_bounded_and_one_batch_always_fits() {
    let ring = Ring::new(RingLimits { bytes: 1, records: u64::MAX }, 1);
    ring.append(batch(0..1));
    ring.append(batch(1..2));
    assert_eq!(ring.held().batches, 1);
}

#[test]
fn acknowledged_positions_are_reported_and_resumed() {
    let seen = Arc::new(Mutex::new(Checkpoint::new()));
    let ring = Ring::new(limits(100), 1);
    let sink = Arc::clone(&seen);
    let mut cursor = ring.reader(ReaderOptions {
        on_checkpoint: Some(Box::new(move |source, position| {
            sink.lock().unwrap().insert(source.into(), position);
        })),
        ..ReaderOptions::new("r")
    });
    ring.append(batch(0..10));
    let found = cursor.try_next().unwrap();
    cursor.acknowledge(&found, 4);
    drop(cursor);
    let resume = seen.lock().unwrap().clone();
    assert_eq!(resume, Checkpoint::from([("boot:x".to_owned(), 4)]));
    let mut again = ring.reader(ReaderOptions { resume, ..ReaderOptions::new("r") });
    assert_eq!(drain(&mut again).0, (4..10).collect::<Vec<_>>());
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<u64, Arc<Batch>>>);

impl Overflow for Memory {
    fn store(&self, sequence: u64, batch: &Arc<Batch>, _: bool) -> bool {
        self.0.lock().unwrap().insert(sequence, Arc::clone(batch));
        true
    }

    fn store_last(&self, sequence: u64, batch: &Arc<Batch>, is_read: bool) -> bool {
        self.store(sequence, batch, is_read)
    }

    fn fetch(&self, from: u64) -> Fetched {
        let stored = self.0.lock().unwrap();
        let found = stored.range(from..).next();
        found.map_or(Fetched::Nothing, |(sequence, batch)| Fetched::Batch(*sequence, Arc::clone(batch)))
    }

    fn on_ready(&self, _: OnReady) {}

    fn safe_below(&self) -> u64 {
        u64::MAX
    }

    fn acknowledge(&self, sequence: u64) {
        self.0.lock().unwrap().retain(|stored, _| *stored > sequence);
    }

    fn take_loss(&self) -> Option<Loss> {
        None
    }
}

#[test]
fn what_an_earlier_run_left_comes_first_and_is_not_read_twice() {
    let left = Arc::new(Memory::default());
    let ring = Ring::new(limits(100), 1);
    let options = |overflow: &Arc<Memory>| ReaderOptions {
        overflow: Some(Arc::clone(overflow) as Arc<dyn Overflow>),
        ..ReaderOptions::new("r")
    };
    let cursor = ring.reader(options(&left));
    ring.append(batch(0..6));
    assert_eq!(cursor.persist(), Persisted::Kept { refused: 0 });
    // The next run reads its source from the start again.
    let ring = Ring::new(limits(100), 2);
    let mut cursor = ring.reader(options(&left));
    ring.append(batch(0..9));
    assert_eq!(drain(&mut cursor), ((0..9).collect(), 0));
    assert!(left.0.lock().unwrap().is_empty());
}

#[test]
fn a_loss_that_was_not_reported_before_the_end_is_reported_after_it() {
    #[derive(Default)]
    struct Full(Memory);

    impl Overflow for Full {
        fn store(&self, _: u64, _: &Arc<Batch>, _: bool) -> bool {
            false
        }

        fn store_last(&self, sequence: u64, batch: &Arc<Batch>, is_read: bool) -> bool {
            self.0.store_last(sequence, batch, is_read)
        }

        fn fetch(&self, from: u64) -> Fetched {
            self.0.fetch(from)
        }

        fn acknowledge(&self, sequence: u64) {
            self.0.acknowledge(sequence);
        }

        fn take_loss(&self) -> Option<Loss> {
            None
        }

        fn on_ready(&self, _: OnReady) {}

        fn safe_below(&self) -> u64 {
            u64::MAX
        }
    }

    let overflow = Arc::new(Full::default());
    let options =
        || ReaderOptions { overflow: Some(Arc::clone(&overflow) as Arc<dyn Overflow>), ..ReaderOptions::new("r") };
    let ring = Ring::new(limits(4), 1);
    let cursor = ring.reader(options());
    for n in 0..5 {
        ring.append(batch(n * 2..n * 2 + 2));
    }
    assert_eq!(cursor.persist(), Persisted::Kept { refused: 0 });
    let ring = Ring::new(limits(4), ring.next_sequence() + 1);
    assert_eq!(drain(&mut ring.reader(options())), (vec![6, 7, 8, 9], 6));
}

#[test]
fn a_reader_that_ends_leaves_the_others_alone() {
    let ring = Ring::new(limits(100), 1);
    let (ending, mut going_on) = (ring.reader(ReaderOptions::new("a")), ring.reader(ReaderOptions::new("b")));
    ring.append(batch(0..2));
    assert_eq!(ending.persist(), Persisted::Nowhere { unreported: 0 });
    for n in 1..5 {
        ring.append(batch(n * 2..n * 2 + 2));
    }
    assert_eq!(drain(&mut going_on), ((0..10).collect(), 0));
    ring.close();
    assert!(going_on.is_closed_and_drained());
}

#[test]
fn a_report_that_is_lost_counts_as_what_it_reports() {
    let origin = OriginHandle::new(Origin::new(OriginKind::Container, "c"));
    let mut builder = BatchBuilder::new(64);
    builder.push(&origin, RecordMeta::line(1, b"x"), b"x");
    builder.push_loss(&origin, crate::record::Lost::Bytes(4711), "somewhere", 2, 3);
    builder.push_loss(&origin, crate::record::Lost::Records(40), "somewhere", 2, 3);
    let mut loss = Loss::default();
    loss.add(&builder.seal());
    assert_eq!((loss.records, loss.reported_bytes), (41, 4711));
    assert_eq!(loss.report("r").record_count(), 2);
}

#[tokio::test]
async fn a_source_that_can_pause_waits_for_the_fastest_reader() {
    let first = batch(0..1);
    let ring = Ring::new(RingLimits { bytes: 8 * first.capacity(), records: u64::MAX }, 1);
    ring.room().await;
    let _never_moves = ring.reader(ReaderOptions::new("down"));
    let mut fast = ring.reader(ReaderOptions::new("fast"));
    for n in 0..4 {
        assert!(ring.has_room(), "after {n} batches");
        ring.append(batch(n..n + 1));
    }
    let waiting = tokio::spawn({
        let ring = Arc::clone(&ring);
        async move { ring.room().await }
    });
    tokio::task::yield_now().await;
    assert!(!ring.has_room() && !waiting.is_finished());
    assert!(fast.try_next().is_some());
    waiting.await.unwrap();
    fast.try_next().unwrap();
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_append_and_by_close() {
    let ring = Ring::new(limits(10), 1);
    let mut cursor = ring.reader(ReaderOptions::new("r"));
    let other = Arc::clone(&ring);
    let writer = std::thread::spawn(move || {
        for n in 0..100 {
            other.append(batch(n..n + 1));
        }
        other.close();
    });
    let mut total = 0;
    while let Some(found) = cursor.next().await {
        let record = found.batch.record(0);
        total += if record.flags.contains(Flags::LOSS) {
            std::str::from_utf8(record.body).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
        } else {
            u64::from(found.batch.record_count())
        };
    }
    writer.join().unwrap();
    assert_eq!(total, 100);
}

proptest! {
    /// Whatever is appended and read in whatever order: everything is delivered once, in order, or counted.
    #[test]
    fn delivered_and_lost_add_up(
        steps in proptest::collection::vec((1..6u64, any::<bool>(), any::<bool>()), 1..60),
        bound in 1..20u64,
        spilled in any::<bool>(),
    ) {
        let ring = Ring::new(limits(bound), 1);
        let overflow = spilled.then(|| Arc::new(Memory::default()) as Arc<dyn Overflow>);
        let mut cursor = ring.reader(ReaderOptions { overflow, ..ReaderOptions::new("a") });
        let (mut written, mut got, mut lost) = (0, Vec::new(), 0);
        for (count, read, _) in &steps {
            ring.append(batch(written..written + count));
            written += count;
            if *read {
                let (numbers, gone) = drain(&mut cursor);
                got.extend(numbers);
                lost += gone;
            }
        }
        let (numbers, gone) = drain(&mut cursor);
        got.extend(numbers);
        lost += gone;
        prop_assert!(got.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(got.len() as u64 + lost, written);
        prop_assert!(!spilled || lost == 0);
    }
}

#[test]
fn who_only_looks_sets_no_pace() {
    let ring = Ring::new(RingLimits { bytes: 1 << 20, records: u64::MAX }, 1);
    let _destination = ring.reader(ReaderOptions::new("destination"));
    let mut view = ring.reader(ReaderOptions { sets_pace: false, ..ReaderOptions::new("view") });
    let mut builder = BatchBuilder::new(600 << 10);
    let body = vec![b'x'; 600 << 10];
    let origin = OriginHandle::new(Origin::new(OriginKind::Service, "s"));
    builder.push(&origin, RecordMeta::line(0, &body), &body);
    ring.append(builder.seal());
    assert!(view.try_next().is_some());
    assert!(!ring.has_room());
    assert_eq!(ring.fastest_reader().map(|fastest| fastest.next_sequence), Some(1));
}
