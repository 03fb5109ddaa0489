//! A folder of files with batches, each named by the sequence of its first one (20 digits).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that begins with `first`.
pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.seg"))
}

/// Files by the sequence in their names, ascending.
pub(super) fn segment_files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(first) = first.filter(|first| self::path(directory, *first) == path) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}
