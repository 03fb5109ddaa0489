//! The thread that writes, syncs, and deletes.

use std::fs::{self, File};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::segment::{Segment, stored_form};
use super::{ACKNOWLEDGED_FILE, Shared, reader};
use crate::record::Batch;
use crate::ring::Loss;
use crate::sys::files;

/// Pause after a failed write, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long closing goes on trying on a disk that fails.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(shared: &Shared) {
    let mut writer = Writer { shared, file: None, saved_acknowledged: 0, last_sync: Instant::now() };
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
                // The kernel may have forgotten dirty pages after a failed sync: start a new segment.
                writer.file = None;
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
    /// The last segment's file, open for appending.
    file: Option<File>,
    saved_acknowledged: u64,
    last_sync: Instant,
}

impl Writer<'_> {
    /// Waits for something to do. `true`: closing.
    fn wait(&self) -> bool {
        let mut state = self.shared.lock();
        loop {
            let unsynced = state.written > 0;
            let has_work = state.queue.len() > state.written || state.acknowledged_below > self.saved_acknowledged;
            let due = unsynced && self.last_sync.elapsed() >= self.shared.options.sync_interval;
            if state.closing || due || has_work {
                return state.closing;
            }
            state = if unsynced {
                let timeout = self.shared.options.sync_interval.saturating_sub(self.last_sync.elapsed());
                self.shared.work.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn work(&mut self, closing: bool) -> io::Result<()> {
        while let Some((sequence, batch)) = self.next_unwritten() {
            self.make_room(batch.byte_len() as u64);
            self.append(sequence, &batch)?;
        }
        let is_due = self.last_sync.elapsed() >= self.shared.options.sync_interval;
        let (half_full, waited_for) = {
            let state = self.shared.lock();
            (state.queue_bytes * 2 > self.shared.options.queue_bytes, state.written > 0)
        };
        if waited_for && (is_due || half_full || closing) {
            self.sync()?;
        }
        self.save_acknowledged()
    }

    fn next_unwritten(&self) -> Option<(u64, Arc<Batch>)> {
        let state = self.shared.lock();
        state.queue.get(state.written).map(|(sequence, batch)| (*sequence, Arc::clone(batch)))
    }

    fn append(&mut self, sequence: u64, batch: &Batch) -> io::Result<()> {
        let is_full = {
            let state = self.shared.lock();
            let limit = self.shared.options.segment_bytes.min(self.shared.options.max_bytes / 4).max(1);
            state.segments.back().is_some_and(|segment| segment.len >= limit)
        };
        if is_full && self.file.is_some() {
            self.sync()?;
            self.file = None;
        }
        if self.file.is_none() {
            let segment = Segment::new(&self.shared.options.directory, sequence);
            // A segment of this name that failed half-way is written anew.
            self.file = Some(files::private_file().create(true).truncate(true).open(&segment.path)?);
            files::sync_directory(&self.shared.options.directory)?;
            let mut state = self.shared.lock();
            state.segments.retain(|known| known.first != sequence);
            state.segments.push_back(segment);
        }
        let offset = self.shared.lock().segments.back().map_or(0, |segment| segment.len);
        let file = self.file.as_mut().expect("opened above");
        let (header, rest) = stored_form(sequence, batch);
        file.seek(SeekFrom::Start(offset))?;
        write_all(file, &header, rest)?;
        let mut state = self.shared.lock();
        if let Some(segment) = state.segments.back_mut() {
            segment.note(sequence, offset, batch.byte_len() as u64);
        }
        // Acknowledged while it was being written, it is not in the queue any more.
        let written = state.written;
        if state.queue.get(written).is_some_and(|(queued, _)| *queued == sequence) {
            state.written += 1;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.last_sync = Instant::now();
        let mut state = self.shared.lock();
        for _ in 0..state.written {
            if let Some((_, batch)) = state.queue.pop_front() {
                state.queue_bytes -= batch.capacity();
            }
        }
        state.written = 0;
        self.shared.synced.notify_all();
        Ok(())
    }

    /// Everything that was written and not synced is written again, to a new segment.
    fn forget_written(&self) {
        let mut state = self.shared.lock();
        state.written = 0;
        let Some(first) = state.queue.front().map(|(sequence, _)| *sequence) else { return };
        // Segments that begin with what is written again go; of one that only ends with it, the copies that come
        // later are not fetched twice, because fetching goes by sequence.
        while state.segments.back().is_some_and(|segment| segment.first >= first) {
            if let Some(segment) = state.segments.pop_back() {
                let _ = fs::remove_file(segment.path);
            }
        }
        if let Some(segment) = state.segments.back_mut() {
            segment.last = segment.last.min(first - 1);
        }
    }

    /// Drops the oldest segments until there is room for `bytes`.
    fn make_room(&self, bytes: u64) {
        loop {
            let oldest = {
                let mut state = self.shared.lock();
                let total: u64 = state.segments.iter().map(|segment| segment.len).sum();
                if total + bytes <= self.shared.options.max_bytes || state.segments.len() < 2 {
                    return;
                }
                state.segments.pop_front()
            };
            let Some(segment) = oldest else { return };
            let mut lost = Loss::default();
            let mut dropped = 0;
            let needed = {
                let state = self.shared.lock();
                state.acknowledged_below.max(state.fetched_below)
            };
            reader::for_each(&segment, needed, |_, batch| {
                dropped += 1;
                lost.add(&batch);
            });
            self.shared.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.shared.lock().loss.merge(lost);
            let _ = fs::remove_file(&segment.path);
        }
    }

    fn save_acknowledged(&mut self) -> io::Result<()> {
        let (acknowledged, done) = {
            let state = self.shared.lock();
            let acknowledged = state.acknowledged_below;
            // The last segment is still appended to.
            let done = state.segments.iter().take(state.segments.len().saturating_sub(1));
            let done = done.take_while(|segment| segment.last < acknowledged).count();
            (acknowledged, done)
        };
        if acknowledged <= self.saved_acknowledged {
            return Ok(());
        }
        let path = self.shared.options.directory.join(ACKNOWLEDGED_FILE);
        files::replace(&path, acknowledged.to_string().as_bytes())?;
        self.saved_acknowledged = acknowledged;
        for _ in 0..done {
            let segment = self.shared.lock().segments.pop_front();
            if let Some(segment) = segment {
                fs::remove_file(segment.path)?;
            }
        }
        Ok(())
    }
}

fn write_all(file: &mut File, header: &[u8], rest: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(header), IoSlice::new(rest)])?;
    if written < header.len() {
        file.write_all(&header[written..])?;
        return file.write_all(rest);
    }
    file.write_all(&rest[written - header.len()..])
}
