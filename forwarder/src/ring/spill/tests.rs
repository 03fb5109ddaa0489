//! The spill against a model, damage and full disks. Kill -9 is in tests/spill_crash.rs.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};

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

/// Everything from `from` on, by fetching in order.
fn all(spill: &Spill, mut from: u64) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some((sequence, batch)) = spill.fetch(from) {
        assert_eq!(batch.record(0).body[0], b'a' + (sequence % 26) as u8, "never a changed batch");
        found.push(sequence);
        from = sequence + 1;
    }
    found
}

#[test]
fn what_was_stored_is_there_after_closing_and_what_was_acknowledged_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, recovery) = open(dir.path());
    assert_eq!(recovery, SpillRecovery::default());
    for sequence in 5..50 {
        assert!(spill.store(sequence, &batch(sequence, 100)));
    }
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
    for sequence in 1..4 {
        spill.store(sequence, &batch(sequence, 10));
    }
    drop(spill);
    let path = dir.path().join(format!("{:020}.seg", 1));
    let bytes = std::fs::read(&path).unwrap();
    let last = batch(3, 10).byte_len();
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
    for sequence in 1..6 {
        spill.store(sequence, &batch(sequence, 50));
    }
    drop(spill);
    let path = dir.path().join(format!("{:020}.seg", 1));
    let bytes = std::fs::read(&path).unwrap();
    let len = batch(1, 50).byte_len();
    for at in (len..2 * len).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        let (spill, recovery) = open(dir.path());
        assert_eq!(all(&spill, 0), [1, 3, 4, 5], "{at}");
        assert_eq!(recovery.damaged_bytes as usize, len);
    }
}

#[test]
fn damage_while_it_is_open_is_left_out_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (spill, _) = open(dir.path());
    for sequence in 1..6 {
        spill.store(sequence, &batch(sequence, 50));
    }
    spill.sync();
    let path = dir.path().join(format!("{:020}.seg", 1));
    let mut bytes = std::fs::read(&path).unwrap();
    let len = batch(1, 50).byte_len();
    bytes[len + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(all(&spill, 0), [1, 3, 4, 5]);
    assert!(spill.take_loss().is_some());
}

#[test]
fn bytes_are_bounded_and_what_is_dropped_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let options = SpillOptions { max_bytes: 100_000, ..options(dir.path()) };
    let (spill, _) = Spill::open(options).unwrap();
    for sequence in 1..=200 {
        while !spill.store(sequence, &batch(sequence, 2000)) {
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
    let mounted =
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&disk).status();
    assert!(mounted.unwrap().success(), "tests run as root");
    let filler = disk.join("filler");
    std::fs::write(&filler, vec![0; 200 << 10]).unwrap();
    let (spill, _) = Spill::open(options(&disk)).unwrap();
    for sequence in 1..=20 {
        assert!(spill.store(sequence, &batch(sequence, 5000)));
    }
    while spill.counters().write_errors.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(all(&spill, 0), (1..=20).collect::<Vec<_>>());
    std::fs::remove_file(&filler).unwrap();
    spill.sync();
    drop(spill);
    let (spill, _) = Spill::open(options(&disk)).unwrap();
    assert_eq!(all(&spill, 0), (1..=20).collect::<Vec<_>>());
    drop(spill);
    std::process::Command::new("umount").arg(&disk).status().unwrap();
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
                    prop_assert!(spill.store(next, &batch(next, 40)));
                    model.insert(next, ());
                    next += 1;
                },
                Step::Fetch(part) => {
                    let from = next * u64::from(part) / 256;
                    let found = spill.fetch(from).map(|(sequence, _)| sequence);
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
