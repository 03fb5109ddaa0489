//! Capture by eBPF.
pub mod btf;
pub mod hook;
pub mod load;
pub mod offsets;
pub mod stream;
