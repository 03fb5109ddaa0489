//! The file of one source, and its rotation.
//!
//! ```text
//! SOURCE.log              the newest lines
//! SOURCE.log.0 … .N-1     rotated, .0 the newest; N is -max-log-files
//! ```

use std::fs::{File, OpenOptions, rename};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::record::OriginId;

/// Lines are written together up to so many bytes.
const PENDING_BYTES: usize = 64 << 10;
/// A longer name is cut, and told apart from others by a hash: a file's name has at most 255 bytes.
const NAME_BYTES: usize = 200;

/// How files are rotated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// A file that is longer after a line is rotated.
    pub(super) max_size: u64,
    /// Rotated files that are kept.
    pub(super) max_files: u64,
}

/// The open file of a source.
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    /// Bytes in it, and those that wait.
    size: u64,
    pending: Vec<u8>,
}

impl LogFile {
    /// Opens the file of `source` for appending; what is in it counts.
    pub(super) fn open(dir: &Path, source: &[u8]) -> io::Result<Self> {
        let path = dir.join(std::ffi::OsStr::from_bytes(&file_name(source)));
        let file = OpenOptions::new().append(true).create(true).mode(0o644).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, path, size, pending: Vec::new() })
    }

    /// Appends a line, with its newline, and rotates.
    pub(super) fn write(&mut self, line: &[u8], rotation: Rotation) -> io::Result<()> {
        self.pending.extend_from_slice(line);
        self.size += line.len() as u64;
        if self.size > rotation.max_size {
            self.flush()?;
            self.rotate(rotation.max_files)
        } else if self.pending.len() >= PENDING_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let result = self.file.write_all(&self.pending);
        self.pending.clear();
        result
    }

    fn rotate(&mut self, max_files: u64) -> io::Result<()> {
        let numbered = |number: u64| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (0..max_files).rev() {
            let newer = if number == 0 { self.path.clone() } else { numbered(number - 1) };
            match rename(newer, numbered(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// One component of a path, whatever the source is: `/` and NUL can't be in it, and with its ending none is `.` or `..`.
fn file_name(source: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(source.len() + 4);
    for byte in &source[..source.len().min(NAME_BYTES)] {
        match byte {
            b'/' | 0 => name.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            byte => name.push(*byte),
        }
    }
    if source.len() > NAME_BYTES {
        name.truncate(NAME_BYTES);
        name.extend_from_slice(format!("~{:016x}", OriginId::of_text(source).0).as_bytes());
    }
    name.extend_from_slice(b".log");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        for (source, expected) in [
            (&b"svc.out"[..], "svc.out.log"),
            (b"../evil", "..%2Fevil.log"),
            (b"/etc/passwd", "%2Fetc%2Fpasswd.log"),
            (b"a\0b", "a%00b.log"),
            (b"..", "...log"),
            (b"", ".log"),
        ] {
            assert_eq!(file_name(source), expected.as_bytes());
        }
        let (long, other) = (vec![b'/'; 512], [vec![b'/'; 511], vec![b'x']].concat());
        assert!(file_name(&long).len() < 255 && file_name(&long) != file_name(&other));
    }

    #[test]
    fn rotated_files_are_numbered_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let rotation = Rotation { max_size: 5, max_files: 2 };
        std::fs::write(dir.path().join("s.log"), "old\n").unwrap();
        let mut file = LogFile::open(dir.path(), b"s").unwrap();
        for line in ["1\n", "22\n", "333\n", "4444\n", "55555\n", "6\n"] {
            file.write(line.as_bytes(), rotation).unwrap();
        }
        file.flush().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_else(|_| "-".into());
        let found = ["s.log", "s.log.0", "s.log.1", "s.log.2"].map(read);
        assert_eq!(found, ["6\n", "4444\n55555\n", "22\n333\n", "-"].map(str::to_owned));
    }

    #[test]
    fn without_rotated_files_the_file_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = LogFile::open(dir.path(), b"s").unwrap();
        for line in ["11\n", "2\n"] {
            file.write(line.as_bytes(), Rotation { max_size: 2, max_files: 0 }).unwrap();
        }
        file.flush().unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("s.log")).unwrap(), "2\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
