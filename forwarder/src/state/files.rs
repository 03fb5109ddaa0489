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
    /// What was read of it, where it may be found compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentMark>,
    /// It is compressed: its positions are of what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gzip: Option<GzipMark>,
}

/// What was read of a file from offset `from` on, by its sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentMark {
    pub from: u64,
    pub read: ContentSum,
    /// When it got another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<ContentSum>,
}

/// The CRC-32 of what is before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentSum {
    pub to: u64,
    pub crc: u32,
}

/// How far a compressed file was read: all of its first `read` bytes, which hold `size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GzipMark {
    pub read: u64,
    pub size: u64,
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

    /// More of a known file was read. Written with what changes next: nobody waits for it.
    pub fn set_file_content(&self, key: &str, content: ContentMark) {
        let mut content_of = self.content();
        if let Some(mark) = content_of.stored.files.get_mut(key) {
            mark.content = Some(content);
            content_of.changed = true;
        }
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
