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
#[cfg(feature = "ebpf")]
mod signals;
mod tcp_info;

#[cfg(feature = "ebpf")]
pub use bpf::recursion_misses;
pub use memory::release_free_memory;
pub use recvmmsg::{ReceivedDatagram, ReceivedDatagrams, SenderProcess, dropped_datagrams};
#[cfg(feature = "ebpf")]
pub use ring_fill::RingFill;
#[cfg(test)]
pub(crate) use sendmmsg::leave_out_checksums;
pub use sendmmsg::{DatagramSender, Datagrams, MAX_DATAGRAMS, MAX_PADDING, MAX_SEGMENTS, Run, segment_limit};
pub use shared_flag::SharedFlag;
#[cfg(feature = "ebpf")]
pub use signals::NoChildSignals;
pub use tcp_info::{STATE_CLOSED, TcpInfo, tcp_info, unacknowledged_bytes};
