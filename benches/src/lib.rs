//! The pure stages of a record's way, one closure each, and their inputs: what `cargo bench --bench stages` times and
//! `cargo xtask bench count` counts the instructions of.
//!
//! Also a capture for those that measure the kernel's side, and what those of destinations send.
//!
//! A stage does the same work on the same bytes each time it is run, for [`RECORDS`] records. None does I/O or reads a
//! clock.

pub mod capture;
pub mod inputs;
pub mod sending;
pub mod shaping;
pub mod stages;

pub use stages::{Stage, all};

/// Records that one run of a stage handles, unless it says otherwise.
pub const RECORDS: u64 = 1000;
