//! Signals that must not interrupt.

use std::mem::MaybeUninit;
use std::ptr;

/// While this lives, its thread gets no SIGCHLD; one that comes waits.
pub struct NoChildSignals {
    before: libc::sigset_t,
}

impl NoChildSignals {
    /// For the thread that calls it.
    pub fn begin() -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` makes the set, which the others read; `pthread_sigmask` writes the mask that there was. With
        // these arguments none of them fails.
        let before = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
            libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        Self { before }
    }
}

impl Drop for NoChildSignals {
    fn drop(&mut self) {
        // SAFETY: the mask is the one that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}
