//! Where journal files are: the folders that were named, those of machines in them (their names are the machines' ids),
//! and what happens there.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::selection::ReadFrom;
use crate::parse::line::LineKind;
use crate::source::file::tree::{Tree, look};
use crate::source::file::watch::{Change, Watcher};
use crate::source::file::{FileId, Format, Glob, Selection};

/// Of every folder: files in it, and in the folders in it. `~` is behind what journald found damaged and left alone.
const PLACES: [&str; 4] = ["*.journal", "*.journal~", "*/*.journal", "*/*.journal~"];

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Something was written to files that are known.
    pub(super) content: bool,
    /// Files have come or gone, or have other names.
    pub(super) names: bool,
}

pub(super) struct Folders {
    tree: Tree,
    changes: Vec<Change>,
}

impl Folders {
    /// Must be called inside of the thread's runtime.
    pub(super) fn new(folders: &[PathBuf]) -> io::Result<Self> {
        let globs = |folder: &PathBuf| {
            let name = escaped(folder);
            PLACES.map(|place| Glob::parse(&format!("{name}/{place}"))).into_iter().filter_map(Result::ok)
        };
        let selection = Selection {
            kind: LineKind::Text,
            join: None,
            include: folders.iter().flat_map(globs).collect(),
            exclude: Vec::new(),
            format: Format::Text,
            gzip: false,
            read_from: ReadFrom::Beginning,
            ignore_older: None,
            deleted_time: None,
            deleted_bytes: None,
            name: None,
            max_line: 0,
            idle_flush: Duration::ZERO,
        };
        Ok(Self { tree: Tree::new(Watcher::new()?, vec![Rc::new(selection)]), changes: Vec::new() })
    }

    /// All files that are there, and watches where they are.
    pub(super) fn find_all(&mut self) -> impl Iterator<Item = (FileId, PathBuf)> + use<> {
        let mut found = Vec::new();
        self.tree.find_all(&mut found);
        found.into_iter().filter_map(|found| Some((look(&found.path).ok()?.0, found.path)))
    }

    /// What has happened since the last call.
    pub(super) fn take(&mut self, is_known: impl Fn(&PathBuf) -> bool) -> io::Result<News> {
        self.tree.watcher.take(&mut self.changes)?;
        let mut news = News::default();
        for change in self.changes.drain(..) {
            match change {
                Change::Written(path) if is_known(&path) => news.content = true,
                Change::Written(path) if self.tree.wants(&path).is_none() => {}
                _ => news.names = true,
            }
        }
        Ok(news)
    }

    /// Completes when something may have happened.
    ///
    /// # Cancellation
    /// Safe.
    pub(super) async fn wait(&self) -> io::Result<()> {
        self.tree.watcher.wait().await
    }
}

/// A path as a pattern that matches nothing else.
fn escaped(folder: &Path) -> String {
    let mut out = String::new();
    for letter in folder.to_string_lossy().trim_end_matches('/').chars() {
        match letter {
            '*' | '?' | '[' => out.extend(['[', letter, ']']),
            _ => out.push(letter),
        }
    }
    out
}
