//! The kernel log.
//!
//! /dev/kmsg from its oldest record, and the console texts that eBPF captured: when /dev/kmsg was overrun, they
//! fill the gap. A record carries `clock`, `facility`, `priority` and `seq` as fields; its message keeps the
//! newline and the dictionary lines, as Talos sends them.
//!
//! Checkpoint: source `boot:<boot id>:kmsg`, position `seq + 1`.

mod clock;
mod parse;
mod reader;
mod recover;
mod set_clock;

pub use parse::{FacilityNames, KmsgError, KmsgRecord};
pub use reader::{KmsgCounters, KmsgError as OpenError, KmsgHandle, KmsgOptions, source_key, start};
