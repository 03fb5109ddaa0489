//! Where records come from. Each source owns its threads and pushes into an [`output::Output`].

pub mod clock;
pub mod container;
pub mod descriptors;
pub mod docker;
#[cfg(feature = "ebpf")]
pub mod ebpf;
pub mod file;
pub mod framer;
pub mod joiner;
pub mod journal;
pub mod kmsg;
pub mod lines;
pub mod logfile;
pub mod memlogd;
pub mod network;
pub mod output;
pub mod syslog_framer;
