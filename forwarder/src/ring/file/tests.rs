//! The ring in files against what was appended: whatever is torn, damaged or missing, what is left comes in order, once,
//! and what is gone is counted exactly.

use std::fs;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::record::{BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::spill::{Spill, SpillOptions};
use crate::ring::{Cursor, Persisted, ReaderOptions, Ring, RingLimits};

const LIMITS: RingLimits = RingLimits { bytes: 1 << 20, records: u64::MAX };

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

/// A lock that was let go may be held for a moment by a child of another test that has not become its program yet.
fn opened(folder: &Path) -> (RingFile, Recovered) {
    let begun = Instant::now();
    loop {
        match RingFile::open(folder, LIMITS.bytes) {
            Err(RingFileError::Locked { .. }) if begun.elapsed() < Duration::from_secs(60) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn open(folder: &Path, limits: RingLimits) -> Arc<Ring> {
    let (file, recovered) = opened(folder);
    Ring::with_file(limits, 1, file, recovered)
}

/// Where a reader is, as a checkpoint would have it.
type Saved = Arc<Mutex<Option<RingPosition>>>;

fn reader(ring: &Arc<Ring>, saved: &Saved) -> Cursor {
    let sink = Arc::clone(saved);
    ring.reader(ReaderOptions {
        position: *saved.lock().unwrap(),
        on_position: Some(Box::new(move |position| *sink.lock().unwrap() = Some(position))),
        ..ReaderOptions::new("r")
    })
}

/// Numbers that a reader gets now, and the records that it is told were lost; `done`: how many of each batch it finishes.
fn read(cursor: &mut Cursor, done: impl Fn(u32) -> u32) -> (Vec<u64>, u64) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    while let Some(found) = cursor.try_next() {
        let count = found.batch.record_count();
        let done = done(count);
        for record in found.batch.records().take(done as usize) {
            let text = std::str::from_utf8(record.body).unwrap();
            if record.flags.contains(Flags::LOSS) {
                lost += text.split(' ').next().unwrap().parse::<u64>().unwrap();
            } else {
                numbers.push(text.parse().unwrap());
            }
        }
        cursor.acknowledge(&found, done);
        if done < count {
            break;
        }
    }
    (numbers, lost)
}

fn all(cursor: &mut Cursor) -> (Vec<u64>, u64) {
    read(cursor, |count| count)
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    crate::ring::folder::segment_files(folder).unwrap().into_iter().map(|(_, path)| path).collect()
}

#[test]
fn the_next_run_goes_on_within_a_batch_and_with_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let saved = Saved::default();
    {
        let ring = open(folder.path(), LIMITS);
        let mut cursor = reader(&ring, &saved);
        ring.append(batch(0..10));
        ring.append(batch(10..20));
        assert_eq!(read(&mut cursor, |_| 4), ((0..4).collect(), 0));
    }
    for (from, to) in [(4, 30), (30, 40)] {
        let ring = open(folder.path(), LIMITS);
        let mut cursor = reader(&ring, &saved);
        assert_eq!(ring.next_sequence(), from.max(20) / 10 + 1);
        ring.append(batch(to - 10..to));
        assert_eq!(all(&mut cursor), ((from..to).collect(), 0));
        // Who comes without a position gets everything that is there.
        assert_eq!(all(&mut ring.reader(ReaderOptions::new("view"))), ((0..to).collect(), 0));
    }
}

#[test]
fn what_the_ring_let_go_of_is_deleted_and_a_reader_is_told_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let saved = Saved::default();
    let limits = RingLimits { bytes: 1 << 20, records: 1000 };
    {
        let ring = open(folder.path(), limits);
        let mut cursor = reader(&ring, &saved);
        ring.append(batch(0..10));
        assert_eq!(all(&mut cursor).0.len(), 10);
        for n in 1..2000 {
            ring.append(batch(n * 10..n * 10 + 10));
        }
    }
    assert!(segments(folder.path()).len() < 5, "{:?}", segments(folder.path()));
    let ring = open(folder.path(), limits);
    let mut cursor = reader(&ring, &saved);
    ring.settle();
    let (numbers, lost) = all(&mut cursor);
    assert_eq!(numbers, (20_000 - numbers.len() as u64..20_000).collect::<Vec<_>>());
    assert_eq!(lost + numbers.len() as u64, 20_000 - 10);
    assert_eq!(numbers.len(), 1000);
    // It was told once.
    drop((cursor, ring));
    let ring = open(folder.path(), limits);
    assert_eq!(all(&mut reader(&ring, &saved)), (Vec::new(), 0));
}

#[test]
fn sources_go_on_after_what_is_there_unless_something_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let saved = Saved::default();
    let ring = open(folder.path(), LIMITS);
    let mut cursor = reader(&ring, &saved);
    for n in 0..5 {
        ring.append(batch(n * 10..n * 10 + 10));
    }
    read(&mut cursor, |_| 3);
    drop((cursor, ring));
    let position = saved.lock().unwrap().unwrap();
    let recovered = opened(folder.path()).1;
    let source = |positions: crate::ring::Checkpoint| positions.get("boot:x").copied();
    assert_eq!(source(recovered.continued([(Some(&position), false)].into_iter())), Some(50));
    // One that is new, or of another ring, may want what the ring has let go of.
    assert_eq!(source(recovered.continued([(Some(&position), false), (None, false)].into_iter())), None);
    let other = RingPosition { ring: !position.ring, ..position };
    assert_eq!(source(recovered.continued([(Some(&other), true)].into_iter())), None);
    // A reader that is further than the files says that something is missing in them.
    let mut recovered = recovered;
    recovered.raise(&RingPosition { records: 60, ..position });
    assert_eq!(source(recovered.continued([(Some(&position), false)].into_iter())), None);
}

#[test]
fn a_second_daemon_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = opened(folder.path());
    let error = RingFile::open(folder.path(), 1 << 20).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&format!("in use by another Ringward (pid {})", std::process::id())), "{error}");
    drop(first);
    opened(folder.path());
}

/// A folder that can't be written is as good as a full disk: the segment can't be made.
#[test]
fn what_can_not_be_written_is_in_memory_and_is_missed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let saved = Saved::default();
    let (mut file, _) = opened(folder.path());
    let counters = file.counters();
    assert!(file.append(1, 0, &batch(0..10)));
    // The next segment's file is there already, and is a folder.
    file.open = None;
    fs::create_dir(crate::ring::folder::path(folder.path(), 2)).unwrap();
    assert!(!file.append(2, 10, &batch(10..20)));
    assert!(!file.append(3, 20, &batch(20..30)), "not tried again at once");
    fs::remove_dir(crate::ring::folder::path(folder.path(), 2)).unwrap();
    file.failed.as_mut().unwrap().retry_at = Instant::now();
    assert!(file.append(4, 30, &batch(30..40)));
    assert_eq!((counters.written.load(Ordering::Relaxed), counters.unwritten.load(Ordering::Relaxed)), (2, 2));
    drop(file);
    let ring = open(folder.path(), LIMITS);
    let (numbers, lost) = all(&mut reader(&ring, &saved));
    assert_eq!((numbers, lost), ((0..10).chain(30..40).collect(), 20));
}

/// Of a spill and of the files, each has what the other has not; and the report of what was lost before the end.
#[test]
fn what_only_the_spill_has_comes_in_its_place() {
    let (folder, spill) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = || ReaderOptions {
        overflow: Some(Arc::new(Spill::open(SpillOptions::new(spill.path(), 1 << 20)).unwrap().0)),
        on_position: Some(Box::new(|_| ())),
        ..ReaderOptions::new("r")
    };
    let limits = RingLimits { bytes: 1 << 20, records: 30 };
    {
        let ring = open(folder.path(), limits);
        let cursor = ring.reader(options());
        ring.append(batch(0..10));
        ring.file.as_ref().unwrap().lock().unwrap().open = None;
        fs::create_dir(crate::ring::folder::path(folder.path(), 2)).unwrap();
        ring.append(batch(10..20));
        fs::remove_dir(crate::ring::folder::path(folder.path(), 2)).unwrap();
        ring.file.as_ref().unwrap().lock().unwrap().failed.as_mut().unwrap().retry_at = Instant::now();
        ring.append(batch(20..30));
        assert_eq!(cursor.persist(), Persisted::Kept { refused: 0 });
    }
    let ring = open(folder.path(), limits);
    let mut cursor = ring.reader(options());
    ring.settle();
    // The ring lets go of what it has from the earlier run, unread.
    for n in 3..9 {
        ring.append(batch(n * 10..n * 10 + 10));
    }
    let mut numbers = Vec::new();
    let begun = Instant::now();
    while numbers.len() < 90 && begun.elapsed() < Duration::from_secs(60) {
        numbers.extend(all(&mut cursor).0);
    }
    assert_eq!(numbers, (0..90).collect::<Vec<_>>());
}

#[test]
fn files_of_another_ring_are_set_aside() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(other.path(), LIMITS).append(batch(0..5));
    let ring = open(folder.path(), LIMITS);
    for n in 0..3 {
        ring.append(batch(n * 10..n * 10 + 10));
    }
    drop(ring);
    let newest = segments(folder.path())[0].clone();
    let moved = crate::ring::folder::path(folder.path(), 9);
    fs::rename(&newest, &moved).unwrap();
    fs::copy(&segments(other.path())[0], &newest).unwrap();
    // Named for another batch, it is none; and then the other ring's is what there is.
    let recovered = opened(folder.path()).1;
    assert_eq!((recovered.report.records, recovered.report.unreadable_files), (5, 1));
    assert!(moved.with_extension("unreadable").exists());
}

/// A small ring's files: bytes, and how many records the batches up to each offset have.
fn written(counts: &[u64]) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let ring = open(folder.path(), LIMITS);
    let mut next = 0;
    for count in counts {
        ring.append(batch(next..next + count));
        next += count;
    }
    drop(ring);
    let path = segments(folder.path())[0].clone();
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

#[test]
fn a_file_that_is_cut_anywhere_gives_the_batches_before() {
    let counts = [3, 1, 4];
    let (folder, path, bytes) = written(&counts);
    let lens: Vec<usize> = counts
        .iter()
        .scan(0, |next, count| {
            let range = *next..*next + count;
            *next += count;
            Some(crate::ring::entry::entry_len(&batch(range)) as usize)
        })
        .collect();
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let mut end = segment::SEGMENT_HEADER_LEN;
        let mut expected = 0;
        for (count, len) in counts.iter().zip(&lens) {
            end += len;
            expected += if end <= cut { *count } else { 0 };
        }
        let ring = open(folder.path(), LIMITS);
        let (numbers, lost) = all(&mut ring.reader(ReaderOptions::new("r")));
        assert_eq!((numbers, lost), ((0..expected).collect(), 0), "cut at {cut}");
        // It goes on.
        ring.append(batch(100..101));
        drop(ring);
        let ring = open(folder.path(), LIMITS);
        let numbers = all(&mut ring.reader(ReaderOptions::new("r"))).0;
        assert_eq!(numbers, (0..expected).chain([100]).collect::<Vec<_>>(), "cut at {cut}");
        drop(ring);
        segments(folder.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        let _ = fs::remove_file(path.with_extension("unreadable"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever bytes are changed: no panic, what comes is in order and was written, and a batch between two that are
    /// whole is counted exactly.
    #[test]
    fn damage_costs_what_was_damaged(
        counts in prop::collection::vec(1..6u64, 1..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let (folder, path, mut bytes) = written(&counts);
        for (index, flip) in &damage {
            let at = segment::SEGMENT_HEADER_LEN + index.index(bytes.len() - segment::SEGMENT_HEADER_LEN);
            bytes[at] ^= flip;
        }
        fs::write(&path, &bytes).unwrap();
        let ring = open(folder.path(), LIMITS);
        // As one that has read nothing, and knows of this ring.
        let known = RingPosition { ring: ring.lock().id.unwrap(), sequence: 1, done: 0, records: 0 };
        let (numbers, lost) = all(&mut reader(&ring, &Arc::new(Mutex::new(Some(known)))));
        prop_assert!(numbers.is_sorted_by(|a, b| a < b));
        let total: u64 = counts.iter().sum();
        match numbers.last() {
            Some(last) => prop_assert_eq!(numbers.len() as u64 + lost, last + 1),
            None => prop_assert_eq!(lost, 0),
        }
        prop_assert!(numbers.iter().all(|number| *number < total));
    }

    /// Runs of a ring, each ended by a kill: a reader whose checkpoint is as old as it likes gets everything from there on,
    /// in order, or is told exactly what is missing.
    #[test]
    fn delivered_and_missed_add_up_over_restarts(
        runs in prop::collection::vec((prop::collection::vec((1..6u64, any::<bool>(), 0..4u32), 1..20), any::<bool>()), 1..5),
        bound in 5..60u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let limits = RingLimits { bytes: 1 << 20, records: bound };
        let (now, on_disk) = (Saved::default(), Saved::default());
        // What the reader has, up to the checkpoint that is on disk.
        let mut written = 0;
        let mut at_save = (0u64, 0);
        for (steps, saves) in runs {
            let (mut got, mut lost) = at_save;
            let ring = open(folder.path(), limits);
            let begin = RingPosition { ring: ring.lock().id.unwrap(), sequence: 1, done: 0, records: 0 };
            *now.lock().unwrap() = Some(*on_disk.lock().unwrap().get_or_insert(begin));
            let mut cursor = reader(&ring, &now);
            ring.settle();
            for (count, reads, left) in steps {
                ring.append(batch(written..written + count));
                written += count;
                if reads {
                    let (numbers, missed) = read(&mut cursor, |count| count.saturating_sub(left).max(1).min(count));
                    got += numbers.len() as u64;
                    lost += missed;
                    // What was taken and not finished is read again by another cursor, as after a restart.
                    drop(cursor);
                    cursor = reader(&ring, &now);
                }
            }
            if saves {
                *on_disk.lock().unwrap() = *now.lock().unwrap();
                at_save = (got, lost);
            }
        }
        *now.lock().unwrap() = *on_disk.lock().unwrap();
        let (got, lost) = at_save;
        let ring = open(folder.path(), limits);
        let mut cursor = reader(&ring, &now);
        ring.settle();
        let (numbers, missed) = all(&mut cursor);
        prop_assert!(numbers.is_sorted_by(|a, b| *b == a + 1));
        prop_assert_eq!(numbers.last().map_or(written, |last| last + 1), written);
        prop_assert_eq!(got + lost + numbers.len() as u64 + missed, written);
    }
}
