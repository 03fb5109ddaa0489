//! The thread that writes, and makes room.
//!
//! It never waits for a sync: while one takes its time, what comes is written, and is in the kernel's hands.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::scan::{Scan, Step};
use super::segment::{SEGMENT_HEADER_LEN, Segment};
use super::{Shared, State, Unsynced};
use crate::record::{Batch, HEADER_LEN};
use crate::ring::Loss;
use crate::ring::entry::{entry_head, entry_len};
use crate::sys::files;

/// Pause after a failed write, doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long closing goes on trying on a disk that fails.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// `next_id`: above the ids of the recovered segments.
pub(super) fn run(shared: &Shared, next_id: u64) {
    let mut writer = Writer { shared, open: None, next_id };
    let mut pause = FIRST_PAUSE;
    let mut closing_since = None;
    while let Some((sequence, batch)) = writer.next() {
        match writer.write(sequence, &batch) {
            Ok(()) => pause = FIRST_PAUSE,
            Err(error) => {
                shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the spill in {} can't be written: {error}", shared.options.directory.display());
                writer.close_segment();
                let mut state = shared.lock();
                if state.closing && closing_since.get_or_insert_with(Instant::now).elapsed() > CLOSE_PATIENCE {
                    break;
                }
                let is_open = |state: &mut State| !state.closing;
                state = shared
                    .to_write
                    .wait_timeout_while(state, pause, is_open)
                    .map_or_else(|e| e.into_inner().0, |ok| ok.0);
                drop(state);
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
    shared.lock().writer_has_ended = true;
    shared.to_keep.notify_one();
}

struct Writer<'a> {
    shared: &'a Shared,
    open: Option<Open>,
    next_id: u64,
}

/// The segment that is appended to.
struct Open {
    file: Arc<File>,
    /// What is known of it; with its first batch, the shared state knows of it too and knows better.
    segment: Segment,
    is_known: bool,
}

impl State {
    fn open_segment(&mut self, id: u64) -> Option<&mut Segment> {
        self.segments.back_mut().filter(|segment| segment.id == id)
    }
}

impl Writer<'_> {
    /// The oldest batch that is not written; `None` when that was the last.
    fn next(&self) -> Option<(u64, Arc<Batch>)> {
        let mut state = self.shared.lock();
        loop {
            if let Some((sequence, batch)) = state.queue.front() {
                return Some((*sequence, Arc::clone(batch)));
            }
            if state.closing {
                return None;
            }
            state = self.shared.to_write.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&mut self, sequence: u64, batch: &Arc<Batch>) -> io::Result<()> {
        self.make_room(entry_len(batch));
        let limit = self.shared.options.segment_bytes.min(self.shared.options.max_bytes / 4);
        if let Some(open) = self.open.as_mut().filter(|open| open.is_known) {
            match self.shared.lock().open_segment(open.segment.id) {
                Some(known) if known.extent.len < limit => open.segment.extent = known.extent,
                // Full, or acknowledged and gone.
                _ => self.open = None,
            }
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(create(self.shared, self.next_id, sequence)?),
        };
        self.next_id = self.next_id.max(open.segment.id + 1);
        let offset = open.segment.extent.len;
        let head = entry_head(open.segment.salt, open.segment.extent.records, sequence, batch);
        open.file.write_all_at(&head, offset)?;
        open.file.write_all_at(&batch.data()[HEADER_LEN..], offset + head.len() as u64)?;
        let mut state = self.shared.lock();
        if !std::mem::replace(&mut open.is_known, true) {
            state.segments.push_back(open.segment.clone());
        }
        let Some(segment) = state.open_segment(open.segment.id) else {
            // All that was in it was acknowledged meanwhile, and it was deleted: this one is written again.
            return Ok(());
        };
        segment.note(sequence, batch);
        let written = Unsynced { segment: open.segment.id, file: Arc::clone(&open.file), last: sequence };
        match state.unsynced.back_mut() {
            Some(unsynced) if unsynced.segment == written.segment => *unsynced = written,
            _ => state.unsynced.push_back(written),
        }
        // Acknowledged while it was being written, it is not in the queue any more.
        if let Some((_, batch)) = state.queue.pop_front_if(|(queued, _)| *queued == sequence) {
            state.queue_bytes -= batch.capacity();
        }
        self.shared.to_keep.notify_one();
        self.shared.progress.notify_all();
        Ok(())
    }

    /// After a failure: what is half written is cut off, and another file is tried.
    fn close_segment(&mut self) {
        let Some(open) = self.open.take() else { return };
        let cut = if open.is_known {
            open.file.set_len(open.segment.extent.len)
        } else {
            fs::remove_file(&open.segment.path)
        };
        if let Err(error) = cut {
            tracing::error!("{} can't be cut: {error}", open.segment.path.display());
        }
    }

    /// Drops the oldest segments until there is room for `bytes`.
    fn make_room(&self, bytes: u64) {
        loop {
            let (segment, needed) = {
                let mut state = self.shared.lock();
                let total: u64 = state.segments.iter().map(|segment| segment.extent.len).sum();
                let is_open = |segment: &Segment| self.open.as_ref().is_some_and(|open| open.segment.id == segment.id);
                if total + bytes <= self.shared.options.max_bytes || state.segments.front().is_none_or(is_open) {
                    return;
                }
                let needed = state.acknowledged_below.max(state.read_below).max(state.ahead.to);
                let Some(segment) = state.segments.pop_front() else { return };
                state.unsynced.retain(|unsynced| unsynced.segment != segment.id);
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
}

/// A segment with a header. One of this name that failed half-way is written anew.
fn create(shared: &Shared, id: u64, first: u64) -> io::Result<Open> {
    let segment = Segment::new(&shared.options.directory, id, first);
    let file = files::private_file().create(true).truncate(true).open(&segment.path)?;
    file.write_all_at(&segment.header(), 0)?;
    debug_assert_eq!(segment.extent.len, SEGMENT_HEADER_LEN as u64);
    Ok(Open { file: Arc::new(file), segment, is_known: false })
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
