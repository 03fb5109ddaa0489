//! Capture by eBPF: what containers and selected programs write, and what the kernel prints.
//!
//! ```text
//!  load ──► programs and maps in the kernel ──► reader (thread) ──► stream ──► ring
//!   btf, offsets, hook                            │ exec records, ends of processes
//!                                                 ▼
//!                                               names (thread) ◄── containers
//! ```

pub mod backlog;
pub mod btf;
pub mod containers;
mod echo;
mod fill;
pub mod handle;
mod hold_back;
pub mod hook;
mod lines;
pub mod load;
pub mod names;
pub mod offsets;
pub mod reader;
mod state;
pub mod stream;
mod successor;
