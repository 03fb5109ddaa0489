//! The spill against a model, damage and full disks. Kill -9 is in tests/spill_crash.rs.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::entry::entry_len;
use crate::ring::folder;

fn batch(sequence: u64, size: usize) -> Arc<Batch> {
    let origin = OriginHandle::new(Origin::new(OriginKind::Service, "s"));
    let mut builder = BatchBuilder::new(64);
    let body = vec![b'a' + (sequence % 26) as u8; size];
    builder.push(&origin, RecordMeta::line(sequence as i64, &body), &body);
    Arc::new(builder.seal())
}

fn options(directory: &Path) -> SpillOptions {
    SpillOptions { sync_interval: Duration::from_millis(1), ..SpillOptions::new(directory, 64 << 20) }
}

fn open(directory: &Path) -> (Spill, SpillRecovery) {
    Spill::open(options(directory)).unwrap()
}

/// What a fetch gives when it is waited for.
fn fetch(spill: &Spill, from: u64) -> Option<(u64, Arc<Batch>)> {
    loop {
        match spill.fetch(from) {
            Fetched::Batch(sequence, batch) => return Some((sequence, batch)),
            Fetched::Nothing => return None,
            Fetched::Pending => std::thread::yield_now(),
        }
    }
}

/// Everything from `from` on, by fetching in order.
fn all(spill: &Spill, mut from: u64) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some((sequence, batch)) = fetch(spill, from) {
        assert_eq!(batch.record(0).body[0], b'a' + (sequence % 26) as u8, "never a changed batch");
        found.push(sequence);
        from = sequence + 1;
    }
    found
}

fn store(spill: &Spill, sequences: std::ops::Range<u64>, size: usize) {
    for sequence in sequences {
        assert!(spill.store(sequence, &batch(sequence, size), false), "{sequence} was refused");
    }
}

fn first_segment(directory: &Path) -> PathBuf {
    folder::path(directory, 1)
}

#[test]
fn what_was_stored_is_there_after_closing_and_what_was_acknowledged_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, recovery) = open(dir.path());
    assert_eq!(recovery, SpillRecovery::default());
    store(&spill, 5..50, 100);
    assert_eq!(all(&spill, 0), (5..50).collect::<Vec<_>>());
    spill.acknowledge(19);
    drop(spill);
    let (spill, recovery) = open(dir.path());
    assert_eq!((recovery.batches, recovery.records, recovery.last_sequence), (30, 30, 49));
    assert_eq!(all(&spill, 0), (20..50).collect::<Vec<_>>());
    assert_eq!(all(&spill, 40), (40..50).collect::<Vec<_>>());
    spill.acknowledge(49);
    drop(spill);
    assert_eq!(open(dir.path()).1.batches, 0);
}

#[test]
fn a_torn_last_batch_is_cut_off_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    store(&spill, 1..4, 10);
    drop(spill);
    let path = first_segment(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let last = entry_len(&batch(3, 10)) as usize;
    for cut in 1..=last {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let (spill, recovery) = open(dir.path());
        assert_eq!(all(&spill, 0), [1, 2], "{cut}");
        assert_eq!(recovery.torn_bytes as usize, last - cut);
    }
}

#[test]
fn damage_in_the_middle_loses_what_was_damaged_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    store(&spill, 1..6, 50);
    drop(spill);
    let path = first_segment(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let (header, len) = (segment::SEGMENT_HEADER_LEN, entry_len(&batch(1, 50)) as usize);
    for at in (header + len..header + 2 * len).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        let (spill, recovery) = open(dir.path());
        assert_eq!(all(&spill, 0), [1, 3, 4, 5], "{at}");
        assert_eq!(recovery.damaged_bytes as usize, len);
        assert_eq!(spill.take_loss().unwrap().records, 1, "exactly what was in the damage");
    }
}

#[test]
fn damage_while_it_is_open_is_left_out_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    store(&spill, 1..6, 50);
    spill.sync();
    let path = first_segment(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let (header, len) = (segment::SEGMENT_HEADER_LEN, entry_len(&batch(1, 50)) as usize);
    bytes[header + len + 100] ^= 1;
    bytes[header + 4 * len + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(all(&spill, 0), [1, 3, 4]);
    let loss = spill.take_loss().unwrap();
    assert_eq!((loss.records, loss.bytes as usize, loss.from_ns, loss.to_ns), (2, 2 * len, 1, 5));
    store(&spill, 6..8, 50);
    spill.sync();
    assert_eq!(all(&spill, 5), [6, 7], "what comes after the damage is read");
}

#[test]
fn bytes_are_bounded_and_what_is_dropped_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let options = SpillOptions { max_bytes: 100_000, ..options(dir.path()) };
    let (spill, _) = Spill::open(options).unwrap();
    for sequence in 1..=200 {
        while !spill.store(sequence, &batch(sequence, 2000), false) {
            spill.sync();
        }
    }
    spill.sync();
    let on_disk: u64 =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= 100_000 + 4000, "{on_disk}");
    let left = all(&spill, 0);
    let lost = spill.take_loss().unwrap();
    assert_eq!(left.len() as u64 + lost.records, 200);
    assert_eq!(left.last(), Some(&200));
    assert!(left.is_sorted_by(|a, b| a + 1 == *b));
}

#[test]
fn a_full_disk_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "none"])
        .arg(&disk)
        .status();
    assert!(mounted.unwrap().success(), "tests run as root");
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![0; 200 << 10]).unwrap();
    let (spill, _) = Spill::open(options(&disk)).unwrap();
    // A reader stands in the segment that will be cut.
    store(&spill, 1..3, 5000);
    spill.sync();
    assert_eq!(fetch(&spill, 0).unwrap().0, 1);
    store(&spill, 3..21, 5000);
    while spill.counters().write_errors.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(all(&spill, 2), (2..=20).collect::<Vec<_>>());
    std::fs::remove_file(&filler).unwrap();
    spill.sync();
    assert_eq!(all(&spill, 0), (1..=20).collect::<Vec<_>>());
    drop(spill);
    let (spill, _) = Spill::open(options(&disk)).unwrap();
    assert_eq!(all(&spill, 0), (1..=20).collect::<Vec<_>>());
    drop(spill);
    std::process::Command::new("umount").arg(&disk).status().unwrap();
}

/// Whoever can write log lines can write a batch's stored form into one.
#[test]
fn a_log_line_that_looks_like_a_batch_is_never_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let forged = batch(0, 10);
    let origin = OriginHandle::new(Origin::new(OriginKind::Service, "s"));
    let mut builder = BatchBuilder::new(64);
    let mut body = vec![b'a' + 2];
    for sequence in [0, 3, u64::MAX] {
        body.extend_from_slice(&forged.stamp(sequence));
        body.extend_from_slice(&forged.data()[crate::record::HEADER_LEN..]);
    }
    builder.push(&origin, RecordMeta::line(2, &body), &body);
    let hostile = Arc::new(builder.seal());
    let (spill, _) = open(dir.path());
    store(&spill, 1..2, 10);
    assert!(spill.store(2, &hostile, false));
    store(&spill, 3..5, 10);
    drop(spill);
    let path = first_segment(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let hostile_at = segment::SEGMENT_HEADER_LEN + entry_len(&batch(1, 10)) as usize;
    // Damaged before the line, and torn within it.
    let mut damaged = bytes.clone();
    damaged[hostile_at + 20] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let (spill, recovery) = open(dir.path());
    assert_eq!((recovery.last_sequence, all(&spill, 0)), (4, vec![1, 3, 4]));
    assert_eq!(spill.take_loss().unwrap().records, 1);
    drop(spill);
    let end = hostile_at + entry_len(&hostile) as usize;
    for torn in [end - 1, end - 50] {
        std::fs::write(&path, &bytes[..torn]).unwrap();
        let (spill, recovery) = open(dir.path());
        assert_eq!((recovery.last_sequence, all(&spill, 0)), (1, vec![1]));
    }
}

#[test]
fn a_damaged_position_only_repeats() {
    for content in ["", "7", "18446744073709551615", "18446744073709551615 00000000", "3 \u{0}"] {
        let dir = tempfile::tempdir().unwrap();
        let (spill, _) = open(dir.path());
        store(&spill, 1..6, 10);
        drop(spill);
        std::fs::write(dir.path().join("acknowledged"), content).unwrap();
        let (spill, recovery) = open(dir.path());
        assert_eq!((recovery.last_sequence, all(&spill, 0)), (5, vec![1, 2, 3, 4, 5]), "{content:?}");
    }
}

#[test]
fn files_of_somebody_else_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = b"RWSPILL9 and what a later version wrote";
    std::fs::write(folder::path(dir.path(), 3), other).unwrap();
    std::fs::write(dir.path().join("7.seg"), "not ours").unwrap();
    std::fs::write(folder::path(dir.path(), 9), "torn").unwrap();
    let (spill, recovery) = open(dir.path());
    assert_eq!((recovery.unreadable_files, recovery.torn_bytes), (1, 4));
    store(&spill, 1..5, 10);
    assert_eq!(all(&spill, 0), [1, 2, 3, 4]);
    drop(spill);
    assert_eq!(std::fs::read(folder::path(dir.path(), 3).with_extension("unreadable")).unwrap(), other);
    assert!(dir.path().join("7.seg").exists());
}

/// A sync that fails after a write leaves the same batches in two segments when the machine dies at once.
#[test]
fn a_segment_ends_where_the_next_one_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    store(&spill, 1..8, 10);
    drop(spill);
    let whole = std::fs::read(first_segment(dir.path())).unwrap();
    let (spill, _) = open(dir.path());
    spill.acknowledge(7);
    drop(spill);
    let (spill, _) = open(dir.path());
    store(&spill, 5..10, 10);
    drop(spill);
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    std::fs::write(first_segment(dir.path()), whole).unwrap();
    let (spill, recovery) = open(dir.path());
    assert_eq!((recovery.batches, all(&spill, 0)), (9, (1..10).collect()));
}

#[test]
fn more_than_the_queue_holds_passes_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = Spill::open(SpillOptions { queue_bytes: 300_000, ..options(dir.path()) }).unwrap();
    for sequence in 1..=3000 {
        let batch = batch(sequence, 2000);
        while !spill.store(sequence, &batch, false) {
            // No sync: the writer makes room by itself.
            std::thread::yield_now();
        }
    }
    assert_eq!(all(&spill, 0), (1..=3000).collect::<Vec<_>>());
}

#[test]
fn what_is_acknowledged_is_not_waited_for_and_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    std::thread::scope(|scope| {
        scope.spawn(|| (1..400).for_each(|_| spill.sync()));
        for sequence in 1..2000 {
            spill.store(sequence, &batch(sequence, 100), false);
            spill.acknowledge(sequence);
        }
    });
    assert_eq!(all(&spill, 0), [0u64; 0]);
    let has_segments = || {
        let mut files = std::fs::read_dir(dir.path()).unwrap();
        files.any(|entry| entry.unwrap().path().extension().is_some_and(|extension| extension == "seg"))
    };
    while has_segments() {
        std::thread::yield_now();
    }
}

#[test]
fn a_segment_that_vanishes_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let small = SpillOptions { segment_bytes: 2000, ..options(dir.path()) };
    let (spill, _) = Spill::open(small).unwrap();
    store(&spill, 1..101, 100);
    spill.sync();
    std::fs::remove_file(first_segment(dir.path())).unwrap();
    let left = all(&spill, 0);
    assert_eq!(left.len() as u64 + spill.take_loss().unwrap().records, 100);
    assert_eq!(left.last(), Some(&100));
}

#[test]
fn whoever_waits_is_told_when_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    store(&spill, 1..3, 100);
    drop(spill);
    let (spill, _) = open(dir.path());
    let (ready, is_ready) = std::sync::mpsc::channel();
    spill.on_ready(Box::new(move || ready.send(()).unwrap_or_default()));
    assert!(matches!(spill.fetch(0), Fetched::Pending));
    is_ready.recv().unwrap();
    assert!(matches!(spill.fetch(0), Fetched::Batch(1, _)));
}

#[derive(Clone, Debug)]
enum Step {
    Store(u8),
    Fetch(u8),
    Acknowledge(u8),
    Sync,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6u8).prop_map(Step::Store),
        3 => any::<u8>().prop_map(Step::Fetch),
        2 => any::<u8>().prop_map(Step::Acknowledge),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_like_a_map(steps in proptest::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let small = || SpillOptions { segment_bytes: 2000, ..options(dir.path()) };
        let mut spill = Spill::open(small()).unwrap().0;
        let (mut model, mut next) = (BTreeMap::new(), 1u64);
        for step in steps {
            match step {
                Step::Store(count) => for _ in 0..count {
                    prop_assert!(spill.store(next, &batch(next, 40), false));
                    model.insert(next, ());
                    next += 1;
                },
                Step::Fetch(part) => {
                    let from = next * u64::from(part) / 256;
                    let found = fetch(&spill, from).map(|(sequence, _)| sequence);
                    prop_assert_eq!(found, model.range(from..).next().map(|(sequence, ())| *sequence));
                }
                Step::Acknowledge(part) => {
                    let upto = next * u64::from(part) / 256;
                    spill.acknowledge(upto);
                    model.retain(|sequence, ()| *sequence > upto);
                    // What is stored later has later sequences.
                    next = next.max(upto + 1);
                }
                Step::Sync => spill.sync(),
                Step::Reopen => {
                    drop(spill);
                    spill = Spill::open(small()).unwrap().0;
                }
            }
        }
        prop_assert_eq!(all(&spill, 0), model.keys().copied().collect::<Vec<_>>());
    }
}
