//! Readers that select, and kernel records whose times follow the clock.

use OriginKind::{Kernel, Service};

use super::*;

/// Records of the kernel and of a service, in the order of `kinds`, numbered from `first`.
fn mixed(first: u64, kinds: &[OriginKind]) -> Batch {
    let mut builder = BatchBuilder::new(64);
    for (number, kind) in (first..).zip(kinds) {
        let source = format!("boot:{kind:?}");
        let origin = OriginHandle::new(Origin { source, ..Origin::new(*kind, "x") });
        let body = number.to_string();
        let meta = RecordMeta { position: number + 1, ..RecordMeta::line(number as i64, body.as_bytes()) };
        builder.push(&origin, meta, body.as_bytes());
    }
    builder.seal()
}

fn selecting(selection: Selection) -> ReaderOptions {
    ReaderOptions { selection, ..ReaderOptions::new("r") }
}

/// A reader whose checkpoint can be looked at.
fn noted(options: ReaderOptions, ring: &Arc<Ring>) -> (Cursor, Arc<Mutex<Checkpoint>>) {
    let seen = Arc::new(Mutex::new(Checkpoint::new()));
    let sink = Arc::clone(&seen);
    let on_checkpoint = move |source: &str, position| {
        let mut seen = sink.lock().unwrap();
        let before = seen.insert(source.into(), position);
        assert!(before.is_none_or(|before| before <= position), "{source} goes back");
    };
    (ring.reader(ReaderOptions { on_checkpoint: Some(Box::new(on_checkpoint)), ..options }), seen)
}

#[test]
fn a_reader_gets_what_it_selects_and_lags_behind_nothing_else() {
    let ring = Ring::new(limits(100), 1);
    let mut kernel = ring.reader(selecting(Selection::Kernel));
    let mut services = ring.reader(selecting(Selection::Services));
    let mut all = ring.reader(selecting(Selection::All));
    ring.append(mixed(0, &[Kernel, Kernel]));
    ring.append(mixed(2, &[Service, OriginKind::Ringward]));
    ring.append(mixed(4, &[Kernel, Service, Kernel]));
    assert_eq!([&kernel, &services, &all].map(|cursor| cursor.lag().records), [4, 3, 7]);
    assert_eq!(drain(&mut kernel).0, [0, 1, 4, 6]);
    assert_eq!(drain(&mut services).0, [2, 3, 5]);
    assert_eq!(drain(&mut all).0, (0..7).collect::<Vec<_>>());
    ring.append(mixed(7, &[Service]));
    assert_eq!((kernel.lag(), services.lag().records), (Lag::default(), 1));
    ring.close();
    assert!(!kernel.is_closed_and_drained());
    assert!(kernel.try_next().is_none() && kernel.is_closed_and_drained());
}

#[test]
fn only_what_was_selected_is_lost_or_spilled_and_its_reader_is_told_so() {
    let ring = Ring::new(limits(2), 1);
    let mut kernel = ring.reader(selecting(Selection::Kernel));
    let memory = Arc::new(Memory::default());
    let overflow = Some(Arc::clone(&memory) as Arc<dyn Overflow>);
    let mut spilling = ring.reader(ReaderOptions { overflow, ..selecting(Selection::Kernel) });
    for n in 0..10 {
        ring.append(mixed(4 * n, &[Service, Service]));
        ring.append(mixed(4 * n + 2, &[Kernel, Service]));
    }
    assert_eq!(drain(&mut kernel), (vec![38], 9));
    assert!(memory.0.lock().unwrap().values().all(|batch| batch.record_count() == 1));
    assert_eq!(drain(&mut spilling), ((0..10).map(|n| 4 * n + 2).collect(), 0));
}

#[test]
fn what_is_passed_over_is_acknowledged_after_what_was_given_before_it() {
    let ring = Ring::new(limits(100), 1);
    let (mut cursor, seen) = noted(selecting(Selection::Kernel), &ring);
    let position = |kind: &str| seen.lock().unwrap().get(&format!("boot:{kind}")).copied();
    ring.append(mixed(0, &[Service]));
    assert!(cursor.try_next().is_none());
    assert_eq!(position("Service"), Some(1));
    ring.append(mixed(1, &[Kernel, Service, Kernel]));
    ring.append(mixed(4, &[Service]));
    ring.append(mixed(5, &[Kernel]));
    let first = cursor.try_next().unwrap();
    let second = cursor.try_next().unwrap();
    assert_eq!((first.batch.record_count(), first.sequence, second.sequence), (2, 2, 4));
    cursor.acknowledge(&first, 1);
    assert_eq!((position("Kernel"), position("Service")), (Some(2), Some(1)));
    cursor.acknowledge(&first, 2);
    assert_eq!((position("Kernel"), position("Service")), (Some(4), Some(5)));
    // All that is left for the overflow is what was given last.
    assert_eq!(ring.lock().readers.values().next().unwrap().acknowledged_below, 4);
    cursor.acknowledge(&second, 1);
    assert_eq!(position("Kernel"), Some(6));
}

/// What was seen in an earlier run is passed over, too: what is in flight before it is still to be kept.
#[test]
fn what_was_seen_before_acknowledges_nothing_that_is_in_flight() {
    let ring = Ring::new(limits(1), 1);
    let memory = Arc::new(Memory::default());
    let overflow = Some(Arc::clone(&memory) as Arc<dyn Overflow>);
    let resume = Checkpoint::from([("boot:Kernel".to_owned(), 100)]);
    let mut cursor = ring.reader(ReaderOptions { overflow, resume, ..ReaderOptions::new("r") });
    ring.append(mixed(0, &[Service]));
    let in_flight = cursor.try_next().unwrap();
    ring.append(mixed(1, &[Kernel]));
    assert!(cursor.try_next().is_none());
    ring.append(mixed(2, &[Kernel]));
    assert!(memory.0.lock().unwrap().contains_key(&in_flight.sequence));
    drop(in_flight);
    assert_eq!(cursor.persist(), Persisted::Kept { refused: 0 });
    assert!(memory.0.lock().unwrap().contains_key(&1));
}

#[test]
fn the_next_run_gets_the_report_of_what_was_lost_whatever_it_selects() {
    let memory = Arc::new(Memory::default());
    let options =
        || ReaderOptions { overflow: Some(Arc::clone(&memory) as Arc<dyn Overflow>), ..selecting(Selection::Kernel) };
    let ring = Ring::new(limits(100), 1);
    let cursor = ring.reader(options());
    ring.append(mixed(0, &[Kernel, Service]));
    ring.lock().readers.values_mut().next().unwrap().loss.records = 7;
    assert_eq!(cursor.persist(), Persisted::Kept { refused: 0 });
    let ring = Ring::new(limits(100), 10);
    let mut cursor = ring.reader(options());
    assert_eq!(drain(&mut cursor), (vec![0], 7));
}

#[test]
fn kernel_records_that_wait_while_the_clock_is_set_get_its_time() {
    let ring = Ring::new(limits(9), 1);
    let memory = Arc::new(Memory::default());
    let overflow = Some(Arc::clone(&memory) as Arc<dyn Overflow>);
    let mut early = ring.reader(ReaderOptions::new("early"));
    let mut spilling = ring.reader(ReaderOptions { overflow, ..ReaderOptions::new("spilling") });
    let kept = Arc::new(Memory::default());
    let overflow = Some(Arc::clone(&kept) as Arc<dyn Overflow>);
    let persisting = ring.reader(ReaderOptions { overflow, ..ReaderOptions::new("persisting") });
    let times = |cursor: &mut Cursor| {
        let mut times = Vec::new();
        while let Some(found) = cursor.try_next() {
            times.extend(found.batch.records().map(|record| record.time_ns));
            assert!(found.batch.has_positions());
        }
        times
    };
    ring.append(mixed(0, &[Kernel, Service, Kernel]));
    assert_eq!(times(&mut early), [0, 1, 2]);
    ring.correct_kernel_times(1_000);
    ring.append(mixed(3, &[Kernel]));
    ring.correct_kernel_times(-100);
    ring.append(mixed(4, &[Service, Kernel, Kernel, Kernel, Kernel, Kernel, Kernel, Kernel]));
    assert!(memory.0.lock().unwrap().contains_key(&1), "the first one has gone to the spill");
    let rest = [4, 5, 6, 7, 8, 9, 10, 11];
    assert_eq!(times(&mut early), [&[3 - 100][..], &rest].concat());
    assert_eq!(times(&mut spilling), [&[900, 1, 902, 3 - 100][..], &rest].concat());
    // What is kept for the next run has them, too.
    persisting.persist();
    let kept: Vec<i64> = kept.0.lock().unwrap().values().map(|batch| batch.record(0).time_ns).collect();
    assert_eq!(kept, [0, 3 - 100, 4], "the first one had gone before");
}

proptest! {
    /// Two readers that share everything out get all of it, each in order; the checkpoints of both reach the end.
    #[test]
    fn what_one_leaves_out_the_other_gets(
        batches in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 1..5), 1..20),
        held in 0..6usize,
    ) {
        let ring = Ring::new(limits(1000), 1);
        let mut got = Vec::new();
        let readers = [Selection::Kernel, Selection::Services].map(|selection| noted(selecting(selection), &ring));
        let mut next = 0;
        for kinds in &batches {
            let kinds: Vec<_> = kinds.iter().map(|kernel| if *kernel { Kernel } else { Service }).collect();
            ring.append(mixed(next, &kinds));
            next += kinds.len() as u64;
        }
        let mut checkpoints = Vec::new();
        for (mut cursor, seen) in readers {
            let mut in_flight = std::collections::VecDeque::new();
            while let Some(found) = cursor.try_next() {
                let numbers = found.batch.records().map(|one| std::str::from_utf8(one.body).unwrap().parse().unwrap());
                let numbers: Vec<u64> = numbers.collect();
                got.extend(numbers);
                in_flight.push_back(found);
                if in_flight.len() > held {
                    let done = in_flight.pop_front().unwrap();
                    cursor.acknowledge(&done, done.batch.record_count());
                }
            }
            while let Some(done) = in_flight.pop_front() {
                cursor.acknowledge(&done, done.batch.record_count());
            }
            checkpoints.push(seen.lock().unwrap().clone());
            prop_assert_eq!(ring.lock().readers.values().map(|reader| reader.acknowledged_below).max(), Some(batches.len() as u64 + 1));
        }
        prop_assert_eq!(&checkpoints[0], &checkpoints[1]);
        got.sort_unstable();
        prop_assert_eq!(got, (0..next).collect::<Vec<_>>());
    }
}
