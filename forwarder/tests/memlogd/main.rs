//! memlogd's place: its two sockets, its programs, and LinuxKit's own programs around them; and Ringward's own viewers.
//!
//! Real sockets, pipes and processes; nothing here needs root.

#[path = "../harness/mod.rs"]
mod harness;

mod daemon;
mod held;
mod load;
mod odd;
mod originals;
mod pipeline;
mod programs;
mod protocol;
mod ring_file;
mod viewing;
