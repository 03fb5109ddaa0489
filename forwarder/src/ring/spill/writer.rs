//! The thread that writes, syncs, and deletes.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::scan::{Scan, Step};
use super::segment::{Segment, entry_len};
use super::{Shared, State, acknowledged};
use crate::record::Batch;
use crate::ring::Loss;
use crate::sys::files;

/// Pause after a failed write, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long closing goes on trying on a disk that fails.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// `next_id`: above the ids of the recovered segments; `saved_acknowledged`: the position that was recovered.
pub(super) fn run(shared: &Shared, next_id: u64, saved_acknowledged: u64) {
    let now = Instant::now();
    let mut writer = Writer { shared, open: None, next_id, saved_acknowledged, last_sync: now, last_save: now };
    let mut pause = FIRST_PAUSE;
    let mut closing_since = None;
    loop {
        let closing = writer.wait();
        if closing {
            closing_since.get_or_insert_with(Instant::now);
        }
        match writer.work(closing) {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the spill in {} can't be written: {error}", shared.options.directory.display());
                writer.forget_written();
                std::thread::sleep(pause);
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        let is_empty = shared.lock().queue.is_empty();
        if closing && (is_empty || closing_since.is_some_and(|since| since.elapsed() > CLOSE_PATIENCE)) {
            return;
        }
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    open: Option<Open>,
    next_id: u64,
    saved_acknowledged: u64,
    last_sync: Instant,
    last_save: Instant,
}

/// The segment that is appended to.
struct Open {
    file: File,
    /// What is written, synced or not. Others see it when it is synced.
    segment: Segment,
    synced_len: u64,
}

impl State {
    /// Whether everything that is on disk has been acknowledged.
    fn is_done(&self) -> bool {
        self.segments.back().is_some_and(|segment| segment.extent.last < self.acknowledged_below)
    }

    /// Puts what is synced of the open segment where others find it.
    fn publish(&mut self, segment: &Segment) {
        match self.segments.back_mut() {
            Some(known) if known.id == segment.id => *known = segment.clone(),
            _ => self.segments.push_back(segment.clone()),
        }
    }
}

impl Writer<'_> {
    /// Waits for something to do. `true`: closing.
    fn wait(&self) -> bool {
        let interval = self.shared.options.sync_interval;
        let mut state = self.shared.lock();
        loop {
            if state.closing || state.queue.len() > state.written {
                return state.closing;
            }
            let to_sync = self.has_to_sync(&state).then(|| interval.saturating_sub(self.last_sync.elapsed()));
            let to_save = self.has_to_save(&state).then(|| interval.saturating_sub(self.last_save.elapsed()));
            state = match to_sync.into_iter().chain(to_save).min() {
                Some(Duration::ZERO) => return false,
                Some(time) => self.shared.to_write.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.to_write.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Also what was acknowledged while it was written: its file is to be found and deleted.
    fn has_to_sync(&self, state: &State) -> bool {
        state.written > 0 || self.open.as_ref().is_some_and(|open| !open.is_synced())
    }

    fn has_to_save(&self, state: &State) -> bool {
        let acknowledged = state.acknowledged_below;
        let Some(oldest) = state.segments.front() else { return false };
        acknowledged > self.saved_acknowledged || acknowledged > oldest.extent.last
    }

    fn work(&mut self, closing: bool) -> io::Result<()> {
        while let Some((sequence, batch)) = self.next_unwritten() {
            self.make_room(entry_len(&batch));
            self.append(sequence, &batch)?;
            // While more and more comes: what is written must leave the queue before it is full.
            if self.shared.lock().queue_bytes * 2 > self.shared.options.queue_bytes {
                self.sync()?;
            }
        }
        let interval = self.shared.options.sync_interval;
        let has_to_sync = self.has_to_sync(&self.shared.lock());
        if has_to_sync && (closing || self.last_sync.elapsed() >= interval) {
            self.sync()?;
        }
        let has_to_save = self.has_to_save(&self.shared.lock());
        if has_to_save && (closing || self.last_save.elapsed() >= interval) {
            self.save_acknowledged()?;
        }
        Ok(())
    }

    fn next_unwritten(&self) -> Option<(u64, Arc<Batch>)> {
        let state = self.shared.lock();
        state.queue.get(state.written).map(|(sequence, batch)| (*sequence, Arc::clone(batch)))
    }

    fn append(&mut self, sequence: u64, batch: &Batch) -> io::Result<()> {
        let limit = self.shared.options.segment_bytes.min(self.shared.options.max_bytes / 4);
        if self.open.as_ref().is_some_and(|open| open.segment.extent.len >= limit) {
            self.sync()?;
            self.open = None;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let segment = Segment::new(&self.shared.options.directory, self.next_id, sequence);
                self.next_id += 1;
                // One of this name that failed half-way is written anew.
                let mut file = files::private_file().create(true).truncate(true).open(&segment.path)?;
                file.write_all(&segment.header())?;
                files::sync_directory(&self.shared.options.directory)?;
                none.insert(Open { file, synced_len: segment.extent.len, segment })
            }
        };
        let (head, rest) = open.segment.entry(sequence, batch);
        write_all(&mut open.file, &head, rest)?;
        open.segment.note(sequence, batch);
        let mut state = self.shared.lock();
        // Acknowledged while it was being written, it is not in the queue any more.
        let written = state.written;
        if state.queue.get(written).is_some_and(|(queued, _)| *queued == sequence) {
            state.written += 1;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.synced_len < open.segment.extent.len {
            open.file.sync_data()?;
            open.synced_len = open.segment.extent.len;
        }
        self.last_sync = Instant::now();
        let mut state = self.shared.lock();
        if !open.segment.is_empty() {
            state.publish(&open.segment);
        }
        for _ in 0..state.written {
            if let Some((_, batch)) = state.queue.pop_front() {
                state.queue_bytes -= batch.capacity();
            }
        }
        state.written = 0;
        self.shared.synced.notify_all();
        Ok(())
    }

    /// Everything that was written and not synced is written again, to a new segment: after a failed sync the
    /// kernel may have forgotten it. A crash before the cut leaves both; recovery knows that a segment ends where
    /// the next one begins.
    fn forget_written(&mut self) {
        self.shared.lock().written = 0;
        let Some(open) = self.open.take() else { return };
        let is_known = self.shared.lock().segments.back().is_some_and(|known| known.id == open.segment.id);
        let cut = if is_known { open.file.set_len(open.synced_len) } else { fs::remove_file(&open.segment.path) };
        if let Err(error) = cut {
            tracing::error!("{} can't be cut: {error}", open.segment.path.display());
        }
    }

    /// Drops the oldest segments until there is room for `bytes`.
    fn make_room(&self, bytes: u64) {
        let unsynced = self.open.as_ref().map_or(0, |open| open.segment.extent.len - open.synced_len);
        loop {
            let (segment, needed) = {
                let mut state = self.shared.lock();
                let total: u64 = state.segments.iter().map(|segment| segment.extent.len).sum();
                let is_open = |segment: &Segment| self.open.as_ref().is_some_and(|open| open.segment.id == segment.id);
                if total + unsynced + bytes <= self.shared.options.max_bytes
                    || state.segments.front().is_none_or(is_open)
                {
                    return;
                }
                let needed = state.acknowledged_below.max(state.read_below).max(state.ahead.to);
                let Some(segment) = state.segments.pop_front() else { return };
                if needed <= segment.first {
                    state.loss.merge(segment.as_loss());
                }
                (segment, needed)
            };
            if needed > segment.first && needed <= segment.extent.last {
                let loss = loss_from(&segment, needed);
                self.shared.lock().loss.merge(loss);
            }
            self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
            let _ = fs::remove_file(&segment.path);
        }
    }

    /// Saves the position, then deletes what is below it.
    fn save_acknowledged(&mut self) -> io::Result<()> {
        let acknowledged = self.shared.lock().acknowledged_below;
        acknowledged::write(&self.shared.options.directory, acknowledged)?;
        self.saved_acknowledged = acknowledged;
        self.last_save = Instant::now();
        if self.shared.lock().is_done() && self.open.as_ref().is_some_and(|open| open.is_synced()) {
            self.open = None;
        }
        loop {
            let segment = {
                let mut state = self.shared.lock();
                let is_open = |segment: &Segment| self.open.as_ref().is_some_and(|open| open.segment.id == segment.id);
                let is_done = |segment: &Segment| segment.extent.last < acknowledged && !is_open(segment);
                if !state.segments.front().is_some_and(is_done) {
                    return Ok(());
                }
                state.segments.pop_front()
            };
            if let Some(segment) = segment {
                fs::remove_file(&segment.path)?;
            }
        }
    }
}

impl Open {
    fn is_synced(&self) -> bool {
        self.synced_len == self.segment.extent.len
    }
}

/// The records of `needed` and later.
fn loss_from(segment: &Segment, needed: u64) -> Loss {
    let mut loss = Loss::default();
    let Ok(mut scan) = Scan::open(segment, needed) else { return segment.as_loss() };
    let mut next = needed;
    loop {
        match scan.step(&segment.extent, next) {
            Ok(Step::Batch(sequence, batch)) => {
                loss.add(&batch);
                next = sequence + 1;
            }
            Ok(Step::Damage(damage)) => loss.merge(damage),
            Ok(Step::End) => return loss,
            Err(_) => {
                loss.merge(scan.give_up(&segment.extent));
                return loss;
            }
        }
    }
}

fn write_all(file: &mut File, head: &[u8], rest: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(head), IoSlice::new(rest)])?;
    if written < head.len() {
        file.write_all(&head[written..])?;
        return file.write_all(rest);
    }
    file.write_all(&rest[written - head.len()..])
}
