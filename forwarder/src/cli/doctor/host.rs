//! The machine that is looked at: its root directory, so that a test can show a machine that lacks something.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file system tree with `/proc`, `/sys`, `/dev` and `/run` below it.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

/// A line of `/proc/self/mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub kind: String,
    pub at: String,
    pub options: String,
}

impl Host {
    /// The machine that this process runs on.
    pub fn this() -> Host {
        Host { root: PathBuf::from("/") }
    }

    /// A machine whose root is at `root`.
    pub fn at(root: &Path) -> Host {
        Host { root: root.to_owned() }
    }

    /// Where the machine's `path` (absolute) is found.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A small text file's content, without white space around it.
    ///
    /// # Errors
    /// As reading does.
    pub fn text(&self, path: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.path(path))?).trim().to_owned())
    }

    /// What is mounted, as this process sees it.
    pub fn mounts(&self) -> Vec<Mount> {
        let text = self.text("/proc/self/mounts").unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let mut words = line.split(' ');
                let (_source, at, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
                // proc(5): spaces in paths are written as \040.
                Some(Mount { kind: kind.into(), at: at.replace("\\040", " "), options: options.into() })
            })
            .collect()
    }

    /// Where a file system of `kind` is mounted first.
    pub fn mounted(&self, kind: &str) -> Option<String> {
        self.mounts().into_iter().find(|mount| mount.kind == kind).map(|mount| mount.at)
    }

    /// The names (`comm`) of running processes.
    pub fn process_names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("/proc")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
            // A process that ended meanwhile has no name any more.
            .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
            .map(|name| name.trim_end().to_owned())
            .collect()
    }
}
