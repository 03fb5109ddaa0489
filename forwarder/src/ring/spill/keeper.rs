//! The thread that syncs what was written, saves what was acknowledged, and deletes what is done.

use std::fs;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Shared, State, acknowledged};
use crate::sys::files;

/// `saved_acknowledged`: the position that was recovered.
pub(super) fn run(shared: &Shared, saved_acknowledged: u64) {
    let mut keeper = Keeper { shared, saved_acknowledged };
    loop {
        let is_last = keeper.wait();
        // In this order: what is deleted need not be synced, but the position must be before anything is.
        for (what, result) in [("synced", keeper.sync()), ("cleared", keeper.save_and_delete())] {
            if let Err(error) = result {
                shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the spill in {} can't be {what}: {error}", shared.options.directory.display());
            }
        }
        if is_last {
            return;
        }
    }
}

struct Keeper<'a> {
    shared: &'a Shared,
    saved_acknowledged: u64,
}

impl Keeper<'_> {
    /// Waits until there is something to do, and a sync interval is over. `true`: for the last time.
    fn wait(&self) -> bool {
        let begin = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if state.writer_has_ended {
                return true;
            }
            let has_work = !state.unsynced.is_empty() || self.has_to_save(&state);
            let left = self.shared.options.sync_interval.saturating_sub(begin.elapsed());
            state = match (has_work, left.is_zero()) {
                (true, true) => return false,
                (true, false) => {
                    self.shared.to_keep.wait_timeout(state, left).map_or_else(|e| e.into_inner().0, |ok| ok.0)
                }
                (false, _) => self.shared.to_keep.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn has_to_save(&self, state: &State) -> bool {
        let acknowledged = state.acknowledged_below;
        let Some(oldest) = state.segments.front() else { return false };
        acknowledged > self.saved_acknowledged || acknowledged > oldest.extent.last
    }

    /// After a failed sync the kernel may have forgotten what was written: it is found damaged, and counted, or not.
    /// Nothing can be done about it but to say so.
    fn sync(&self) -> io::Result<()> {
        let unsynced = std::mem::take(&mut self.shared.lock().unsynced);
        let Some(last) = unsynced.back().map(|unsynced| unsynced.last) else { return Ok(()) };
        let synced = unsynced.iter().try_for_each(|unsynced| unsynced.file.sync_data());
        let synced = synced.and_then(|()| files::sync_directory(&self.shared.options.directory));
        let mut state = self.shared.lock();
        state.synced_below = last + 1;
        self.shared.progress.notify_all();
        synced
    }

    fn save_and_delete(&mut self) -> io::Result<()> {
        let acknowledged = {
            let state = self.shared.lock();
            if !self.has_to_save(&state) {
                return Ok(());
            }
            state.acknowledged_below
        };
        acknowledged::write(&self.shared.options.directory, acknowledged)?;
        self.saved_acknowledged = acknowledged;
        loop {
            let done = {
                let mut state = self.shared.lock();
                let done = state.segments.pop_front_if(|segment| segment.extent.last < acknowledged);
                let Some(done) = done else { return Ok(()) };
                state.unsynced.retain(|unsynced| unsynced.segment != done.id);
                done
            };
            fs::remove_file(&done.path)?;
        }
    }
}
