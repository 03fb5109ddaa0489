//! What is known of journal files from earlier runs, and what later runs will know: marks and checkpoints in the state.
//!
//! A record's position is its entry's number, which grows within a file; the checkpoint's key is the file's own id, so
//! that a file is known again whatever it is called, and has no other place to begin than behind what was sent. Where
//! all records have arrived, entries that became none (they were not asked for) are not read again either.

use std::collections::HashMap;

use super::file::{JournalFile, hex};
use crate::parse::journal::{Head, Id};
use crate::source::clock::realtime_ns;
use crate::state::{JournalEntry, JournalMark, StateDir};

/// Where reading a known file goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Restart {
    pub(super) start: u64,
    /// After this one.
    pub(super) from: u64,
    pub(super) put: u64,
    /// The last entry that was read, where all before it has arrived.
    pub(super) newest: Option<Head>,
}

/// A file that was read by an earlier run, or by this one, and is there no more.
pub(super) struct Gone {
    key: String,
    pub(super) mark: JournalMark,
    /// Entries that no destination can get any more, at most.
    pub(super) unread: u64,
    /// The last entry that was read, where all before it has arrived.
    pub(super) newest: Option<Head>,
}

pub(super) struct KnownJournals {
    state: Option<StateDir>,
    /// Destinations that keep checkpoints.
    destinations: Vec<String>,
    /// Marks of earlier runs that no file was found for.
    unmatched: HashMap<String, JournalMark>,
    /// Keys of files that are gone, each with the position of its last record.
    gone: Vec<(String, u64)>,
}

impl KnownJournals {
    pub(super) fn new(state: Option<StateDir>, destinations: Vec<String>) -> Self {
        let unmatched = state.iter().flat_map(StateDir::journal_marks).collect();
        Self { state, destinations, unmatched, gone: Vec::new() }
    }

    /// Where reading goes on in the file with this key, or with one that [`KnownJournals::another_key`] has made of it;
    /// and that key.
    pub(super) fn find(&mut self, key: &str) -> Option<(String, Restart)> {
        let is_it = |known: &str| known.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
        let key = self.unmatched.keys().find(|known| is_it(known))?.clone();
        let mark = self.unmatched.remove(&key)?;
        let restart = self.restart(&key, &mark);
        Some((key, restart))
    }

    /// A key for the file that had `key`, under which nothing has arrived.
    pub(super) fn another_key(&self, key: &str) -> String {
        if let Some(state) = &self.state {
            state.forget_journal(key);
        }
        let file = key.match_indices(':').nth(1).map_or(key, |(end, _)| &key[..end]);
        format!("{file}:{}", realtime_ns())
    }

    /// Where the destination that is least far goes on.
    fn restart(&self, key: &str, mark: &JournalMark) -> Restart {
        let holds = mark.copied.as_ref().is_none_or(|(from, until)| self.has_arrived(from, *until));
        let seen = if holds { mark.seen } else { 0 };
        let after = |position: u64| if position >= mark.put { seen.max(position) } else { position };
        let acknowledged = self.state.iter().flat_map(|state| state.begins(key, &self.destinations));
        let from = acknowledged.map(after).min().unwrap_or(0).max(mark.start);
        let newest = mark.newest.as_ref().filter(|_| from == mark.seen).and_then(|entry| head(entry, from));
        Restart { start: mark.start, from, put: mark.put, newest }
    }

    /// Whether every destination has the file's records up to `position`; those of one that was forgotten were had.
    fn has_arrived(&self, key: &str, position: u64) -> bool {
        let Some(state) = &self.state else { return true };
        let is_known = state.journal_marks().iter().any(|(known, _)| known == key);
        !is_known || state.acknowledged(key, &self.destinations).iter().all(|acknowledged| *acknowledged >= position)
    }

    /// The files of earlier runs that were not found. They are forgotten.
    pub(super) fn take_missing(&mut self) -> Vec<Gone> {
        let missing = std::mem::take(&mut self.unmatched).into_iter();
        let gone = missing.map(|(key, mark)| {
            let restart = self.restart(&key, &mark);
            Gone { key, unread: mark.end.saturating_sub(restart.from), newest: restart.newest, mark }
        });
        gone.collect()
    }

    pub(super) fn forget(&self, gone: &Gone) {
        if let Some(state) = &self.state {
            state.forget_journal(&gone.key);
        }
    }

    /// To be called before what was put can be acknowledged.
    pub(super) fn save(&self, file: &JournalFile) {
        let Some(state) = &self.state else { return };
        let newest = file.newest.map(|head| JournalEntry {
            boot_id: hex(&head.boot_id),
            monotonic_us: head.monotonic_us,
            hash: head.hash,
        });
        let mark = JournalMark {
            path: file.path.clone(),
            seqnum_id: hex(file.seqnum_id()),
            start: file.start,
            put: file.put,
            seen: file.seen,
            end: file.header.last_seqnum,
            newest,
            copied: file.copied.clone(),
        };
        state.set_journal_mark(&file.key, mark);
    }

    /// The file was deleted, and read as far as it could be.
    pub(super) fn add_gone(&mut self, key: String, put: u64) {
        if self.state.is_some() {
            self.gone.push((key, put));
        }
    }

    /// Forgets files that are gone and whose records have all arrived.
    pub(super) fn settle(&mut self) {
        let Some(state) = &self.state else { return };
        let gone = std::mem::take(&mut self.gone);
        let destinations = &self.destinations;
        let has_arrived =
            |key: &str, put: u64| state.acknowledged(key, destinations).iter().all(|position| *position >= put);
        let (settled, gone): (Vec<_>, Vec<_>) = gone.into_iter().partition(|(key, put)| has_arrived(key, *put));
        settled.iter().for_each(|(key, _)| state.forget_journal(key));
        self.gone = gone;
    }

    pub(super) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }
}

impl Gone {
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

fn head(entry: &JournalEntry, seqnum: u64) -> Option<Head> {
    let boot_id: Id = u128::from_str_radix(&entry.boot_id, 16).ok()?.to_be_bytes();
    Some(Head { seqnum, realtime_us: 0, monotonic_us: entry.monotonic_us, boot_id, hash: entry.hash })
}
