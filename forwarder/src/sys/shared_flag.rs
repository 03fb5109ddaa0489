//! A 32-bit flag in a page that is shared with the kernel: element 0 of an mmap'able eBPF array.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The flag; unmapped when dropped.
pub struct SharedFlag {
    page: NonNull<AtomicU32>,
    len: usize,
}

// SAFETY: the page is only touched by atomic operations.
unsafe impl Send for SharedFlag {}

impl SharedFlag {
    /// Maps the first page of `map`.
    ///
    /// # Errors
    /// Where the map is not mmap'able.
    pub fn map(map: BorrowedFd<'_>) -> io::Result<Self> {
        let len = rustix::param::page_size();
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let page = unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, map, 0)? };
        let page = NonNull::new(page.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { page, len })
    }

    pub fn set(&self, value: bool) {
        // SAFETY: the page is mapped as long as `self` lives, and aligned.
        unsafe { self.page.as_ref() }.store(u32::from(value), Ordering::SeqCst);
    }
}

impl Drop for SharedFlag {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length, and no reference to it outlives `self`.
        let _ = unsafe { munmap(self.page.as_ptr().cast(), self.len) };
    }
}
