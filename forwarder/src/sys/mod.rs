//! Raw system calls that no library of ours wraps, one small file each.
#![allow(unsafe_code)]

#[cfg(feature = "ebpf")]
mod bpf;
mod shared_flag;

#[cfg(feature = "ebpf")]
pub use bpf::recursion_misses;
pub use shared_flag::SharedFlag;
