//! What is known of files from earlier runs, and what later runs will know: marks and checkpoints in the state.
//!
//! A file is known again by its numbers and its beginning, whatever it is called now. Reading starts at the smallest
//! position that a destination has acknowledged; what others have is left out by the ring. A file that is gone is
//! forgotten once every destination has it all; what cannot be settled so (a destination that lost a part) is
//! forgotten when a start does not find the file for [`KEEP_DAYS`], or when [`MOST_GONE`] newer ones are gone.
//!
//! A file may come back compressed, as another one by all its numbers. Files of which the content is known are
//! [`Candidate`]s for that: those that earlier runs knew and that were not found, and those that are gone, which are kept
//! for [`KEEP_CONTENT`] although they are settled. Each is given away once.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::follow::Followed;
use super::identity::{FileId, Fingerprint, is_marked, mark};
use super::position::{self, Restart};
use crate::source::clock::realtime_ns;
use crate::state::{ContentMark, FileMark, StateDir};

/// How long a file that is not there is remembered: its file system may just not be mounted.
const KEEP_DAYS: i64 = 7;
/// Files that are gone and not settled.
const MOST_GONE: usize = 4096;
/// How long a file that is gone may come back compressed.
const KEEP_CONTENT: Duration = Duration::from_secs(600);

/// A known file, and where reading it starts.
pub(super) struct Known {
    pub(super) key: String,
    pub(super) mark: FileMark,
    pub(super) restart: Restart,
}

/// What a compressed file may be.
pub(super) struct Candidate {
    pub(super) key: String,
    /// What it was called.
    pub(super) path: PathBuf,
    pub(super) fingerprint: Fingerprint,
    pub(super) content: ContentMark,
    /// Where it is read on.
    pub(super) restart: Restart,
    /// Offset at which reading began.
    pub(super) start: u64,
    /// It is read at the moment, and has a name.
    pub(super) is_open: bool,
    pub(super) is_named: bool,
}

struct Gone {
    key: String,
    /// That of its end.
    position: u64,
    since: Instant,
    /// With the name that it lost last, where it may come back compressed.
    mark: Option<(FileMark, PathBuf)>,
}

pub(super) struct KnownFiles {
    state: Option<StateDir>,
    /// Destinations that keep checkpoints.
    destinations: Vec<String>,
    /// Marks of earlier runs that no file was found for.
    unmatched: HashMap<FileId, Vec<(String, FileMark)>>,
    /// Such as would be among them, if another file had not their numbers now.
    replaced: Vec<(String, FileMark)>,
    gone: VecDeque<Gone>,
    /// Distinguishes keys that are made at the same time.
    last_key_ns: i64,
}

impl KnownFiles {
    pub(super) fn new(state: Option<StateDir>, destinations: Vec<String>) -> Self {
        let (unmatched, replaced, gone) = Default::default();
        let mut known = Self { state, destinations, unmatched, replaced, gone, last_key_ns: 0 };
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
    /// another file with the same numbers is forgotten, unless that may come back compressed.
    pub(super) fn find(&mut self, id: FileId, born_ns: i64, length: u64, start: &[u8], is_gzip: bool) -> Option<Known> {
        let mut found = None;
        for (key, mark) in self.unmatched.remove(&id)? {
            let restart = self.restart(&key, &mark);
            let seen = mark.gzip.map_or(restart.offset, |gzip| gzip.read);
            let is_same = is_marked(&mark, id, born_ns, start) && mark.gzip.is_some() == is_gzip && seen <= length;
            if found.is_none() && is_same {
                found = Some(Known { key, mark, restart });
            } else if mark.content.is_some() {
                self.replaced.push((key, mark));
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
        if let Some(state) = &self.state
            && let Some(mark) = mark_of(file)
        {
            state.set_file_mark(&file.key, mark);
        }
    }

    /// To be called when more of the file was read.
    pub(super) fn save_content(&self, file: &Followed) {
        if let (Some(state), Some(content)) = (&self.state, file.sums) {
            state.set_file_content(&file.key, content);
        }
    }

    /// The file as it was ends where it was read to, and will not be read again.
    pub(super) fn add_gone(&mut self, file: &Followed) {
        let mark = mark_of(file).filter(|mark| mark.content.is_some());
        if self.state.is_none() && mark.is_none() {
            return;
        }
        let left = file.names.first().or(file.left.as_ref()).unwrap_or(&file.path).clone();
        let (key, position) = (file.key.clone(), position::pack(file.offset(), None));
        self.gone.push_back(Gone { key, position, since: Instant::now(), mark: mark.map(|mark| (mark, left)) });
        if self.gone.len() > MOST_GONE
            && let Some(oldest) = self.gone.pop_front()
        {
            self.forget(&oldest.key);
        }
    }

    /// Files that are not read at the moment, whose content may be in a compressed file that has a name for which
    /// `is_beside` holds.
    pub(super) fn candidates(&self, is_beside: impl Fn(&Path) -> bool) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (key, mark) in self.unmatched.values().flatten().chain(&self.replaced) {
            if is_beside(&mark.path) {
                candidates.extend(candidate(key, mark, self.restart(key, mark)));
            }
        }
        for Gone { key, position, mark, .. } in &self.gone {
            if let Some((mark, left)) = mark
                && (is_beside(&mark.path) || is_beside(left))
            {
                // What it gave is on its way.
                candidates.extend(candidate(key, mark, position::unpack(*position)));
            }
        }
        candidates
    }

    /// What was known as `key` is another file now.
    pub(super) fn take(&mut self, key: &str) {
        self.gone.retain(|gone| gone.key != key);
        self.replaced.retain(|(known, _)| known != key);
        self.unmatched.retain(|_, marks| {
            marks.retain(|(known, _)| known != key);
            !marks.is_empty()
        });
    }

    /// Forgets files that are gone and whose records have all arrived.
    pub(super) fn settle(&mut self) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|Gone { key, position: end, since, mark }| {
            let acknowledged = self.state.as_ref().map(|state| state.acknowledged(key, &self.destinations));
            let is_sent = acknowledged.is_none_or(|all| all.iter().all(|position| position >= end));
            let is_settled = is_sent && (mark.is_none() || since.elapsed() >= KEEP_CONTENT);
            if is_settled {
                self.forget(key);
            }
            !is_settled
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

/// By which a later run knows the file again; `None` while this one does not know what it is.
fn mark_of(file: &Followed) -> Option<FileMark> {
    let gzip = match &file.archive {
        Some(archive) => Some(archive.mark()?),
        None => None,
    };
    let mark = mark(file.id, file.born_ns, file.fingerprint, &file.path, file.start);
    Some(FileMark { content: file.sums.filter(|content| !content.is_empty()), gzip, ..mark })
}

fn candidate(key: &str, mark: &FileMark, restart: Restart) -> Option<Candidate> {
    let content = mark.content.filter(|content| !content.is_empty())?;
    let (key, path, fingerprint) = (key.to_owned(), mark.path.clone(), Fingerprint::of_mark(mark));
    Some(Candidate { key, path, fingerprint, content, restart, start: mark.start, is_open: false, is_named: false })
}
