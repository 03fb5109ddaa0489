//! bpf(2), for what aya does not tell of a program.

use std::os::fd::{AsRawFd, BorrowedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

/// Runs of the program that the kernel skipped because it was running on the CPU already; 0 where the kernel
/// does not tell (before 5.12).
pub fn recursion_misses(program: BorrowedFd<'_>) -> u64 {
    // SAFETY: both are plain C structures for which zero is a value.
    let (mut attr, mut info) = unsafe { (std::mem::zeroed::<bpf_attr>(), std::mem::zeroed::<bpf_prog_info>()) };
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = &raw mut info as u64;
    // SAFETY: `attr` points to `info`, which lives until the call has returned, and gives its length.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_OBJ_GET_INFO_BY_FD as libc::c_long,
            &raw mut attr,
            size_of::<bpf_attr>(),
        )
    };
    if result == 0 { info.recursion_misses } else { 0 }
}
