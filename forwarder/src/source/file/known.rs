//! What is known of files from earlier runs, and what later runs will know: marks and checkpoints in the state.
//!
//! A file is known again by its numbers and its beginning, whatever it is called now. Reading starts at the smallest
//! position that a destination has acknowledged; what others have is left out by the ring. A file that is gone is
//! forgotten once every destination has it all; what cannot be settled so (a destination that lost a part) is
//! forgotten when a start does not find the file for [`KEEP_DAYS`], or when [`MOST_GONE`] newer ones are gone.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use super::follow::Followed;
use super::identity::{FileId, is_marked, mark};
use super::position::{self, Restart};
use crate::source::clock::realtime_ns;
use crate::state::{FileMark, StateDir};

/// How long a file that is not there is remembered: its file system may just not be mounted.
const KEEP_DAYS: i64 = 7;
/// Files that are gone and not settled.
const MOST_GONE: usize = 4096;

/// A known file, and where reading it starts.
pub(super) struct Known {
    pub(super) key: String,
    pub(super) mark: FileMark,
    pub(super) restart: Restart,
}

pub(super) struct KnownFiles {
    state: Option<StateDir>,
    /// Destinations that keep checkpoints.
    destinations: Vec<String>,
    /// Marks of earlier runs that no file was found for.
    unmatched: HashMap<FileId, Vec<(String, FileMark)>>,
    /// Keys of files that are gone, each with the position at its end.
    gone: VecDeque<(String, u64)>,
    /// Distinguishes keys that are made at the same time.
    last_key_ns: i64,
}

impl KnownFiles {
    pub(super) fn new(state: Option<StateDir>, destinations: Vec<String>) -> Self {
        let mut known = Self { state, destinations, unmatched: HashMap::new(), gone: VecDeque::new(), last_key_ns: 0 };
        let oldest = realtime_ns() / 1_000_000_000 - KEEP_DAYS * 24 * 3600;
        let state = known.state.clone();
        for (key, mark) in state.iter().flat_map(StateDir::file_marks) {
            if mark.seen_s < oldest {
                known.forget(&key);
                continue;
            }
            let id = FileId { device: mark.device, inode: mark.inode };
            known.unmatched.entry(id).or_default().push((key, mark));
        }
        known
    }

    /// What is known of the file with these numbers, which is `length` long and starts with `start`. What was known of
    /// another file with the same numbers is forgotten.
    pub(super) fn find(&mut self, id: FileId, born_ns: i64, length: u64, start: &[u8]) -> Option<Known> {
        let mut found = None;
        for (key, mark) in self.unmatched.remove(&id)? {
            let restart = self.restart(&key, &mark);
            if found.is_none() && is_marked(&mark, id, born_ns, start) && restart.offset <= length {
                found = Some(Known { key, mark, restart });
            } else {
                self.forget(&key);
            }
        }
        found
    }

    /// Whether a file with these numbers is waited for.
    pub(super) fn is_waited_for(&self, id: FileId) -> bool {
        self.unmatched.contains_key(&id)
    }

    /// What such a file was called.
    pub(super) fn path_of(&self, id: FileId) -> Option<PathBuf> {
        self.unmatched.get(&id)?.first().map(|(_, mark)| mark.path.clone())
    }

    /// Where files were that were not found again.
    pub(super) fn places(&self) -> impl Iterator<Item = &Path> {
        self.unmatched.values().flatten().filter_map(|(_, mark)| mark.path.parent())
    }

    /// Where the destination that is least far goes on.
    fn restart(&self, key: &str, mark: &FileMark) -> Restart {
        let acknowledged = self.state.iter().flat_map(|state| state.begins(key, &self.destinations));
        let begin = Restart { offset: mark.start, from: mark.start };
        let at = |position| if position == 0 { begin } else { position::unpack(position) };
        acknowledged.min().map_or(begin, at)
    }

    /// A key for a file that is new.
    pub(super) fn new_key(&mut self, id: FileId) -> String {
        self.last_key_ns = realtime_ns().max(self.last_key_ns + 1);
        format!("file:{:x}:{}:{}", id.device, id.inode, self.last_key_ns)
    }

    /// To be called before anything of the file is put: else nobody could know that it was.
    pub(super) fn save(&self, file: &Followed) {
        if let Some(state) = &self.state {
            let mark = mark(file.id, file.born_ns, file.fingerprint, &file.path, file.start);
            state.set_file_mark(&file.key, mark);
        }
    }

    /// The file ended at `offset` and will not be read again.
    pub(super) fn add_gone(&mut self, key: String, offset: u64) {
        if self.state.is_none() {
            return;
        }
        self.gone.push_back((key, position::pack(offset, None)));
        if self.gone.len() > MOST_GONE
            && let Some((oldest, _)) = self.gone.pop_front()
        {
            self.forget(&oldest);
        }
    }

    /// Forgets files that are gone and whose records have all arrived.
    pub(super) fn settle(&mut self) {
        let Some(state) = &self.state else { return };
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|(key, end)| {
            let settled = state.acknowledged(key, &self.destinations).iter().all(|position| position >= end);
            if settled {
                state.forget_file(key);
            }
            !settled
        });
        self.gone = gone;
    }

    pub(super) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    fn forget(&self, key: &str) {
        if let Some(state) = &self.state {
            state.forget_file(key);
        }
    }
}
