//! Where records come from.

#[cfg(feature = "ebpf")]
pub mod ebpf;
