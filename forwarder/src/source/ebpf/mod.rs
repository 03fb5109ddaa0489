//! Capture by eBPF.
pub mod btf;
pub mod hook;
pub mod load;
pub mod names;
pub mod offsets;
pub mod reader;
pub mod stream;
