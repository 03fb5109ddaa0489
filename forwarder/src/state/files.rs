//! What the state keeps of files, so that a later run knows them again.
//!
//! A file's checkpoints are kept under a key that is made when it is first seen. Its mark says which file that is; it
//! is saved together with the checkpoints, and becomes surer as the file grows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StateDir;

/// What a file looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    pub device: u64,
    pub inode: u64,
    /// When it was made, ns since the epoch; 0 where that is unknown.
    pub born_ns: i64,
    /// Bytes at its beginning that `hash` covers.
    pub len: usize,
    pub hash: u64,
    /// Offset at which reading began.
    pub start: u64,
    pub path: PathBuf,
    /// When it was last there, seconds since the epoch.
    pub seen_s: i64,
}

impl StateDir {
    /// The marks of all known files, with their keys.
    pub fn file_marks(&self) -> Vec<(String, FileMark)> {
        self.content().stored.files.iter().map(|(key, mark)| (key.clone(), mark.clone())).collect()
    }

    pub fn set_file_mark(&self, key: &str, mark: FileMark) {
        let mut content = self.content();
        content.stored.files.insert(key.to_owned(), mark);
        content.changed = true;
        self.0.changed.notify_waiters();
    }

    /// Drops a file's mark, and its checkpoints of all destinations.
    pub fn forget_file(&self, key: &str) {
        let mut content = self.content();
        content.stored.files.remove(key);
        for checkpoint in content.stored.destinations.values_mut() {
            checkpoint.remove(key);
        }
        content.changed = true;
        self.0.changed.notify_waiters();
    }

    /// What each of `destinations` has acknowledged of `source`; 0 for one that has acknowledged nothing.
    pub fn acknowledged(&self, source: &str, destinations: &[String]) -> Vec<u64> {
        let content = self.content();
        let position = |name| content.stored.destinations.get(name)?.get(source).copied();
        destinations.iter().map(|name| position(name).unwrap_or(0)).collect()
    }
}
