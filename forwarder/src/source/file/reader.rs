//! The thread that reads all files, in turns.

mod archives;
mod changes;
mod deleted;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use self::deleted::Deleted;
use super::follow::{Archive, Followed, TURN, Turn};
use super::gzip::is_gzip;
use super::identity::{FileId, MOST, born_ns, start_of};
use super::known::{Known, KnownFiles};
use super::position::Restart;
use super::selection::{ReadFrom, Selection};
use super::tree::{Found, Tree, id_of, look};
use super::watch::Watcher;
use crate::io::{IoMode, run};
use crate::observe::counters::{Counter, Gauge};
use crate::record::Lost;
use crate::ring::Ring;
use crate::source::clock::realtime_ns;
use crate::source::descriptors;
use crate::source::lines::Lines;
use crate::state::{ContentMark, StateDir};

/// Turns between two looks at what has happened.
const TURNS: usize = 64;
/// How long a file without a name is looked at after it has grown last: its writer may not know yet.
pub(super) const NAMELESS_FOR: Duration = Duration::from_secs(10);
/// How often it is.
const NAMELESS_LOOK: Duration = Duration::from_millis(500);
/// How often is tried again what failed for want of descriptors or watches, and what is gone is settled.
const RETRY: Duration = Duration::from_secs(10);

/// What to read.
pub struct FilesOptions {
    pub selections: Vec<Selection>,
    /// Where it is kept how far files were sent; nothing is where it is absent.
    pub state: Option<StateDir>,
    /// Names of the destinations that keep checkpoints there.
    pub destinations: Vec<String>,
}

/// Files can't be read at all.
#[derive(Debug, thiserror::Error)]
#[error("files can't be read: {0}")]
pub struct FilesError(#[from] io::Error);

/// What files have given since the start.
#[derive(Debug, Default)]
pub struct FileCounters {
    /// Files that are read.
    pub files: Gauge,
    pub bytes: Counter,
    /// Lines of container logs that were none of their format.
    pub unparsed: Counter,
    /// Files that began anew.
    pub truncated: Counter,
    /// Bytes that were there and could not be read any more.
    pub lost_bytes: Counter,
}

impl fmt::Display for FileCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, bytes, unparsed, truncated, lost_bytes } = self;
        let numbers = [files.value(), bytes.value(), unparsed.value(), truncated.value(), lost_bytes.value()];
        let [files, bytes, unparsed, truncated, lost] = numbers;
        write!(
            f,
            "{files} open, {bytes} bytes read, {unparsed} lines unparsed, {truncated} truncated, {lost} bytes lost"
        )
    }
}

/// A running reader.
pub struct FilesHandle {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
    pub counters: Arc<FileCounters>,
    /// Files that were found at the start.
    pub found: usize,
}

impl FilesHandle {
    /// Ends reading at once: what was not read stays in its file, and is read after the next start.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Starts reading. When it returns, what is there has been found, and nothing that is written or made is missed.
///
/// # Errors
/// Where inotify can't be had, or threads have run out.
pub fn start(options: FilesOptions, ring: Arc<Ring>) -> Result<FilesHandle, FilesError> {
    descriptors::raise_limit();
    let counters = Arc::new(FileCounters::default());
    let (stop, stopped) = oneshot::channel();
    let (ready, found) = std::sync::mpsc::sync_channel(1);
    let counted = Arc::clone(&counters);
    let thread = std::thread::Builder::new().name("files".into()).spawn(move || {
        let reading = async move {
            let mut reader = match Reader::new(options, ring, counted) {
                Ok(reader) => reader,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let files = reader.find_all(true);
            let _ = ready.send(Ok(files));
            if let Err(error) = reader.run(stopped).await {
                tracing::error!("files can't be read any more: {error}");
            }
        };
        // Nothing here goes through io_uring.
        if let Err(error) = run(IoMode::Epoll, reading) {
            tracing::error!("{error}");
        }
    })?;
    let found = found.recv().map_err(|_| io::Error::other("the thread has ended"))??;
    Ok(FilesHandle { stop, thread, counters, found })
}

struct Reader {
    ring: Arc<Ring>,
    lines: Lines,
    tree: Tree,
    known: KnownFiles,
    files: HashMap<u64, Followed>,
    next_file: u64,
    by_id: HashMap<FileId, u64>,
    by_path: HashMap<PathBuf, u64>,
    /// Files that wait for their turn.
    ready: VecDeque<u64>,
    /// When to look at files that may have nothing to tell.
    deadlines: BTreeSet<(Instant, u64)>,
    /// Files that can't be opened: said once.
    said: HashSet<PathBuf>,
    /// Of these, what may work later though nothing will tell.
    retry: Vec<Found>,
    /// Files that could not be read in their turn.
    failed: Vec<u64>,
    next_retry: Option<Instant>,
    /// Compressed files that have a decoder, and those that wait for one.
    unpacked: Vec<u64>,
    packed: VecDeque<u64>,
    /// That a file is compressed and not read was said.
    said_gzip: bool,
    deleted: Deleted,
    buffer: Vec<u8>,
    counters: Arc<FileCounters>,
}

impl Reader {
    fn new(options: FilesOptions, ring: Arc<Ring>, counters: Arc<FileCounters>) -> io::Result<Self> {
        let selections = options.selections.into_iter().map(Rc::new).collect();
        Ok(Self {
            lines: Lines::new(Arc::clone(&ring)),
            ring,
            tree: Tree::new(Watcher::new()?, selections),
            known: KnownFiles::new(options.state, options.destinations),
            files: HashMap::new(),
            next_file: 0,
            by_id: HashMap::new(),
            by_path: HashMap::new(),
            ready: VecDeque::new(),
            deadlines: BTreeSet::new(),
            said: HashSet::new(),
            retry: Vec::new(),
            failed: Vec::new(),
            next_retry: None,
            unpacked: Vec::new(),
            packed: VecDeque::new(),
            said_gzip: false,
            deleted: Deleted::default(),
            buffer: vec![0; TURN],
            counters,
        })
    }

    async fn run(&mut self, mut stopped: oneshot::Receiver<()>) -> io::Result<()> {
        let mut changes = Vec::new();
        loop {
            self.tree.watcher.take(&mut changes)?;
            changes.drain(..).for_each(|change| self.on_change(change));
            let now = Instant::now();
            self.keep_deadlines(now);
            self.keep_bounds(now);
            let mut has_room = true;
            for _ in 0..TURNS.min(self.ready.len()) {
                has_room = self.ring.has_room();
                let Some(number) = self.ready.pop_front_if(|_| has_room) else { break };
                self.turn(number);
            }
            self.counters.files.set(self.files.len() as u64);
            if has_room && !self.ready.is_empty() {
                if stopped.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
                    break;
                }
                continue;
            }
            self.lines.output.seal();
            let next = self.deadlines.first().map(|(deadline, _)| *deadline);
            let next = next.into_iter().chain(self.next_retry).chain(self.deleted.next_look()).min();
            tokio::select! {
                _ = &mut stopped => break,
                ready = self.tree.watcher.wait() => ready?,
                () = self.ring.room(), if !self.ready.is_empty() => {}
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {}
            }
        }
        self.lines.output.seal();
        Ok(())
    }

    /// One turn of one file.
    fn turn(&mut self, number: u64) {
        if !self.may_unpack(number) {
            return;
        }
        let Some(file) = self.files.get_mut(&number) else { return };
        file.queued = false;
        let now_ns = realtime_ns();
        let outcome = match file.turn(&mut self.buffer, now_ns, &mut self.lines) {
            Ok(outcome) => outcome,
            Err(error) => {
                if self.said.insert(file.path.clone()) {
                    tracing::error!("can't read {}: {error}", file.path.display());
                }
                // Who has no name and can't be read has nothing more to give.
                if file.is_named() {
                    self.failed.push(number);
                    self.retry_later();
                } else {
                    self.close(number);
                }
                return;
            }
        };
        if outcome.grown {
            self.known.save(file);
        } else if outcome.read > 0 {
            self.known.save_content(file);
        }
        self.counters.bytes.add(outcome.read as u64);
        self.count_unparsed(number);
        match outcome.turn {
            Turn::More => self.make_ready(number),
            Turn::AtEnd => self.rest(number, outcome.read > 0),
            Turn::Truncated(lost) => self.begin_anew(number, lost),
            Turn::Damaged(lost) => self.lose_damaged(number, lost),
            Turn::Unexamined => self.examine(number),
            Turn::LeftOut => self.say_left_out(number),
        }
        self.give_place(number);
        // One that had a long line must not keep memory for all.
        if self.buffer.len() > TURN {
            self.buffer.truncate(TURN);
            self.buffer.shrink_to_fit();
        }
    }

    fn count_unparsed(&mut self, number: u64) {
        let Some(file) = self.files.get_mut(&number) else { return };
        let unparsed = file.take_unparsed();
        if unparsed > 0 {
            self.counters.unparsed.add(unparsed);
            if self.said.insert(file.path.clone()) {
                tracing::warn!("{}: lines that are none of its format go on as text", file.path.display());
            }
        }
    }

    /// The file's end is reached for now.
    fn rest(&mut self, number: u64, has_read: bool) {
        let Some(file) = self.files.get_mut(&number) else { return };
        let now = Instant::now();
        if let Some(since) = &mut file.nameless {
            if has_read {
                *since = now;
            }
            let is_examined = file.archive.as_ref().is_some_and(|archive| archive.is_examined());
            if now.duration_since(*since) >= NAMELESS_FOR && !is_examined {
                return self.close(number);
            }
            return self.set_deadline(number, now + NAMELESS_LOOK);
        }
        if file.is_waiting() {
            let patience = file.patience();
            // Counted from when the last of it came.
            if has_read || file.deadline.is_none() {
                self.set_deadline(number, now + patience);
            }
        }
    }

    fn set_deadline(&mut self, number: u64, deadline: Instant) {
        let Some(file) = self.files.get_mut(&number) else { return };
        if let Some(earlier) = file.deadline.replace(deadline) {
            self.deadlines.remove(&(earlier, number));
        }
        self.deadlines.insert((deadline, number));
    }

    fn clear_deadline(&mut self, number: u64) {
        if let Some(deadline) = self.files.get_mut(&number).and_then(|file| file.deadline.take()) {
            self.deadlines.remove(&(deadline, number));
        }
    }

    fn keep_deadlines(&mut self, now: Instant) {
        while let Some((deadline, number)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, number));
            let Some(file) = self.files.get_mut(&number) else { continue };
            file.deadline = None;
            let is_examined = file.archive.as_ref().is_some_and(|archive| archive.is_examined());
            if file.nameless.is_some() || is_examined {
                self.wake(number);
            } else if !file.queued
                && let Err(error) = file.flush(false, &mut self.buffer, realtime_ns(), &mut self.lines)
            {
                tracing::debug!("{}: {error}", file.path.display());
            }
        }
        if self.next_retry.is_some_and(|next| next <= now) {
            self.next_retry = None;
            self.try_again();
        }
    }

    fn make_ready(&mut self, number: u64) {
        if let Some(file) = self.files.get_mut(&number).filter(|file| !file.queued) {
            file.queued = true;
            self.ready.push_back(number);
        }
    }

    /// The file was truncated: what comes is another file's.
    fn begin_anew(&mut self, number: u64, lost: u64) {
        let key = match self.files.get(&number) {
            Some(file) => self.known.new_key(file.id),
            None => return,
        };
        let Some(file) = self.files.get_mut(&number) else { return };
        file.flush_parts(&mut self.lines);
        self.counters.truncated.add(1);
        let now_ns = realtime_ns();
        if lost > 0 {
            self.counters.lost_bytes.add(lost);
            let place = format!("when {} was truncated", file.path.display());
            self.lines.output.push_loss(file.origin(), Lost::Bytes(lost), &place, now_ns, now_ns);
        }
        self.known.add_gone(file);
        file.begin_anew(key);
        self.clear_deadline(number);
        self.make_ready(number);
        self.retry_later();
        self.examine_again();
    }

    /// The file has lost its last name long ago and was read to its end.
    fn close(&mut self, number: u64) {
        self.clear_deadline(number);
        let Some(mut file) = self.files.remove(&number) else { return };
        if let Err(error) = file.flush(true, &mut self.buffer, realtime_ns(), &mut self.lines) {
            tracing::debug!("{}: {error}", file.path.display());
        }
        self.by_id.remove(&file.id);
        self.known.add_gone(&file);
        self.retry_later();
        self.give_place(number);
        self.examine_again();
    }

    fn retry_later(&mut self) {
        self.next_retry.get_or_insert_with(|| Instant::now() + RETRY);
    }

    fn try_again(&mut self) {
        self.known.settle();
        for found in std::mem::take(&mut self.retry) {
            self.open_or_name(&found, None, false);
        }
        std::mem::take(&mut self.failed).into_iter().for_each(|number| self.make_ready(number));
        if self.tree.blind {
            self.look_at_all();
            self.retry_later();
        }
        if self.known.has_gone() {
            self.retry_later();
        }
    }

    /// Opens a file that is wanted and lets it have its turn; or gives one that is read already another name. `was`:
    /// what it was called when it should have been found.
    fn open_or_name(&mut self, found: &Found, was: Option<&Path>, at_start: bool) {
        match self.open(found, was, at_start) {
            Ok(()) => drop(self.said.remove(&found.path)),
            // Gone again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                if self.said.insert(found.path.clone()) {
                    tracing::error!("can't read {}: {error}", found.path.display());
                }
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) {
                    self.retry.push(found.clone());
                    self.retry_later();
                }
            }
        }
    }

    fn open(&mut self, found: &Found, was: Option<&Path>, at_start: bool) -> io::Result<()> {
        // What is no file must not be opened: opening some devices does something.
        let (id, metadata) = look(&found.path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        if let Some(number) = self.by_id.get(&id) {
            let number = *number;
            self.name(number, &found.path);
            self.follow_link(number, found);
            return Ok(());
        }
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&found.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let id = id_of(&metadata);
        let mut start = [0; MOST];
        let start = start_of(&file, &mut start)?;
        let is_gzip = is_gzip(start) == Some(true);
        let known = self.known.find(id, born_ns(&file), metadata.size(), start, is_gzip);
        let path = was.unwrap_or(&found.path).to_owned();
        let begin = |offset| Restart { offset, from: offset };
        let (key, restart, begun, sums, archive) = match known {
            Some(Known { key, restart, mark }) => {
                let archive = mark.gzip.filter(|_| found.selection.gzip).map(|gzip| Archive::known(gzip, restart));
                (key, restart, mark.start, mark.content, archive)
            }
            None => {
                let is_old = found.selection.ignore_older.is_some_and(|limit| is_older(&metadata, limit));
                let at_end = at_start && (is_old || found.selection.read_from == ReadFrom::End);
                let archive = found.selection.gzip.then(|| Archive::unknown(at_end));
                let restart = begin(if at_end && !is_gzip { metadata.size() } else { 0 });
                (self.known.new_key(id), restart, restart.offset, None, archive)
            }
        };
        let archive = is_gzip.then(|| archive.unwrap_or_else(Archive::left_out));
        let selection = Rc::clone(&found.selection);
        let mut followed = Followed::new(file, id, key, path, selection, start, restart);
        if archive.is_none() && restart.from < restart.offset {
            followed.go_to_line()?;
        }
        followed.archive = archive.map(Box::new);
        followed.start = begun;
        if found.selection.gzip && !is_gzip {
            followed.sums = sums.or(Some(ContentMark::new(restart.from)));
        }
        followed.names = vec![found.path.clone()];
        if !start.is_empty() {
            self.known.save(&followed);
        }
        let number = self.next_file;
        self.next_file += 1;
        // Another file may still have had this name.
        self.on_left(&found.path);
        self.files.insert(number, followed);
        self.by_id.insert(id, number);
        self.by_path.insert(found.path.clone(), number);
        self.follow_link(number, found);
        self.make_ready(number);
        if is_gzip && !found.selection.gzip {
            self.say_left_out(number);
        }
        Ok(())
    }

    /// What is written through a link is told of where it leads to.
    fn follow_link(&mut self, number: u64, found: &Found) {
        if let Some(real) = self.tree.resolve(found) {
            self.name(number, &real);
        }
    }
}

fn is_older(metadata: &std::fs::Metadata, limit: Duration) -> bool {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > limit)
}
