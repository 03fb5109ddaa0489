//! Giving memory back to the kernel.

/// Returns what the allocator keeps for later. For after a burst of work that will not come again, such as
/// reading the kernel's type information at start.
pub fn release_free_memory() {
    // SAFETY: has no precondition; where another allocator is in use it finds nothing to do.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
