//! How full an eBPF ring buffer is: its two positions, which the kernel shares with whoever maps the ring.
//!
//! ```text
//! page 0  consumer position u64    page 1  producer position u64    then the data
//! ```

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The positions of a ring; unmapped when dropped.
pub struct RingFill {
    pages: NonNull<AtomicU64>,
    page_len: usize,
}

// SAFETY: the pages are only read, by atomic operations.
unsafe impl Send for RingFill {}

impl RingFill {
    /// # Errors
    /// Where `ring` is no `BPF_MAP_TYPE_RINGBUF`.
    pub fn map(ring: BorrowedFd<'_>) -> io::Result<Self> {
        let page_len = rustix::param::page_size();
        // SAFETY: a new mapping at an address that the kernel chooses.
        let pages = unsafe { mmap(std::ptr::null_mut(), 2 * page_len, ProtFlags::READ, MapFlags::SHARED, ring, 0)? };
        let pages = NonNull::new(pages.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { pages, page_len })
    }

    /// Bytes that wait to be read, those of records that are still being written included.
    pub fn used(&self) -> u64 {
        let consumer = self.consumer();
        self.producer().saturating_sub(consumer)
    }

    /// Where the next record will be put. Positions only grow.
    pub fn producer(&self) -> u64 {
        // SAFETY: both pages are mapped as long as `self` lives, and each begins with an aligned u64.
        unsafe { self.pages.byte_add(self.page_len).as_ref() }.load(Ordering::Acquire)
    }

    /// Everything before this place has been read.
    pub fn consumer(&self) -> u64 {
        // SAFETY: as above.
        unsafe { self.pages.as_ref() }.load(Ordering::Acquire)
    }
}

impl Drop for RingFill {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and no reference to it outlives `self`.
        let _ = unsafe { munmap(self.pages.as_ptr().cast(), 2 * self.page_len) };
    }
}
