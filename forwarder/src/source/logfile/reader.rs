//! Reads a log file from an offset to its present end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::parse::log_line::{LineError, LogLine};
use crate::parse::{cri, docker_json};
use crate::record::Stream;
use crate::source::container::{LogFile, LogFormat};

/// Longest line that is read: CRI and Docker cut at 16 KiB, times six for escapes, with room for other limits.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// A piece of a stream, as the container wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub stream: Stream,
    pub time_ns: i64,
    /// With the newline, unless the container's line goes on in the next chunk of the stream (or never ended).
    pub payload: Vec<u8>,
    /// Offset in the file just after the line that held it.
    pub end_offset: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("can't {what} the log file {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

/// An open log file. Reads complete lines only: a line whose newline isn't written yet stays for the next call.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    format: LogFormat,
    file: BufReader<File>,
    offset: u64,
    /// Lines that were none of the format, or too long.
    skipped: u64,
    line: Vec<u8>,
}

impl Reader {
    /// Opens a file and goes to `offset`, which must be 0 or an `end_offset` of the same file.
    pub fn open(path: &Path, format: LogFormat, offset: u64) -> Result<Self, ReadError> {
        let fail = |what| move |source| ReadError::Io { what, path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(64 << 10, File::open(path).map_err(fail("open"))?);
        file.seek(SeekFrom::Start(offset)).map_err(fail("seek in"))?;
        Ok(Self { path: path.to_owned(), format, file, offset, skipped: 0, line: Vec::new() })
    }

    /// Opens a file and goes to the first line that begins at `offset` or after it.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn open_near(path: &Path, format: LogFormat, offset: u64) -> Result<Self, ReadError> {
        // From the byte before: where that ends a line, the line at `offset` is whole.
        let mut reader = Self::open(path, format, offset.saturating_sub(1))?;
        if offset > 0 {
            reader.offset += reader.read_line()?.unwrap_or(0);
        }
        Ok(reader)
    }

    /// Offset after the last complete line that was read, skipped ones included.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Lines that could not be read so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The next piece, or `None` at the present end: call again when the file has grown.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        loop {
            let Some(read) = self.read_line()? else { return Ok(None) };
            self.offset += read;
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            match parse_line(self.format, line) {
                Ok(line) if self.line.len() <= MAX_LINE_BYTES => {
                    let (stream, time_ns, mut payload) = (line.stream, line.time_ns, line.text.into_owned());
                    if !line.partial {
                        payload.push(b'\n');
                    }
                    self.release();
                    return Ok(Some(Chunk { stream, time_ns, payload, end_offset: self.offset }));
                }
                _ => self.skipped += 1,
            }
        }
    }

    /// Reads one line into `self.line`, at most one byte past the limit of it; returns its length in the file.
    fn read_line(&mut self) -> Result<Option<u64>, ReadError> {
        self.line.clear();
        let mut length = 0u64;
        loop {
            let available = match self.file.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ReadError::Io { what: "read", path: self.path.clone(), source }),
            };
            if available.is_empty() {
                // An unfinished line: come back to its start.
                let path = &self.path;
                let back = self.file.seek(SeekFrom::Start(self.offset));
                back.map_err(|source| ReadError::Io { what: "seek in", path: path.clone(), source })?;
                return Ok(None);
            }
            let (used, done) = match memchr::memchr(b'\n', available) {
                Some(at) => (at + 1, true),
                None => (available.len(), false),
            };
            let keep = used.min((MAX_LINE_BYTES + 1).saturating_sub(self.line.len()));
            self.line.extend_from_slice(&available[..keep]);
            self.file.consume(used);
            length += used as u64;
            if done {
                return Ok(Some(length));
            }
        }
    }

    /// One long line must not keep its memory for ever.
    fn release(&mut self) {
        self.line.clear();
        self.line.shrink_to(64 << 10);
    }
}

/// What [`backlog`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Offset in the newest file up to which it was read: following it goes on there.
    pub offset: u64,
    /// Inode of that file, to notice a rotation; 0 where there was none.
    pub inode: u64,
    pub skipped_lines: u64,
    /// Rotated files that are compressed and were not read.
    pub skipped_files: u64,
}

/// Gives `each` everything that a container's log files hold, oldest first, until it returns false.
///
/// Rotated siblings are read first: `<n>.log.<timestamp>` of kubelet, `<id>-json.log.<n>` of Docker (the highest
/// number is the oldest). A line that is not yet finished is left for a follower.
///
/// # Errors
/// Where the newest file can't be read. Rotated files that vanish meanwhile are no error.
pub fn backlog(log: &LogFile, mut each: impl FnMut(Chunk) -> bool) -> Result<Backlog, ReadError> {
    let mut result = Backlog::default();
    // Opened before the siblings are listed: rotated meanwhile, it would be read twice or not at all otherwise.
    let mut newest = Reader::open(&log.path, log.format, 0)?;
    result.inode = inode(newest.file.get_ref());
    let (siblings, compressed) = rotated(&log.path);
    result.skipped_files = compressed;
    for sibling in siblings {
        let Ok(mut reader) = Reader::open(&sibling, log.format, 0) else { continue };
        if inode(reader.file.get_ref()) == result.inode {
            continue;
        }
        while let Ok(Some(chunk)) = reader.next_chunk() {
            if !each(chunk) {
                return Ok(result);
            }
        }
        result.skipped_lines += reader.skipped();
    }
    while let Some(chunk) = newest.next_chunk()? {
        result.offset = newest.offset();
        if !each(chunk) {
            break;
        }
    }
    result.offset = newest.offset();
    result.skipped_lines += newest.skipped();
    Ok(result)
}

/// Parses one line, given without its newline.
fn parse_line(format: LogFormat, line: &[u8]) -> Result<LogLine<'_>, LineError> {
    match format {
        LogFormat::Cri | LogFormat::K8sFile => cri::parse(line),
        LogFormat::DockerJson => docker_json::parse(line),
    }
}

fn inode(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |meta| meta.ino())
}

/// Rotated files beside `path`, oldest first, and how many more are compressed.
fn rotated(path: &Path) -> (Vec<PathBuf>, u64) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return (Vec::new(), 0);
    };
    let Ok(entries) = fs::read_dir(directory) else { return (Vec::new(), 0) };
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    let mut compressed = 0;
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let Some(suffix) = file_name.to_str().and_then(|other| other.strip_prefix(name)?.strip_prefix('.')) else {
            continue;
        };
        if suffix.ends_with(".gz") || suffix.ends_with(".tmp") {
            compressed += u64::from(suffix.ends_with(".gz"));
        } else if suffix.bytes().all(|b| b.is_ascii_digit() || b == b'-') && !suffix.is_empty() {
            found.push((suffix.to_owned(), entry.path()));
        }
    }
    // `20060102-150405` sorts as text, oldest first; Docker's `1`, `2` count up with age.
    found.sort_by(|(a, _), (b, _)| match (a.parse::<u16>(), b.parse::<u16>()) {
        (Ok(a), Ok(b)) => b.cmp(&a),
        _ => a.cmp(b),
    });
    (found.into_iter().map(|(_, path)| path).collect(), compressed)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
