//! The thread that reads all journal files, the earliest entry first.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::blocks::Blocks;
use super::copies::Copies;
use super::fields::Fields;
use super::file::JournalFile;
use super::folders::Folders;
use super::known::KnownJournals;
use super::selection::Selection;
use crate::io::{IoMode, run};
use crate::observe::counters::{Counter, Gauge};
use crate::parse::journal::Head;
use crate::record::{Lost, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::descriptors;
use crate::source::output::Output;
use crate::state::StateDir;

/// Entries and bytes between two looks at what has happened, and at whether the ring has room.
const TURN_ENTRIES: usize = 256;
const TURN_BYTES: usize = 64 << 10;
/// How long a file without a name is looked at that its writer has not closed, and how often is looked whether what is
/// gone has arrived.
pub(super) const RETRY: Duration = Duration::from_secs(10);
/// Services of one file whose origins are kept.
pub(super) const MOST_ORIGINS: usize = 256;

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
    descriptors::raise_limit();
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
            if let Err(error) = reader.find_first() {
                return drop(ready.send(Err(error)));
            }
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

pub(super) struct Reader {
    pub(super) ring: Arc<Ring>,
    pub(super) output: Output,
    pub(super) folders: Folders,
    pub(super) selection: Selection,
    pub(super) known: KnownJournals,
    pub(super) files: Vec<JournalFile>,
    pub(super) next_number: u64,
    /// The last number that there was in files that are gone, of each row of numbers.
    pub(super) ends: HashMap<String, u64>,
    pub(super) copies: Copies,
    /// Where losses are reported.
    pub(super) origin: OriginHandle,
    /// Files that can't be read, or are damaged: said once.
    pub(super) said: HashSet<PathBuf>,
    pub(super) next_retry: Option<Instant>,
    pub(super) blocks: Blocks,
    pub(super) offsets: Vec<u64>,
    pub(super) fields: Fields,
    pub(super) counters: Arc<JournalCounters>,
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
                // What was renamed meanwhile may not have been seen.
                continue;
            }
            if news.content {
                self.refresh_all();
            }
            self.count_gaps();
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
    pub(super) fn report_and_save(&mut self) {
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
