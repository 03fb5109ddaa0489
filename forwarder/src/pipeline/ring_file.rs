//! The ring in files: opened, with what an earlier run left, and what that means for the sources.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::config::ResolvedConfig;
use crate::ring::file::{Recovered, RingFile};
use crate::ring::{Ring, RingLimits};
use crate::state::StateDir;

/// The ring of a run with destinations.
///
/// # Errors
/// Where the folder can't be used.
pub(super) fn open(
    folder: &Path,
    limits: RingLimits,
    first_sequence: u64,
    config: &ResolvedConfig,
    state: Option<&StateDir>,
) -> anyhow::Result<Arc<Ring>> {
    let (file, mut recovered) = opened(folder, limits)?;
    if let Some(state) = state {
        let resumed = config.destinations.iter().filter(|destination| config.resumes(destination));
        let readers: Vec<_> =
            resumed.map(|destination| (state.ring_position(&destination.name), destination.spill.is_some())).collect();
        readers.iter().filter_map(|(position, _)| position.as_ref()).for_each(|position| recovered.raise(position));
        let of_readers = readers.iter().map(|(position, spills)| (position.as_ref(), *spills));
        state.set_in_earlier_ring(recovered.continued(of_readers));
    }
    Ok(Ring::with_file(limits, first_sequence, file, recovered))
}

/// The ring of a run that has only clients.
///
/// # Errors
/// Where the folder can't be used.
pub(super) fn open_alone(folder: &Path, limits: RingLimits) -> anyhow::Result<Arc<Ring>> {
    let (file, recovered) = opened(folder, limits)?;
    let ring = Ring::with_file(limits, 1, file, recovered);
    ring.settle();
    Ok(ring)
}

fn opened(folder: &Path, limits: RingLimits) -> anyhow::Result<(RingFile, Recovered)> {
    let (file, recovered) = RingFile::open(folder, limits.bytes).context("the ring's files can't be used")?;
    let found = recovered.report;
    if found.batches > 0 {
        tracing::info!("the ring begins with {} records of an earlier run", found.records);
    }
    if found.missing + found.damaged_bytes > 0 {
        let (missing, damaged) = (found.missing, found.damaged_bytes);
        tracing::warn!("the ring's files had {damaged} torn or damaged bytes; {missing} records are missing in them");
    }
    Ok((file, recovered))
}
