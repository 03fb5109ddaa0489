//! Buffers of full batches, used again: they are filled by one thread and freed by others, which makes an allocator
//! keep far more of them than are in use, and giving pages back and taking them again costs more than filling them.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;

/// Free buffers that are kept; more are given back to the allocator.
const KEPT: usize = 8;

/// The free buffers of one builder.
#[derive(Clone)]
pub(super) struct Pool(Arc<ArrayQueue<Vec<u8>>>);

impl Pool {
    pub(super) fn new() -> Self {
        Self(Arc::new(ArrayQueue::new(KEPT)))
    }

    /// An empty buffer of at least `capacity` bytes.
    pub(super) fn take(&self, capacity: usize) -> Vec<u8> {
        self.0.pop().filter(|buffer| buffer.capacity() >= capacity).unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// The buffer as bytes that come back here when nobody holds them any more.
    pub(super) fn share(&self, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Pooled { buffer, pool: self.clone() })
    }
}

struct Pooled {
    buffer: Vec<u8>,
    pool: Pool,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // Full: the allocator gets it.
        let _ = self.pool.0.push(buffer);
    }
}
