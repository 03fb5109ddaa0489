//! Which files there are: what is new among them, what is gone, and what is missing between them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::file::{JournalFile, hex};
use super::known::Gone;
use super::reader::{RETRY, Reader};
use super::selection::ReadFrom;
use crate::parse::journal;
use crate::record::Lost;
use crate::source::clock::realtime_ns;
use crate::source::file::FileId;

/// How often files are looked for at the start while names change.
const LOOKS: usize = 100;

impl Reader {
    /// Files of /run first: see [`super::copies`].
    pub(super) fn refresh_all(&mut self) {
        let Self { files, blocks, .. } = self;
        let is_volatile = |file: &JournalFile| file.path.to_string_lossy().contains("/run/log/journal/");
        for volatile in [true, false] {
            files.iter_mut().filter(|file| is_volatile(file) == volatile).for_each(|file| file.refresh(blocks));
        }
    }

    /// Finds what there is at the start, and what is missing since the last run.
    pub(super) fn find_first(&mut self) -> io::Result<()> {
        // A file that is renamed while the folder is read may not be seen.
        for _ in 0..LOOKS {
            self.find_all(true);
            if !self.folders.take(|_| true)?.names {
                break;
            }
        }
        self.missing_since_last_run();
        self.count_gaps();
        Ok(())
    }

    /// Finds files that are new, have another name, or are gone.
    pub(super) fn find_all(&mut self, at_start: bool) {
        let now = Instant::now();
        let mut found: HashMap<FileId, PathBuf> = HashMap::new();
        for (id, path) in self.folders.find_all() {
            found.entry(id).or_insert(path);
        }
        for file in &mut self.files {
            // The inode of a file that is not open any more may be another one's, which has another name.
            match found.get(&file.id).filter(|path| !file.is_finished() || **path == file.path) {
                Some(path) => (file.path, file.gone) = (path.clone(), None),
                None => drop(file.gone.get_or_insert(now)),
            }
            if file.gone.is_none() {
                found.remove(&file.id);
            }
        }
        found.into_iter().for_each(|(id, path)| self.open(id, path, at_start));
        self.refresh_all();
        self.report_and_save();
        self.counters.files.set(self.files.len() as u64);
        if self.files.iter().any(|file| file.gone.is_some()) {
            self.retry_later();
        }
    }

    fn open(&mut self, id: FileId, path: PathBuf, at_start: bool) {
        let number = self.next_number;
        let opened = File::open(&path).map_err(journal::JournalError::Read);
        let mut file = match opened.and_then(|file| JournalFile::new(file, id, number, path.clone())) {
            Ok(file) => file,
            // Not made yet, or gone again.
            Err(journal::JournalError::NoJournal) => return,
            Err(journal::JournalError::Read(error)) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                if self.said.insert(path.clone()) {
                    tracing::error!("can't read {}: {error}", path.display());
                }
                return;
            }
        };
        if let Some(other) = self.files.iter_mut().find(|other| other.header.file_id == file.header.file_id) {
            if other.gone.is_some() && other.is_finished() {
                (other.id, other.path, other.gone) = (id, path, None);
            } else if self.said.insert(path) {
                tracing::warn!("{} is a copy of {} and is not read", file.path.display(), other.path.display());
            }
            return;
        }
        self.next_number += 1;
        match self.known.find(&file.key) {
            Some((key, restart)) => {
                file.key = key;
                file.is_known = true;
                if !file.resume(&restart, &mut self.blocks) {
                    tracing::warn!("{} is not what was read of it: it is read again", file.path.display());
                    file.key = self.known.another_key(&file.key);
                } else if let Some(newest) = &restart.newest {
                    self.copies.add(file.folder(), newest, (&file.key, file.put));
                }
            }
            None if at_start && self.selection.read_from == ReadFrom::End => file.go_to_end(&mut self.blocks),
            None => {}
        }
        self.files.push(file);
    }

    /// What an earlier run knew and is not there any more.
    fn missing_since_last_run(&mut self) {
        let missing = self.known.take_missing();
        let mut lost = 0;
        for gone in &missing {
            let end = self.ends.entry(gone.mark.seqnum_id.clone()).or_default();
            *end = gone.mark.end.max(*end);
            match &gone.newest {
                Some(newest) if gone.unread == 0 => {
                    let folder = gone.mark.path.parent().unwrap_or(&gone.mark.path);
                    self.copies.add(folder, newest, (gone.key(), gone.mark.put));
                }
                _ if self.was_copied(gone) => {}
                _ => lost += gone.unread,
            }
        }
        self.lose(lost, "with journal files that were deleted before they were read");
        // Only now: what was copied from them had to be judged by what had arrived of them.
        missing.iter().for_each(|gone| self.known.forget(gone));
    }

    /// Whether a file's entries are read again from where journald has copied them to.
    fn was_copied(&self, gone: &Gone) -> bool {
        let folder = gone.mark.path.parent();
        let name = folder.and_then(|folder| folder.file_name());
        let is_volatile = gone.mark.path.to_string_lossy().contains("/run/log/journal/");
        is_volatile && self.files.iter().any(|file| folder != Some(file.folder()) && file.folder().file_name() == name)
    }

    /// Entries of files that came and went unseen: numbers that are missing between what is known and what is new. To be
    /// called when no name has changed since files were looked for: a file that is renamed meanwhile is not seen.
    pub(super) fn count_gaps(&mut self) {
        if self.files.iter().all(|file| file.is_known) {
            return;
        }
        let mut lost = 0;
        let mut first: HashMap<String, u64> = HashMap::new();
        for file in self.files.iter().filter(|file| file.is_known) {
            let end = self.ends.entry(hex(file.seqnum_id())).or_default();
            *end = file.header.last_seqnum.max(*end);
        }
        for file in self.files.iter().filter(|file| !file.is_known) {
            let (row, begin) = (hex(file.seqnum_id()), file.header.first_seqnum);
            if self.ends.get(&row).is_some_and(|end| begin > *end) {
                let first = first.entry(row).or_insert(begin);
                *first = begin.min(*first);
            }
        }
        for (row, begin) in first {
            lost += begin - self.ends[&row] - 1;
        }
        self.lose(lost, "with journal files that were made and deleted unseen");
        for file in &mut self.files {
            file.is_known = true;
            let end = self.ends.entry(hex(file.seqnum_id())).or_default();
            *end = file.header.last_seqnum.max(*end);
        }
    }

    fn lose(&mut self, records: u64, place: &str) {
        if records > 0 {
            tracing::warn!("{records} records were lost {place}");
            self.counters.lost.add(records);
            let now_ns = realtime_ns();
            self.output.push_loss(&self.origin, Lost::Records(records), place, now_ns, now_ns);
        }
    }

    /// Closes files that have no name, were read to their end, and won't grow.
    pub(super) fn close_gone(&mut self) {
        let now = Instant::now();
        let is_over = |file: &mut JournalFile| {
            let since = file.gone.filter(|_| file.next().is_none());
            since.is_some_and(|since| file.is_finished() || now.duration_since(since) >= RETRY)
        };
        for file in self.files.extract_if(.., is_over) {
            self.blocks.forget(file.number);
            self.known.add_gone(file.key, file.put);
        }
        self.known.settle();
        self.counters.files.set(self.files.len() as u64);
        if self.known.has_gone() || self.files.iter().any(|file| file.gone.is_some()) {
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        self.next_retry.get_or_insert_with(|| Instant::now() + RETRY);
    }
}
