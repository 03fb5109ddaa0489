//! The thread that reads all journal files, the earliest entry first.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::blocks::Blocks;
use super::copies::Copies;
use super::fields::Fields;
use super::file::{JournalFile, hex};
use super::folders::Folders;
use super::known::{Gone, KnownJournals};
use super::selection::{ReadFrom, Selection};
use crate::io::{IoMode, run};
use crate::observe::counters::{Counter, Gauge};
use crate::parse::journal::{self, Head};
use crate::record::{Lost, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::file::{FileId, raise_descriptor_limit};
use crate::source::output::Output;
use crate::state::StateDir;

/// Entries and bytes between two looks at what has happened, and at whether the ring has room.
const TURN_ENTRIES: usize = 256;
const TURN_BYTES: usize = 64 << 10;
/// How long a file without a name is looked at that its writer has not closed, and how often is looked whether what is
/// gone has arrived.
const RETRY: Duration = Duration::from_secs(10);
/// Services of one file whose origins are kept.
const MOST_ORIGINS: usize = 256;

/// What to read.
pub struct JournalOptions {
    pub selection: Selection,
    /// Where it is kept how far files were sent; nothing is where it is absent.
    pub state: Option<StateDir>,
    /// Names of the destinations that keep checkpoints there.
    pub destinations: Vec<String>,
}

/// The journal can't be read at all.
#[derive(Debug, thiserror::Error)]
#[error("the journal can't be read: {0}")]
pub struct JournalError(#[from] io::Error);

/// What the journal has given since the start.
#[derive(Debug, Default)]
pub struct JournalCounters {
    pub files: Gauge,
    pub entries: Counter,
    /// Entries that were not asked for.
    pub discarded: Counter,
    /// Entries that journald had copied.
    pub copies: Counter,
    pub damaged_fields: Counter,
    pub lost: Counter,
}

impl fmt::Display for JournalCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, entries, discarded, copies, damaged_fields, lost } = self;
        let [files, entries, discarded] = [files.value(), entries.value(), discarded.value()];
        let [copies, damaged, lost] = [copies.value(), damaged_fields.value(), lost.value()];
        write!(
            f,
            "{files} files, {entries} entries read, {discarded} of them not wanted, {copies} copies, {damaged} fields damaged, {lost} entries lost"
        )
    }
}

/// A running reader.
pub struct JournalHandle {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
    pub counters: Arc<JournalCounters>,
    /// Files that were found at the start.
    pub found: usize,
}

impl JournalHandle {
    /// Ends reading at once: what was not read stays in its file, and is read after the next start.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Starts reading. When it returns, what is there has been found, and nothing that is written is missed.
///
/// # Errors
/// Where inotify can't be had, or threads have run out.
pub fn start(options: JournalOptions, ring: Arc<Ring>) -> Result<JournalHandle, JournalError> {
    raise_descriptor_limit();
    let counters = Arc::new(JournalCounters::default());
    let (stop, stopped) = oneshot::channel();
    let (ready, found) = std::sync::mpsc::sync_channel(1);
    let counted = Arc::clone(&counters);
    let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
        let reading = async move {
            let mut reader = match Reader::new(options, ring, counted) {
                Ok(reader) => reader,
                Err(error) => return drop(ready.send(Err(error))),
            };
            reader.find_all(true);
            let _ = ready.send(Ok(reader.files.len()));
            if let Err(error) = reader.run(stopped).await {
                tracing::error!("the journal can't be read any more: {error}");
            }
        };
        // Nothing here goes through io_uring.
        if let Err(error) = run(IoMode::Epoll, reading) {
            tracing::error!("{error}");
        }
    })?;
    let found = found.recv().map_err(|_| io::Error::other("the thread has ended"))??;
    Ok(JournalHandle { stop, thread, counters, found })
}

struct Reader {
    ring: Arc<Ring>,
    output: Output,
    folders: Folders,
    selection: Selection,
    known: KnownJournals,
    files: Vec<JournalFile>,
    next_number: u64,
    /// The last number that there was in files that are gone, of each row of numbers.
    ends: HashMap<String, u64>,
    copies: Copies,
    /// Where losses are reported.
    origin: OriginHandle,
    /// Files that can't be read, or are damaged: said once.
    said: HashSet<PathBuf>,
    next_retry: Option<Instant>,
    blocks: Blocks,
    offsets: Vec<u64>,
    fields: Fields,
    counters: Arc<JournalCounters>,
}

impl Reader {
    fn new(options: JournalOptions, ring: Arc<Ring>, counters: Arc<JournalCounters>) -> io::Result<Self> {
        Ok(Self {
            output: Output::new(Arc::clone(&ring)),
            ring,
            folders: Folders::new(&options.selection.folders)?,
            selection: options.selection,
            known: KnownJournals::new(options.state, options.destinations),
            files: Vec::new(),
            next_number: 0,
            ends: HashMap::new(),
            copies: Copies::default(),
            origin: OriginHandle::new(Origin::new(OriginKind::Service, "journal")),
            said: HashSet::new(),
            next_retry: None,
            blocks: Blocks::default(),
            offsets: Vec::new(),
            fields: Fields::default(),
            counters,
        })
    }

    async fn run(&mut self, mut stopped: oneshot::Receiver<()>) -> io::Result<()> {
        loop {
            let news = self.folders.take(|path| self.files.iter().any(|file| file.path == *path))?;
            if news.names {
                self.find_all(false);
            } else if news.content {
                self.refresh_all();
            }
            if self.next_retry.is_some_and(|next| next <= Instant::now()) {
                self.next_retry = None;
                self.refresh_all();
            }
            let has_room = self.ring.has_room();
            if has_room && self.turn() {
                if stopped.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
                    break;
                }
                continue;
            }
            let waits = !has_room && self.earliest().is_some();
            if !waits {
                self.close_gone();
                self.blocks.release();
            }
            self.output.seal();
            tokio::select! {
                _ = &mut stopped => break,
                ready = self.folders.wait() => ready?,
                () = self.ring.room(), if waits => {}
                () = tokio::time::sleep_until(self.next_retry.unwrap_or_else(Instant::now).into()), if self.next_retry.is_some() => {}
            }
        }
        self.output.seal();
        Ok(())
    }

    /// Reads some entries; false where there are no more.
    fn turn(&mut self) -> bool {
        let (mut more, mut bytes) = (true, 0);
        for _ in 0..TURN_ENTRIES {
            let Some(index) = self.earliest() else {
                more = false;
                break;
            };
            bytes += self.take(index);
            if bytes >= TURN_BYTES {
                break;
            }
        }
        self.report_and_save();
        more
    }

    /// The file with the earliest entry.
    fn earliest(&mut self) -> Option<usize> {
        let Self { files, blocks, .. } = self;
        files.iter_mut().filter(|file| file.next().is_none()).for_each(|file| file.look(blocks));
        let next = files.iter().enumerate().filter_map(|(index, file)| Some((index, file, file.next()?)));
        next.min_by(|(_, a, first), (_, b, second)| order((a, first), (b, second))).map(|(index, ..)| index)
    }

    /// Reads the next entry of a file and puts what becomes of it; how many bytes it had.
    fn take(&mut self, index: usize) -> usize {
        let Self { files, blocks, offsets, fields, copies, selection, counters, output, .. } = self;
        let file = &mut files[index];
        let Some(head) = file.next().copied() else { return 0 };
        file.changed = true;
        if let Some(from) = copies.find(file.folder(), &head) {
            counters.copies.add(1);
            file.skip(from);
            return 0;
        }
        let is_read = file.take(blocks, offsets, fields, selection.max_field);
        counters.damaged_fields.add(u64::from(fields.damaged));
        if is_read {
            counters.entries.add(1);
            if fields.is_wanted(selection) {
                file.put = head.seqnum;
                put(file, &head, fields, selection, output);
            } else {
                counters.discarded.add(1);
            }
        }
        copies.add(file.folder(), &head, (&file.key, file.put));
        self.fields.bytes.len()
    }

    /// Says what was lost, and has the state know how far files were read.
    fn report_and_save(&mut self) {
        let now_ns = realtime_ns();
        for file in &mut self.files {
            let (lost, damage) = (std::mem::take(&mut file.lost), file.damage.take());
            let why = match damage {
                _ if lost > 0 && file.gone.is_some() => Some("deleted before it was read".to_owned()),
                Some(damage) => Some(damage.to_string()),
                None => (lost > 0).then(|| "what leads to them is damaged".to_owned()),
            };
            if let Some(why) = why {
                file.changed = true;
                if self.said.insert(file.path.clone()) {
                    tracing::warn!("{}: {why}", file.path.display());
                }
                if lost > 0 {
                    self.counters.lost.add(lost);
                    let place = format!("in {}: {why}", file.path.display());
                    self.output.push_loss(&self.origin, Lost::Records(lost), &place, now_ns, now_ns);
                }
            }
            if std::mem::take(&mut file.changed) {
                self.known.save(file);
            }
        }
    }

    /// Files of /run first: see [`super::copies`].
    fn refresh_all(&mut self) {
        let Self { files, blocks, .. } = self;
        let is_volatile = |file: &JournalFile| file.path.to_string_lossy().contains("/run/log/journal/");
        for volatile in [true, false] {
            files.iter_mut().filter(|file| is_volatile(file) == volatile).for_each(|file| file.refresh(blocks));
        }
    }

    /// Finds files that are new, have another name, or are gone.
    fn find_all(&mut self, at_start: bool) {
        let now = Instant::now();
        let mut found: HashMap<FileId, PathBuf> = HashMap::new();
        for (id, path) in self.folders.find_all() {
            found.entry(id).or_insert(path);
        }
        for file in &mut self.files {
            // The inode of a file that is not open any more may be another one's, which has another name.
            match found.get(&file.id).filter(|path| !file.is_finished() || **path == file.path) {
                Some(path) => (file.path, file.gone) = (path.clone(), None),
                None => drop(file.gone.get_or_insert(now)),
            }
            if file.gone.is_none() {
                found.remove(&file.id);
            }
        }
        let first_new = self.files.len();
        found.into_iter().for_each(|(id, path)| self.open(id, path, at_start));
        if at_start {
            self.missing_since_last_run();
        }
        self.refresh_all();
        self.count_gaps(first_new, at_start);
        self.report_and_save();
        self.counters.files.set(self.files.len() as u64);
        if self.files.iter().any(|file| file.gone.is_some()) {
            self.retry_later();
        }
    }

    fn open(&mut self, id: FileId, path: PathBuf, at_start: bool) {
        let number = self.next_number;
        let opened = File::open(&path).map_err(journal::JournalError::Read);
        let mut file = match opened.and_then(|file| JournalFile::new(file, id, number, path.clone())) {
            Ok(file) => file,
            // Not made yet, or gone again.
            Err(journal::JournalError::NoJournal) => return,
            Err(journal::JournalError::Read(error)) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                if self.said.insert(path.clone()) {
                    tracing::error!("can't read {}: {error}", path.display());
                }
                return;
            }
        };
        if let Some(other) = self.files.iter_mut().find(|other| other.key == file.key) {
            if other.gone.is_some() && other.is_finished() {
                (other.id, other.path, other.gone) = (id, path, None);
            } else if self.said.insert(path) {
                tracing::warn!("{} is a copy of {} and is not read", file.path.display(), other.path.display());
            }
            return;
        }
        self.next_number += 1;
        match self.known.find(&file.key) {
            Some(restart) => {
                file.resume(&restart, &mut self.blocks);
                file.is_known = true;
                if let Some(newest) = &restart.newest {
                    self.copies.add(file.folder(), newest, (&file.key, file.put));
                }
            }
            None if at_start && self.selection.read_from == ReadFrom::End => file.go_to_end(&mut self.blocks),
            None => {}
        }
        self.files.push(file);
    }

    /// What an earlier run knew and is not there any more.
    fn missing_since_last_run(&mut self) {
        let missing = self.known.take_missing();
        let mut lost = 0;
        for gone in &missing {
            let end = self.ends.entry(gone.mark.seqnum_id.clone()).or_default();
            *end = gone.mark.end.max(*end);
            match &gone.newest {
                Some(newest) if gone.unread == 0 => {
                    let folder = gone.mark.path.parent().unwrap_or(&gone.mark.path);
                    self.copies.add(folder, newest, (gone.key(), gone.mark.put));
                }
                _ if self.was_copied(gone) => {}
                _ => lost += gone.unread,
            }
        }
        self.lose(lost, "with journal files that were deleted before they were read");
        // Only now: what was copied from them had to be judged by what had arrived of them.
        missing.iter().for_each(|gone| self.known.forget(gone));
    }

    /// Whether a file's entries are read again from where journald has copied them to.
    fn was_copied(&self, gone: &Gone) -> bool {
        let folder = gone.mark.path.parent();
        let name = folder.and_then(|folder| folder.file_name());
        let is_volatile = gone.mark.path.to_string_lossy().contains("/run/log/journal/");
        is_volatile && self.files.iter().any(|file| folder != Some(file.folder()) && file.folder().file_name() == name)
    }

    /// Entries of files that came and went unseen: numbers that are missing between what is known and what is new.
    fn count_gaps(&mut self, first_new: usize, at_start: bool) {
        let is_new = |index: usize, file: &JournalFile| if at_start { !file.is_known } else { index >= first_new };
        let mut lost = 0;
        let mut first: HashMap<String, u64> = HashMap::new();
        for (_, file) in self.files.iter().enumerate().filter(|(index, file)| !is_new(*index, file)) {
            let end = self.ends.entry(hex(file.seqnum_id())).or_default();
            *end = file.header.last_seqnum.max(*end);
        }
        for (_, file) in self.files.iter().enumerate().filter(|(index, file)| is_new(*index, file)) {
            let (row, begin) = (hex(file.seqnum_id()), file.header.first_seqnum);
            if self.ends.get(&row).is_some_and(|end| begin > *end) {
                let first = first.entry(row).or_insert(begin);
                *first = begin.min(*first);
            }
        }
        for (row, begin) in first {
            lost += begin - self.ends[&row] - 1;
        }
        self.lose(lost, "with journal files that were made and deleted unseen");
        for file in &mut self.files {
            file.is_known = true;
            let end = self.ends.entry(hex(file.seqnum_id())).or_default();
            *end = file.header.last_seqnum.max(*end);
        }
    }

    fn lose(&mut self, records: u64, place: &str) {
        if records > 0 {
            tracing::warn!("{records} records were lost {place}");
            self.counters.lost.add(records);
            let now_ns = realtime_ns();
            self.output.push_loss(&self.origin, Lost::Records(records), place, now_ns, now_ns);
        }
    }

    /// Closes files that have no name, were read to their end, and won't grow.
    fn close_gone(&mut self) {
        let now = Instant::now();
        let is_over = |file: &mut JournalFile| {
            let since = file.gone.filter(|_| file.next().is_none());
            since.is_some_and(|since| file.is_finished() || now.duration_since(since) >= RETRY)
        };
        for file in self.files.extract_if(.., is_over) {
            self.blocks.forget(file.number);
            self.known.add_gone(file.key, file.put);
        }
        self.known.settle();
        self.counters.files.set(self.files.len() as u64);
        if self.known.has_gone() || self.files.iter().any(|file| file.gone.is_some()) {
            self.retry_later();
        }
    }

    fn retry_later(&mut self) {
        self.next_retry.get_or_insert_with(|| Instant::now() + RETRY);
    }
}

/// Which of two entries is earlier.
fn order((a, first): (&JournalFile, &Head), (b, second): (&JournalFile, &Head)) -> Ordering {
    if a.seqnum_id() == b.seqnum_id() {
        return first.seqnum.cmp(&second.seqnum);
    }
    let by_time = if first.boot_id == second.boot_id {
        first.monotonic_us.cmp(&second.monotonic_us)
    } else {
        first.realtime_us.cmp(&second.realtime_us)
    };
    // Of copies, the original.
    by_time.then_with(|| a.header.first_realtime_us.cmp(&b.header.first_realtime_us))
}

/// Puts the record of an entry.
fn put(file: &mut JournalFile, head: &Head, fields: &mut Fields, selection: &Selection, output: &mut Output) {
    let made = fields.made();
    let JournalFile { origins, key, .. } = file;
    if origins.len() >= MOST_ORIGINS && !origins.contains_key(made.service) {
        origins.clear();
    }
    let origin = match origins.get(made.service) {
        Some(origin) => origin.clone(),
        None => {
            let name = String::from_utf8_lossy(made.service).into_owned();
            let origin = Origin { source: key.clone(), ..Origin::new(OriginKind::Service, name) };
            origins.entry(made.service.to_vec()).or_insert(OriginHandle::new(origin)).clone()
        }
    };
    let written_us = made.written_us.unwrap_or(head.realtime_us);
    let meta = RecordMeta {
        time_ns: i64::try_from(written_us).ok().and_then(|us| us.checked_mul(1000)).unwrap_or(i64::MAX),
        position: head.seqnum,
        level: made.level,
        flags: made.flags,
        original_len: u32::try_from(made.text.len()).unwrap_or(u32::MAX),
    };
    fields.with_fields(selection, |text, fields| output.push_with_fields(&origin, meta, text, fields));
}
