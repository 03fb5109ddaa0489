//! The ring's files: what is damaged is left out and counted, and the ring goes on behind it.
#![no_main]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use ringward::record::{Batch, BatchBuilder, Flags, Origin, OriginHandle, OriginKind, RecordMeta};
use ringward::ring::file::RingFile;
use ringward::ring::{ReaderOptions, Ring, RingLimits};
use ringward_fuzz::Folder;

const LIMITS: RingLimits = RingLimits { bytes: 1 << 20, records: u64::MAX };
const BATCHES: u64 = 4;
const RECORDS: u64 = 3;
/// Of the segment's header, which has a checksum at its end.
const HEADER: usize = 44;

fuzz_target!(|data: &[u8]| {
    static GOOD: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    let (name, good) = GOOD.get_or_init(good);
    look(name, data);
    let Some((cut, changes)) = data.split_first() else { return };
    let mut changed = good.clone();
    ringward_fuzz::change(&mut changed, changes);
    // Every other one has a header that is said to be good.
    if cut % 2 == 0 {
        let crc = crc32fast::hash(&changed[..HEADER - 4]);
        changed[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
        changed.truncate(good.len() - usize::from(*cut));
    }
    look(name, &changed);
});

fn open(folder: &Path) -> Arc<Ring> {
    let (file, recovered) = RingFile::open(folder, LIMITS.bytes).expect("damaged content is no error");
    Ring::with_file(LIMITS, 1, file, recovered)
}

fn batch(number: u64) -> Batch {
    let origin = OriginHandle::new(Origin::new(OriginKind::Service, "a"));
    let mut builder = BatchBuilder::new(256);
    for record in 0..RECORDS {
        let text = (number * RECORDS + record).to_string();
        builder.push(&origin, RecordMeta::line(1, text.as_bytes()), text.as_bytes());
    }
    builder.seal()
}

/// A segment, with its name.
fn good() -> (String, Vec<u8>) {
    let folder = Folder::new();
    let ring = open(folder.path());
    for number in 0..BATCHES {
        ring.append(batch(number));
    }
    let mut files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(|path| path.extension().is_some_and(|extension| extension == "seg")).expect("a segment");
    (segment.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(segment).unwrap())
}

fn look(name: &str, segment: &[u8]) {
    let folder = Folder::new();
    std::fs::write(folder.path().join(name), segment).unwrap();
    for _ in 0..2 {
        let ring = open(folder.path());
        ring.append(batch(BATCHES));
        let mut cursor = ring.reader(ReaderOptions::new("fuzz"));
        let mut seen = Vec::new();
        while let Some(found) = cursor.try_next() {
            let records = found.batch.records().filter(|record| !record.flags.contains(Flags::LOSS));
            seen.extend(records.map(|record| std::str::from_utf8(record.body).unwrap().parse::<u64>().unwrap()));
            cursor.acknowledge(&found, found.batch.record_count());
        }
        let (earlier, new) = seen.split_at(seen.iter().position(|number| *number >= BATCHES * RECORDS).unwrap());
        assert!(earlier.windows(2).all(|pair| pair[0] < pair[1]), "in order, each once: {seen:?}");
        assert!(!new.is_empty() && new.iter().all(|number| *number >= BATCHES * RECORDS), "{seen:?}");
    }
}
