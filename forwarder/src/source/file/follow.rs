//! One file that is read: where reading is, and a turn of it.
//!
//! The file is its own buffer: what follows its last newline is not kept but read again when there is more, so that
//! an idle file has no memory besides its place. Where much follows the last newline, only what is new is looked at,
//! until a newline comes.
//!
//! Each turn looks first at the file's length and at its first bytes: a file that is shorter than what was read of it,
//! or begins with something else, was truncated, and is another file from then on.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

mod archive;

pub(super) use self::archive::{Archive, Examined, QUIET};
use super::container::{ContainerLines, Origins};
use super::gzip::is_gzip;
use super::identity::{FileId, Fingerprint, MOST, born_ns, start_of};
use super::lines::TextLines;
use super::names;
use super::position::Restart;
use super::selection::{Format, Selection};
use crate::record::{Origin, OriginHandle, OriginKind, Stream};
use crate::source::lines::Lines;
use crate::state::ContentMark;

/// Bytes that are read in one turn. Measured: 30 ns for 275 bytes up to 128 KiB, 118 ns from 256 KiB on, where the copy
/// does not stay in the second-level cache; the smaller one leaves room there for the batch.
pub(super) const TURN: usize = 64 << 10;
/// An unfinished line that is shorter is simply read again.
const READ_AGAIN: u64 = 4 << 10;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    More,
    AtEnd,
    /// The file has begun anew; so many bytes of what it was are known to be lost.
    Truncated(u64),
    /// It is compressed, and so many bytes of it are of no use.
    Damaged(u64),
    /// It is compressed, and what it holds may have been read under another name.
    Unexamined,
    /// It is compressed, and such files are not asked for.
    LeftOut,
}

/// What became of the file's known beginning in a turn.
pub(super) struct Outcome {
    pub(super) turn: Turn,
    pub(super) read: usize,
    /// The file is known better than before: its mark is to be saved, before what was put can be acknowledged.
    pub(super) grown: bool,
}

/// A file that is read.
pub(super) struct Followed {
    file: File,
    pub(super) id: FileId,
    pub(super) born_ns: i64,
    /// Key of its checkpoints.
    pub(super) key: String,
    /// What it was called when it was found: its name in records.
    pub(super) path: PathBuf,
    /// All names that it has now.
    pub(super) names: Vec<PathBuf>,
    pub(super) selection: Rc<Selection>,
    pub(super) fingerprint: Fingerprint,
    /// Offset at which reading began at first.
    pub(super) start: u64,
    content: Content,
    /// What was read of it, where it may be found compressed later.
    pub(super) sums: Option<ContentMark>,
    /// Where it is compressed.
    pub(super) archive: Option<Box<Archive>>,
    origin: OriginHandle,
    /// Everything before was put.
    offset: u64,
    /// No newline is between `offset` and this.
    scanned: u64,
    /// Of the file, when it was looked at last.
    length: u64,
    /// Whether it waits for its turn.
    pub(super) queued: bool,
    /// When to look at it again although nothing was told.
    pub(super) deadline: Option<Instant>,
    /// When it lost its last name, or grew after that.
    pub(super) nameless: Option<Instant>,
    /// The name that it lost last.
    pub(super) left: Option<PathBuf>,
}

enum Content {
    /// The format is not known yet.
    Unknown,
    Text(TextLines),
    Container(Box<ContainerLines>),
}

impl Followed {
    /// A file that is read from `restart` on; plain. `start`: its first bytes.
    pub(super) fn new(
        file: File,
        id: FileId,
        key: String,
        path: PathBuf,
        selection: Rc<Selection>,
        start: &[u8],
        restart: Restart,
    ) -> Self {
        let origin = origins(&path, &selection, &key).unknown;
        Self {
            born_ns: born_ns(&file),
            file,
            id,
            key,
            names: vec![path.clone()],
            path,
            selection,
            fingerprint: Fingerprint::of(start),
            start: restart.offset,
            content: Content::Unknown,
            sums: None,
            archive: None,
            origin,
            offset: restart.from,
            scanned: restart.from,
            length: 0,
            queued: false,
            deadline: None,
            nameless: None,
            left: None,
        }
    }

    /// Goes to the first line of a plain file that begins at `offset` or after it.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn go_to_line(&mut self) -> io::Result<()> {
        if self.offset == 0 {
            return Ok(());
        }
        let mut buffer = [0; 4096];
        // From the byte before: where that ends a line, the line at `offset` is whole.
        let mut at = self.offset - 1;
        loop {
            let len = self.file.read_at(&mut buffer, at)?;
            if let Some(newline) = memchr::memchr(b'\n', &buffer[..len]) {
                at += newline as u64 + 1;
                break;
            }
            at += len as u64;
            if len == 0 {
                break;
            }
        }
        (self.offset, self.scanned) = (at, at);
        Ok(())
    }

    /// Everything before has been put.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether something that was read waits for more.
    pub(super) fn is_waiting(&self) -> bool {
        if self.archive.as_ref().is_some_and(|archive| archive.is_waiting()) {
            return true;
        }
        match &self.content {
            Content::Container(content) => content.is_waiting(),
            Content::Text(content) => self.scanned > self.offset || content.patience().is_some(),
            Content::Unknown => self.scanned > self.offset,
        }
    }

    /// After how long without more that is to be flushed.
    pub(super) fn patience(&self) -> Duration {
        let joined = match &self.content {
            Content::Container(content) => content.patience(),
            Content::Text(content) if self.scanned == self.offset => content.patience(),
            _ => None,
        };
        joined.unwrap_or(self.selection.idle_flush)
    }

    /// Bytes of it that are not put.
    pub(super) fn unread(&self) -> u64 {
        let length = self.file.metadata().map_or(self.length, |metadata| metadata.size());
        length.saturating_sub(self.archive.as_ref().map_or(self.offset, |archive| archive.packed()))
    }

    pub(super) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    /// Lines that were none of the format since the last call.
    pub(super) fn take_unparsed(&mut self) -> u64 {
        match &mut self.content {
            Content::Container(content) => std::mem::take(&mut content.unparsed),
            _ => 0,
        }
    }

    /// Where losses are reported.
    pub(super) fn origin(&self) -> &OriginHandle {
        &self.origin
    }

    /// Reads once and puts what lines that completes.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn turn(&mut self, buffer: &mut Vec<u8>, time_ns: i64, lines: &mut Lines) -> io::Result<Outcome> {
        let metadata = self.file.metadata()?;
        let length = metadata.size();
        let mut start = [0; MOST];
        let start = if length == 0 { &start[..0] } else { start_of(&self.file, &mut start)? };
        let (put, seen) = match &self.archive {
            Some(archive) => (archive.packed(), archive.packed()),
            None => (self.offset, self.scanned),
        };
        if length < seen || !self.fingerprint.fits(start) {
            let lost = self.length.max(seen) - put;
            return Ok(Outcome { turn: Turn::Truncated(lost), read: 0, grown: false });
        }
        let grown = start.len() > self.fingerprint.len;
        if grown {
            self.fingerprint = Fingerprint::of(start);
        }
        if self.archive.is_none() && self.scanned == 0 {
            match is_gzip(start) {
                Some(true) if self.selection.gzip => self.archive = Some(Box::new(Archive::unknown(false))),
                Some(true) => {
                    self.archive = Some(Box::new(Archive::left_out()));
                    return Ok(Outcome { turn: Turn::LeftOut, read: 0, grown: false });
                }
                None => return Ok(Outcome { turn: Turn::AtEnd, read: 0, grown }),
                Some(false) => {}
            }
        }
        if self.archive.is_some() {
            return self.turn_archive(&metadata, grown, buffer, time_ns, lines);
        }
        self.length = length;
        if length == self.scanned {
            return Ok(Outcome { turn: Turn::AtEnd, read: 0, grown });
        }
        self.choose_format(start);
        let (mut read, mut more) = (0, true);
        if self.scanned - self.offset > READ_AGAIN {
            let wanted = self.look_for_newline(buffer)?;
            read += wanted.read;
            match wanted.until {
                Some(until) => reserve(buffer, usize::try_from(until - self.offset).unwrap_or(usize::MAX)),
                None => more = false,
            }
        }
        let mut turn = if self.scanned < length { Turn::More } else { Turn::AtEnd };
        if more {
            let len = read_at(&self.file, buffer, self.offset)?;
            read += len;
            let used = self.put(&buffer[..len], time_ns, lines) as u64;
            self.add_to_sums(&buffer[..used as usize]);
            self.scanned = self.offset + len as u64;
            self.offset += used;
            turn = if len == buffer.len() { Turn::More } else { Turn::AtEnd };
        }
        Ok(Outcome { turn, read, grown })
    }

    /// Looks at what is new behind a long unfinished line.
    fn look_for_newline(&mut self, buffer: &mut [u8]) -> io::Result<Looked> {
        let read = read_at(&self.file, buffer, self.scanned)?;
        let end = memchr::memchr(b'\n', &buffer[..read]).map(|at| self.scanned + at as u64 + 1);
        let too_long = self.offset + self.longest() as u64 + 1;
        let until = match end {
            Some(end) => Some(end),
            None if self.scanned + read as u64 >= too_long => Some(too_long),
            None => None,
        };
        if until.is_none() {
            self.scanned += read as u64;
        }
        Ok(Looked { read, until: until.map(|until| until.min(too_long)) })
    }

    /// Bytes after which the end of a line is not waited for.
    fn longest(&self) -> usize {
        match &self.content {
            Content::Container(content) => content.longest(),
            _ => self.selection.max_line,
        }
    }

    fn put(&mut self, data: &[u8], time_ns: i64, lines: &mut Lines) -> usize {
        match &mut self.content {
            Content::Container(content) => content.put_lines(data, self.offset, time_ns, lines),
            Content::Text(content) => content.put_lines(data, self.offset, time_ns, lines),
            // What was read first chose it.
            Content::Unknown => 0,
        }
    }

    fn choose_format(&mut self, start: &[u8]) {
        if !matches!(self.content, Content::Unknown) || start.is_empty() {
            return;
        }
        let format = match self.selection.format {
            Format::Auto if names::container(&self.path).is_none() => Format::Text,
            // The kubelet's links lead to the files of the runtime, which may be Docker.
            Format::Auto if start[0] == b'{' => Format::Docker,
            Format::Auto => Format::Cri,
            format => format,
        };
        let (origins, selection) = (origins(&self.path, &self.selection, &self.key), &self.selection);
        self.content = match format {
            Format::Cri => Content::Container(Box::new(ContainerLines::cri(origins, selection))),
            Format::Docker => Content::Container(Box::new(ContainerLines::docker(origins, selection))),
            Format::Text | Format::Auto => Content::Text(TextLines::new(self.origin.clone(), selection)),
        };
    }

    /// Puts what waits for more, as a part: nothing has followed for a while. A line of a container's log that has not
    /// been written to its end goes on waiting, unless `at_end`: nothing will follow.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn flush(
        &mut self,
        at_end: bool,
        buffer: &mut Vec<u8>,
        time_ns: i64,
        lines: &mut Lines,
    ) -> io::Result<()> {
        let rest = self.scanned - self.offset;
        let puts_rest = rest > 0 && (at_end || !matches!(self.content, Content::Container(_)));
        if puts_rest && self.archive.is_some() {
            self.flush_archive(time_ns, lines);
        } else if puts_rest {
            let wanted = usize::try_from(rest).unwrap_or(usize::MAX);
            reserve(buffer, wanted);
            let len = read_at(&self.file, &mut buffer[..wanted], self.offset)?;
            self.add_to_sums(&buffer[..len]);
            self.put_rest(&buffer[..len], time_ns, lines);
        }
        self.flush_parts(lines);
        Ok(())
    }

    /// Puts what follows the last newline.
    fn put_rest(&mut self, rest: &[u8], time_ns: i64, lines: &mut Lines) {
        let (start, end) = (self.offset, self.offset + rest.len() as u64);
        match &mut self.content {
            Content::Container(content) => content.put_line(rest, start, end, time_ns, lines),
            Content::Text(content) => content.put_part(rest, end, time_ns, lines),
            Content::Unknown => {}
        }
        (self.offset, self.scanned) = (end, end);
    }

    /// It has another name, or one more.
    pub(super) fn on_renamed(&mut self) {
        if let Some(sums) = &mut self.sums {
            sums.rename();
        }
    }

    /// `data`, at `offset`, is what is put.
    fn add_to_sums(&mut self, data: &[u8]) {
        if self.selection.gzip {
            self.sums.get_or_insert_with(|| ContentMark::new(self.offset)).add(data, self.offset);
        }
    }

    /// Puts the parts of joined lines that wait, and lines that wait for others.
    pub(super) fn flush_parts(&mut self, lines: &mut Lines) {
        match &mut self.content {
            Content::Container(content) => content.flush(self.offset, lines),
            Content::Text(content) => content.flush(lines),
            Content::Unknown => {}
        }
    }

    /// Begins anew, as the file `key`.
    pub(super) fn begin_anew(&mut self, key: String) {
        self.origin = origins(&self.path, &self.selection, &key).unknown;
        self.key = key;
        self.content = Content::Unknown;
        (self.sums, self.archive) = (None, None);
        self.fingerprint = Fingerprint::of(&[]);
        (self.start, self.offset, self.scanned, self.length) = (0, 0, 0, 0);
    }
}

struct Looked {
    read: usize,
    /// A line ends there, or has to be cut.
    until: Option<u64>,
}

/// Who writes a file.
fn origins(path: &std::path::Path, selection: &Selection, key: &str) -> Origins {
    let log = if selection.format == Format::Text { None } else { names::container(path) };
    let is_container = log.is_some() || matches!(selection.format, Format::Cri | Format::Docker);
    let kind = if is_container { OriginKind::Container } else { OriginKind::File };
    let (name, attributes) = match log {
        Some(log) => (log.name, log.attributes),
        None => (path.to_string_lossy().into_owned(), Vec::new()),
    };
    let name = selection.name.clone().unwrap_or(name);
    let origin = |stream| {
        let (name, source, attributes) = (name.clone(), key.to_owned(), attributes.clone());
        OriginHandle::new(Origin { kind, name, stream, source, attributes })
    };
    Origins { stdout: origin(Stream::Stdout), stderr: origin(Stream::Stderr), unknown: origin(Stream::None) }
}

/// Room for `len` bytes.
fn reserve(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
}

/// As much as there is, up to the length of `buffer`.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
