//! Files and journals: real ones, followed by the real `ringward`, into a receiver. Only journald needs root.

mod complaints;
mod container;
mod follow;
mod gzip;
#[path = "../harness/mod.rs"]
mod harness;
mod journal;
mod kata;
mod multiline;
mod parsers;
mod restart;
mod rotate;
mod shaping;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use harness::PATIENCE;
use harness::receiver::{Receiver, Record};
use harness::ringward::Ringward;

/// A folder for files, and a receiver.
struct Scene {
    folder: tempfile::TempDir,
    receiver: Receiver,
}

impl Scene {
    fn new() -> Self {
        Self { folder: harness::folder(), receiver: Receiver::tcp().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Adds to a file, which is made where it is missing.
    fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        self.open(name).write_all(content.as_ref()).unwrap();
    }

    fn open(&self, name: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap()
    }

    /// Ringward with nothing but the files that match.
    #[track_caller]
    fn follow(&self, glob: &str) -> Ringward {
        self.follow_in(harness::folder(), glob)
    }

    #[track_caller]
    fn follow_in(&self, state: tempfile::TempDir, glob: &str) -> Ringward {
        let glob = self.folder.path().join(glob);
        let url = self.receiver.url();
        let arguments = ["--no-kernel", "--no-containers", "--file", glob.to_str().unwrap(), "--to", &url];
        Ringward::start_in(state, &arguments)
    }

    /// Ringward with a configuration of its own for the files.
    #[track_caller]
    fn follow_with(&self, files: &str) -> Ringward {
        self.follow_with_in(harness::folder(), files)
    }

    #[track_caller]
    fn follow_with_in(&self, state: tempfile::TempDir, files: &str) -> Ringward {
        let config = harness::folder();
        let path = config.path().join("ringward.yaml");
        let files = files.replace("FOLDER", self.folder.path().to_str().unwrap());
        std::fs::write(&path, format!("files:\n{files}\n")).unwrap();
        let url = self.receiver.url();
        let arguments = ["--no-kernel", "--no-containers", "--config", path.to_str().unwrap(), "--to", &url];
        Ringward::start_in(state, &arguments)
    }

    /// Waits for `count` records.
    #[track_caller]
    fn records(&self, count: usize) -> Vec<Record> {
        self.receiver.wait(PATIENCE, |records| records.len() >= count);
        let records = self.receiver.with(Clone::clone);
        assert!(self.receiver.broken().is_empty(), "{:?}", self.receiver.broken());
        assert!(records.len() >= count, "{} of {count} records came: {:?}", records.len(), records.last());
        records
    }

    /// Waits for `count` records; no more must come until Ringward has ended in order.
    #[track_caller]
    fn all(&self, ringward: Ringward, count: usize) -> Vec<Record> {
        self.records(count);
        self.ended(ringward, count)
    }

    #[track_caller]
    fn ended(&self, ringward: Ringward, count: usize) -> Vec<Record> {
        let stopped = ringward.stop();
        assert!(stopped.status.success(), "{stopped:?}");
        assert!(self.receiver.wait_closed(PATIENCE));
        let records = self.receiver.with(Clone::clone);
        assert_eq!(records.len(), count, "{:?}", messages(&records).last());
        records
    }

    fn delete(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }
}

fn messages(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.msg.as_str()).collect()
}

/// How often each line came.
fn count(records: &[Record]) -> BTreeMap<&str, usize> {
    let mut seen = BTreeMap::new();
    records.iter().for_each(|record| *seen.entry(record.msg.as_str()).or_insert(0) += 1);
    seen
}

/// Lines `line 00000000`…
fn numbered(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("line {number:08}\n")).collect()
}

fn name_of(path: &Path) -> &str {
    path.to_str().unwrap()
}
