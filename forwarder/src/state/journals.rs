//! What the state keeps of journal files: their checkpoints' keys are made of the files' own ids, so that all there is
//! to know besides is how far they were read.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StateDir;

/// How far a journal file was read. Numbers are those of its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalMark {
    pub path: PathBuf,
    /// Of the numbers; files that share it go on where another one has ended.
    pub seqnum_id: String,
    /// Everything up to this one was not wanted when it was found.
    pub start: u64,
    /// The last one that became a record, of those up to `seen`.
    pub put: u64,
    /// The last one that was read.
    pub seen: u64,
    /// The last one that there was.
    pub end: u64,
    /// The entry `seen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<JournalEntry>,
    /// `seen` holds only if the records of that file, up to that position, have arrived: entries up to `seen` were
    /// copied from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<(String, u64)>,
}

/// What stays of an entry when journald copies it to another file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    pub boot_id: String,
    pub monotonic_us: u64,
    pub hash: u64,
}

impl StateDir {
    /// The marks of all known journal files, with their keys.
    pub fn journal_marks(&self) -> Vec<(String, JournalMark)> {
        self.content().stored.journals.iter().map(|(key, mark)| (key.clone(), mark.clone())).collect()
    }

    pub fn set_journal_mark(&self, key: &str, mark: JournalMark) {
        let mut content = self.content();
        if content.stored.journals.get(key) != Some(&mark) {
            content.stored.journals.insert(key.to_owned(), mark);
            content.changed = true;
            self.0.changed.notify_waiters();
        }
    }

    /// Drops a file's mark, and its checkpoints of all destinations.
    pub fn forget_journal(&self, key: &str) {
        let mut content = self.content();
        content.stored.journals.remove(key);
        for checkpoint in content.stored.destinations.values_mut() {
            checkpoint.remove(key);
        }
        content.changed = true;
        self.0.changed.notify_waiters();
    }
}
