//! Finds batches: on disk, or in the queue while they are not synced.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Shared;
use super::segment::Segment;
use crate::record::{Batch, BatchError, HEADER_LEN, MAGIC};

/// Where the last fetch ended: fetches are in order.
pub(super) struct ReadPlace {
    segment: u64,
    file: File,
    offset: u64,
    next_sequence: u64,
}

pub(super) fn fetch(shared: &Shared, place: &Mutex<Option<ReadPlace>>, from: u64) -> Option<(u64, Arc<Batch>)> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let segment = {
            let state = shared.lock();
            let from = from.max(state.acknowledged_below);
            let queued = state.queue.iter().find(|(sequence, _)| *sequence >= from);
            let in_queue = queued.map(|(sequence, batch)| (*sequence, Arc::clone(batch)));
            let unsynced = state.queue.front().map_or(u64::MAX, |(sequence, _)| *sequence);
            // What is synced lies below the queue.
            match state
                .segments
                .iter()
                .find(|segment| segment.last >= from && segment.len > 0 && segment.first < unsynced)
            {
                Some(segment) if from < unsynced => segment.clone(),
                _ => return in_queue,
            }
        };
        let from = from.max(shared.lock().acknowledged_below);
        match read_from(&segment, &mut place, from) {
            Ok(Some(found)) => return Some(found),
            Ok(None) => {}
            Err(ReadError::Corrupt) => {
                shared.counters.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a batch in {} is damaged and is left out", segment.path.display());
                let mut state = shared.lock();
                state.loss.merge(crate::ring::Loss { records: 1, ..Default::default() });
                continue;
            }
            // Dropped to make room in the meantime.
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(ReadError::Io(error)) => tracing::error!("{} can't be read: {error}", segment.path.display()),
        }
        // Nothing (more) in this segment: whatever it had is not found again.
        *place = None;
        let mut state = shared.lock();
        let after = state.segments.iter().find(|later| later.first > segment.first).map(|later| later.first);
        let next = after
            .into_iter()
            .chain(state.queue.iter().map(|(sequence, _)| *sequence))
            .filter(|next| *next >= from)
            .min();
        match next {
            Some(next) if next > from => {
                drop(state);
                return fetch_at(shared, place, next);
            }
            _ => {
                // The segment claims a batch that is not there.
                if let Some(known) = state.segments.iter_mut().find(|known| known.first == segment.first) {
                    known.last = known.last.min(from.saturating_sub(1));
                }
                next?;
            }
        }
    }
}

fn fetch_at(
    shared: &Shared,
    place: std::sync::MutexGuard<'_, Option<ReadPlace>>,
    from: u64,
) -> Option<(u64, Arc<Batch>)> {
    drop(place);
    fetch(shared, &Mutex::new(None), from)
}

/// Every batch of `segment` of sequence `from` or later; damaged ones are left out.
pub(super) fn for_each(segment: &Segment, from: u64, mut on_batch: impl FnMut(u64, Batch)) {
    let mut place = None;
    let mut next = from.max(segment.first);
    loop {
        match read_from(segment, &mut place, next) {
            Ok(Some((sequence, batch))) => {
                next = sequence + 1;
                on_batch(sequence, Arc::unwrap_or_clone(batch));
            }
            Err(ReadError::Corrupt) => {}
            Ok(None) | Err(ReadError::Io(_)) => return,
        }
    }
}

enum ReadError {
    Io(io::Error),
    /// The place has moved past the damage.
    Corrupt,
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The first batch of `from` or later in the segment; `None` at its end.
fn read_from(
    segment: &Segment,
    place: &mut Option<ReadPlace>,
    from: u64,
) -> Result<Option<(u64, Arc<Batch>)>, ReadError> {
    let fits = place.as_ref().is_some_and(|place| place.segment == segment.first && place.next_sequence <= from);
    if !fits {
        let file = File::open(&segment.path)?;
        let offset = segment.offset_before(from);
        *place = Some(ReadPlace { segment: segment.first, file, offset, next_sequence: 0 });
    }
    let at = place.as_mut().expect("set above");
    while at.offset < segment.len {
        match read_batch(&at.file, at.offset, segment.len)? {
            Some((sequence, batch)) => {
                at.offset += batch.byte_len() as u64;
                at.next_sequence = sequence + 1;
                if sequence >= from {
                    return Ok(Some((sequence, Arc::new(batch))));
                }
            }
            None => {
                at.offset = next_valid(&at.file, at.offset + 1, segment.len)?;
                return Err(ReadError::Corrupt);
            }
        }
    }
    Ok(None)
}

/// The batch at `offset`; `None` where the bytes are not one.
pub(super) fn read_batch(file: &File, offset: u64, end: u64) -> io::Result<Option<(u64, Batch)>> {
    let mut header = [0; HEADER_LEN];
    if end - offset < HEADER_LEN as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut header, offset)?;
    let Ok(len) = Batch::peek_len(&header) else { return Ok(None) };
    if len as u64 > end - offset {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    match Batch::parse(Bytes::from(bytes)) {
        Ok(found) => Ok(Some(found)),
        Err(BatchError::Truncated { .. } | BatchError::Checksum) => Ok(None),
        Err(_) => Ok(None),
    }
}

/// Offset of the next whole batch at `from` or later; `end` where there is none.
pub(super) fn next_valid(file: &File, from: u64, end: u64) -> io::Result<u64> {
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    for found in memchr::memmem::find_iter(&bytes, &MAGIC) {
        let offset = from + found as u64;
        if read_batch(file, offset, end)?.is_some() {
            return Ok(offset);
        }
    }
    Ok(end)
}
