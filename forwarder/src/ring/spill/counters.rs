//! What a spill has done since it was opened.

use std::sync::atomic::AtomicU64;

/// Batches, unless the name says otherwise.
#[derive(Debug, Default)]
pub struct SpillCounters {
    pub stored: AtomicU64,
    /// Not taken because too much waited for the disk.
    pub refused: AtomicU64,
    /// Segments dropped because the spill was full.
    pub dropped: AtomicU64,
    /// Places that were found damaged when they were read.
    pub corrupt: AtomicU64,
    /// Writes or syncs that failed and were repeated.
    pub write_errors: AtomicU64,
}
