//! Doors: what they say later, what was discarded, and who looks at what comes in.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::ring::{Cursor, Door, Entrance, ReaderOptions, Ring, RingLimits};

const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    ring: Arc<Ring>,
    shaping: Arc<Shaping>,
    reader: Cursor,
    /// What the reader has acknowledged of the file.
    checkpoint: Arc<Mutex<u64>>,
}

impl Scene {
    fn new(process: &str) -> Self {
        let ring = Ring::new(RingLimits { bytes: 1 << 20, records: u64::MAX }, 1);
        let shaping = Shaping::start(&steps(process), None).unwrap().unwrap();
        ring.set_entrance(Arc::clone(&shaping) as Arc<dyn Entrance>);
        let checkpoint = Arc::new(Mutex::new(0));
        let noted = Arc::clone(&checkpoint);
        let on_checkpoint = Box::new(move |_: &str, position| *noted.lock().unwrap() = position);
        let reader = ring.reader(ReaderOptions { on_checkpoint: Some(on_checkpoint), ..ReaderOptions::new("r") });
        Self { ring, shaping, reader, checkpoint }
    }

    /// What comes to the reader until it is as wanted, all of it acknowledged.
    fn read_until(&mut self, mut is_enough: impl FnMut(&[Value], u64) -> bool) -> Vec<Value> {
        let (begun, mut read) = (Instant::now(), Vec::new());
        loop {
            while let Some(batch) = self.reader.try_next() {
                self.reader.acknowledge(&batch, batch.batch.record_count());
                read.extend(objects(&[((*batch.batch).clone(), Targets::All)]));
            }
            if is_enough(&read, *self.checkpoint.lock().unwrap()) {
                return read;
            }
            assert!(begun.elapsed() < PATIENCE, "{read:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Lines of a file, each a position.
fn pass(door: &mut dyn Door, texts: &[&str], from: u64) {
    let file = OriginHandle::new(Origin { source: "file".into(), ..Origin::new(OriginKind::File, "f") });
    let mut builder = BatchBuilder::new(4096);
    for (text, position) in texts.iter().zip(from..) {
        builder.push(&file, RecordMeta { position, ..RecordMeta::line(TIME, text.as_bytes()) }, text.as_bytes());
    }
    door.pass(builder.seal());
}

#[test]
fn what_is_discarded_moves_the_checkpoint_behind_what_went_on() {
    let mut scene = Scene::new("- drop: {field: msg, matches: ^d}");
    let mut door = scene.ring.door().unwrap();
    pass(&mut *door, &["a", "d1", "d2"], 1);
    let first = scene.reader.try_next().unwrap();
    assert_eq!(first.batch.record_count(), 1);
    pass(&mut *door, &["d3", "d4"], 4);
    scene.shaping.stop();
    assert!(scene.reader.try_next().is_none(), "nobody is given positions");
    assert_eq!(*scene.checkpoint.lock().unwrap(), 0, "what went on before is not done");
    scene.reader.acknowledge(&first, 1);
    assert_eq!(*scene.checkpoint.lock().unwrap(), 5);
    assert_eq!(scene.ring.totals().records, 1);
    assert_eq!(scene.shaping.counters().discarded().collect::<Vec<_>>(), [("process[0].drop", 4)]);
    assert!(scene.reader.lag().records == 0);
    scene.ring.close();
    assert!(scene.reader.is_closed_and_drained());
}

#[test]
fn positions_are_told_in_time_though_nothing_goes_on() {
    let mut scene = Scene::new("- drop: true");
    let mut door = scene.ring.door().unwrap();
    pass(&mut *door, &["a", "b"], 1);
    scene.read_until(|_, checkpoint| checkpoint == 2);
    pass(&mut *door, &["c"], 3);
    assert!(scene.read_until(|_, checkpoint| checkpoint == 3).is_empty());
}

#[test]
fn a_report_comes_though_nothing_else_does() {
    let mut scene = Scene::new("- deduplicate: {window: 100ms}\n- throttle: {rate: 1, report: 100ms}");
    let mut door = scene.ring.door().unwrap();
    pass(&mut *door, &["a", "a", "a", "b"], 1);
    // The report of repeats is one record too many, and reported itself.
    let read = scene.read_until(|read, _| {
        read.iter().any(|object| object["discarded-records"].as_u64() == Some(2)) || {
            let discarded: u64 = read.iter().filter_map(|object| object["discarded-records"].as_u64()).sum();
            discarded == 2
        }
    });
    assert_eq!(read[0]["msg"], "a");
}

#[test]
fn a_door_that_closes_says_what_it_has_to() {
    let mut scene = Scene::new("- deduplicate: {window: 1h}");
    let mut door = scene.ring.door().unwrap();
    pass(&mut *door, &["a", "a", "a"], 1);
    drop(door);
    let read = scene.read_until(|read, _| read.len() == 2);
    assert_eq!(read[1]["repeated"], 2);
}

#[test]
fn who_looks_sees_what_comes_in() {
    let scene = Scene::new("- drop: true");
    let mut door = scene.ring.door().unwrap();
    pass(&mut *door, &["unseen"], 1);
    let watching = scene.shaping.tap().watch();
    let mut looking = watching.ring.reader(ReaderOptions::new("tap"));
    pass(&mut *door, &["seen"], 2);
    assert_eq!(looking.try_next().unwrap().batch.record(0).body, b"seen");
    drop(looking);
    drop(watching);
    pass(&mut *door, &["unseen"], 3);
    let watching = scene.shaping.tap().watch();
    assert!(watching.ring.reader(ReaderOptions::new("tap")).try_next().is_none());
}
