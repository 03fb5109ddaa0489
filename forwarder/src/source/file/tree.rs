//! Which folders are watched, and which files in them are wanted.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::glob::Glob;
use super::identity::FileId;
use super::selection::Selection;
use super::watch::Watcher;

/// Folders below folders that are gone into; links may lead in circles.
const DEEPEST: usize = 64;

/// A file that is wanted.
#[derive(Clone, Debug)]
pub(in crate::source) struct Found {
    pub(in crate::source) path: PathBuf,
    pub(in crate::source) selection: Rc<Selection>,
}

pub(in crate::source) struct Tree {
    pub(in crate::source) watcher: Watcher,
    selections: Vec<Rc<Selection>>,
    /// Folders that could not be watched or read: said once.
    said: BTreeSet<PathBuf>,
    /// What files lead to, by links: the link is what matches.
    links: HashMap<PathBuf, Found>,
    /// What files are called that were renamed, and would not match.
    renamed: HashMap<PathBuf, Found>,
    /// The name that was left last, and what it stood for: it may have been renamed.
    left: Option<(PathBuf, Found)>,
    /// Whether a folder can't be watched, so that everything has to be looked at now and then.
    pub(in crate::source) blind: bool,
}

impl Tree {
    pub(in crate::source) fn new(watcher: Watcher, selections: Vec<Rc<Selection>>) -> Self {
        let (links, renamed) = Default::default();
        Self { watcher, selections, said: BTreeSet::new(), links, renamed, left: None, blind: false }
    }

    fn globs(&self) -> impl Iterator<Item = &Glob> {
        self.selections.iter().flat_map(|selection| &selection.include)
    }

    /// How the file at `path` is read; `None` where it is not wanted.
    pub(in crate::source) fn wants(&self, path: &Path) -> Option<Found> {
        let by_pattern = self.selections.iter().find(|selection| selection.matches(path));
        let found = by_pattern.map(|selection| Found { path: path.to_owned(), selection: Rc::clone(selection) });
        found.or_else(|| self.links.get(path).cloned()).or_else(|| self.renamed.get(path).cloned())
    }

    /// Patterns that match no file that is there.
    pub(in crate::source) fn unmatched<'a>(&'a self, found: &'a [Found]) -> impl Iterator<Item = &'a Glob> {
        self.globs().filter(|glob| !found.iter().any(|found| glob.matches(&found.path)))
    }

    /// A name is not there any more.
    pub(in crate::source) fn leave(&mut self, path: &Path) {
        self.left = self.wants(path).map(|found| (path.to_owned(), found));
        self.renamed.remove(path);
        // The links that lead there stay: a file that is rotated is made again under its name.
        self.links.retain(|_, link| link.path != path);
    }

    /// What the name that was left last stood for, if it is `path`.
    pub(in crate::source) fn take_left(&mut self, path: &Path) -> Option<Found> {
        self.left.take().filter(|(left, _)| left == path).map(|(_, found)| found)
    }

    /// A wanted file is called `to` now.
    pub(in crate::source) fn rename(&mut self, found: Found, to: &Path) {
        if self.selections.iter().all(|selection| !selection.matches(to)) {
            self.renamed.insert(to.to_owned(), found);
        }
    }

    /// Watches where a link leads to; returns the path there. `None` where `path` is no link.
    pub(in crate::source) fn resolve(&mut self, found: &Found) -> Option<PathBuf> {
        let real = fs::canonicalize(&found.path).ok().filter(|real| *real != found.path)?;
        if let Some(folder) = real.parent() {
            self.watch(folder, true);
        }
        self.links.insert(real.clone(), found.clone());
        Some(real)
    }

    /// Watches everything from the patterns' folders on and adds the files that are wanted.
    pub(in crate::source) fn find_all(&mut self, found: &mut Vec<Found>) {
        let bases: BTreeSet<PathBuf> = self.globs().map(Glob::base).collect();
        bases.iter().for_each(|base| self.find_base(base, found));
    }

    /// The folder `path` is there, or is not any more.
    pub(in crate::source) fn folder_changed(&mut self, path: &Path, found: &mut Vec<Found>) {
        let bases: BTreeSet<PathBuf> = self.globs().map(Glob::base).filter(|base| base.starts_with(path)).collect();
        bases.iter().for_each(|base| self.find_base(base, found));
        self.walk(path, 0, found);
    }

    /// Goes into the folder `base`, or waits for it at the nearest one above that is there.
    fn find_base(&mut self, base: &Path, found: &mut Vec<Found>) {
        let nearest = || base.ancestors().find(|folder| folder.is_dir());
        while let Some(folder) = nearest().filter(|folder| *folder != base) {
            self.watch(folder, false);
            // What was made before it was watched was not told.
            if nearest() == Some(folder) {
                return;
            }
        }
        self.walk(base, 0, found);
    }

    /// Watches the folder and those below it, as far as patterns go, and adds the files that are wanted.
    fn walk(&mut self, folder: &Path, depth: usize, found: &mut Vec<Found>) {
        if depth > DEEPEST || !self.globs().any(|glob| glob.enters(folder)) {
            return;
        }
        let has_files = self.globs().any(|glob| glob.has_files_in(folder));
        self.watch(folder, has_files);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.say(folder, "read", &error),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let is_link = kind.is_symlink();
            let is_folder = kind.is_dir() || (is_link && path.is_dir());
            if is_folder && (!is_link || self.globs().any(|glob| !glob.is_deep() && glob.enters(&path))) {
                self.walk(&path, depth + 1, found);
            } else if !is_folder && has_files {
                found.extend(self.wants(&path));
            }
        }
    }

    fn watch(&mut self, folder: &Path, files: bool) {
        match self.watcher.add(folder, files) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.blind |= error.raw_os_error() == Some(libc::ENOSPC) || error.raw_os_error() == Some(libc::ENOMEM);
                self.say(folder, "watch", &error);
            }
        }
    }

    fn say(&mut self, folder: &Path, what: &str, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound || !self.said.insert(folder.to_owned()) {
            return;
        }
        let advice = match error.raw_os_error() {
            Some(libc::ENOSPC) => "; raise the sysctl fs.inotify.max_user_watches; it is looked at every 10 s instead",
            _ => "",
        };
        tracing::error!("can't {what} {}: {error}{advice}", folder.display());
    }
}

/// The numbers of the file that a path leads to, with its metadata.
pub(in crate::source) fn look(path: &Path) -> io::Result<(FileId, fs::Metadata)> {
    let metadata = fs::metadata(path)?;
    Ok((id_of(&metadata), metadata))
}

pub(in crate::source) fn id_of(metadata: &fs::Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}
