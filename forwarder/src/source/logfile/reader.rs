//! Reads a log file from an offset to its present end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::parse::log_line::{LineError, LogLine};
use crate::parse::{cri, docker_json};
use crate::record::Stream;
use crate::source::container::LogFormat;

/// Longest line that is read: CRI and Docker cut at 16 KiB, times six for escapes, with room for other limits.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// Bytes of a file within which a time is not looked for more closely.
const SEEK_BYTES: u64 = 64 << 10;

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
        let opened = File::open(path);
        let opened = opened.map_err(|source| ReadError::Io { what: "open", path: path.to_owned(), source })?;
        let file = BufReader::with_capacity(64 << 10, opened);
        let mut reader = Self { path: path.to_owned(), format, file, offset: 0, skipped: 0, line: Vec::new() };
        reader.seek(offset)?;
        Ok(reader)
    }

    /// Goes to a place before all lines that are stamped `time_ns` or later, near them. Lines are expected in the order of
    /// their stamps.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn seek_time(&mut self, time_ns: i64) -> Result<(), ReadError> {
        let (mut low, mut high) = (0, self.length());
        while high - low > SEEK_BYTES {
            let middle = low + (high - low) / 2;
            self.seek_near(middle)?;
            match self.next_chunk()? {
                Some(chunk) if chunk.time_ns < time_ns => low = middle,
                _ => high = middle,
            }
        }
        self.seek_near(low)
    }

    /// Goes to the first line that begins at `offset` or after it.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn seek_near(&mut self, offset: u64) -> Result<(), ReadError> {
        // From the byte before: where that ends a line, the line at `offset` is whole.
        self.seek(offset.saturating_sub(1))?;
        if offset > 0 {
            self.offset += self.read_line()?.unwrap_or(0);
        }
        Ok(())
    }

    fn seek(&mut self, offset: u64) -> Result<(), ReadError> {
        let sought = self.file.seek(SeekFrom::Start(offset));
        sought.map_err(|source| ReadError::Io { what: "seek in", path: self.path.clone(), source })?;
        self.offset = offset;
        Ok(())
    }

    /// Bytes of the file now.
    pub fn length(&self) -> u64 {
        self.file.get_ref().metadata().map_or(0, |file| file.len())
    }

    /// Which file it is, whatever its name is by now.
    pub fn inode(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.file.get_ref().metadata().map_or(0, |file| file.ino())
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
                self.seek(self.offset)?;
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

/// Parses one line, given without its newline.
fn parse_line(format: LogFormat, line: &[u8]) -> Result<LogLine<'_>, LineError> {
    match format {
        LogFormat::Cri | LogFormat::K8sFile => cri::parse(line),
        LogFormat::DockerJson => docker_json::parse(line),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
