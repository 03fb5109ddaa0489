//! Raw system calls that no library of ours wraps, one small file each.
#![allow(unsafe_code)]

#[cfg(feature = "ebpf")]
mod bpf;
pub(crate) mod files;
mod memory;
mod recvmmsg;
#[cfg(feature = "ebpf")]
mod ring_fill;
mod sendmmsg;
mod shared_flag;
mod tcp_info;

#[cfg(feature = "ebpf")]
pub use bpf::recursion_misses;
pub use memory::release_free_memory;
pub use recvmmsg::{Datagrams, dropped_datagrams};
#[cfg(feature = "ebpf")]
pub use ring_fill::RingFill;
pub use sendmmsg::{MAX_DATAGRAMS, send_datagrams};
pub use shared_flag::SharedFlag;
pub use tcp_info::{STATE_CLOSED, TcpInfo, tcp_info, unacknowledged_bytes};
