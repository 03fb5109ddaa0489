//! What happened to files and folders: names that come, go and change, and everything looked at anew.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Reader;
use crate::source::file::tree::{Found, look};
use crate::source::file::watch::Change;

impl Reader {
    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::Written(path) => match self.by_path.get(&path) {
                Some(number) => self.make_ready(*number),
                None => self.on_appeared(&path),
            },
            Change::Appeared(path) => self.on_appeared(&path),
            Change::Left(path) => {
                self.tree.leave(&path);
                self.on_left(&path);
            }
            Change::Renamed { from, to } => {
                if let Some(found) = self.tree.take_left(&from) {
                    self.tree.rename(found.clone(), &to);
                    self.open_or_name(&Found { path: to, ..found.clone() }, Some(&found.path), false);
                } else {
                    self.on_appeared(&to);
                }
            }
            Change::Folder(path) | Change::FolderLeft(path) => {
                let gone: Vec<_> = self.by_path.keys().filter(|name| name.starts_with(&path)).cloned().collect();
                gone.iter().filter(|name| !name.exists()).for_each(|name| self.on_left(name));
                let mut found = Vec::new();
                self.tree.folder_changed(&path, &mut found);
                found.iter().for_each(|found| self.open_or_name(found, None, false));
            }
            Change::Missed => {
                tracing::info!("too much happened at once for inotify: looking at all files");
                self.look_at_all();
            }
        }
    }

    fn on_appeared(&mut self, path: &Path) {
        match look(path) {
            Ok((_, metadata)) if metadata.is_dir() => {
                let mut found = Vec::new();
                self.tree.folder_changed(path, &mut found);
                found.iter().for_each(|found| self.open_or_name(found, None, false));
            }
            Ok((id, _)) => match (self.by_id.get(&id), self.tree.wants(path)) {
                (Some(number), _) => self.name(*number, path),
                (None, Some(found)) => {
                    let was = found.path.clone();
                    self.open_or_name(&Found { path: path.to_owned(), ..found }, Some(&was), false);
                }
                (None, None) => {}
            },
            Err(_) => {}
        }
    }

    /// `path` is no name of a file any more.
    pub(super) fn on_left(&mut self, path: &Path) {
        self.said.remove(path);
        let Some(number) = self.by_path.remove(path) else { return };
        let Some(file) = self.files.get_mut(&number) else { return };
        file.names.retain(|name| name != path);
        file.left = Some(path.to_owned());
        if !file.is_named() && file.nameless.is_none() {
            file.nameless = Some(Instant::now());
            self.bound_deleted(number);
            self.wake(number);
        }
    }

    /// `path` is a name of a file that is read.
    pub(super) fn name(&mut self, number: u64, path: &Path) {
        if self.by_path.get(path) != Some(&number) {
            self.on_left(path);
            self.by_path.insert(path.to_owned(), number);
            if let Some(file) = self.files.get_mut(&number) {
                file.names.push(path.to_owned());
                file.on_renamed();
                file.nameless = None;
            }
            self.clear_deadline(number);
        }
        self.make_ready(number);
    }

    /// Finds everything that is wanted; how many files there are.
    pub(super) fn find_all(&mut self, at_start: bool) -> usize {
        let mut found = Vec::new();
        self.tree.find_all(&mut found);
        found.iter().for_each(|found| self.open_or_name(found, None, at_start));
        if at_start {
            self.tree.unmatched(&found).for_each(|glob| tracing::info!("no file matches {glob} yet"));
            self.find_renamed();
        }
        if self.tree.blind {
            self.retry_later();
        }
        self.files.len()
    }

    /// Finds files that an earlier run knew and that were renamed since, beside where they were.
    fn find_renamed(&mut self) {
        let folders: HashSet<PathBuf> = self.known.places().map(Path::to_owned).collect();
        for entry in folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
            let path = entry.path();
            let Ok((id, _)) = look(&path) else { continue };
            if self.known.is_waited_for(id)
                && let Some(was) = self.known.path_of(id)
                && let Some(found) = self.tree.wants(&was)
            {
                self.tree.rename(found.clone(), &path);
                self.open_or_name(&Found { path, ..found }, Some(&was), false);
            }
        }
    }

    pub(super) fn look_at_all(&mut self) {
        let names: Vec<_> = self.by_path.iter().map(|(path, number)| (path.clone(), *number)).collect();
        for (path, number) in names {
            let id = look(&path).ok().map(|(id, _)| id);
            if id.is_none() || id != self.files.get(&number).map(|file| file.id) {
                self.on_left(&path);
            }
        }
        self.find_all(false);
        let all: Vec<_> = self.files.keys().copied().collect();
        all.into_iter().for_each(|number| self.make_ready(number));
    }
}
