//! The file that says how far the destination is.

use std::fs;
use std::io;
use std::path::Path;

use crate::sys::files;

const NAME: &str = "acknowledged";

/// Everything below this sequence is acknowledged. A file that can't be read or is damaged says nothing: what it
/// covered is delivered again, none is lost.
pub(super) fn read(directory: &Path) -> u64 {
    let path = directory.join(NAME);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
        Err(error) => return unreadable(&path, &error),
    };
    let parts = text.trim_end().split_once(' ');
    let is_whole = parts.is_some_and(|(number, sum)| sum == checksum(number));
    match parts.and_then(|(number, _)| number.parse().ok()).filter(|_| is_whole) {
        Some(sequence) => sequence,
        None => unreadable(&path, &"it is damaged"),
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> u64 {
    tracing::warn!("{} can't be used ({why}): records may be sent again", path.display());
    0
}

/// Returns when it is safe from a power cut.
pub(super) fn write(directory: &Path, sequence: u64) -> io::Result<()> {
    let number = sequence.to_string();
    files::replace(&directory.join(NAME), format!("{number} {}\n", checksum(&number)).as_bytes())
}

fn checksum(number: &str) -> String {
    format!("{:08x}", crc32fast::hash(number.as_bytes()))
}
