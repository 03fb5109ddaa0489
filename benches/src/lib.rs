//! The pure stages of a record's way, one closure each, and their inputs: what `cargo bench --bench stages` times and
//! `cargo xtask bench count` counts the instructions of.
//!
//! A stage does the same work on the same bytes each time it is run, for [`RECORDS`] records. None does I/O or reads a
//! clock.

pub mod inputs;
pub mod stages;

pub use stages::{Stage, all};

/// Records that one run of a stage handles, unless it says otherwise.
pub const RECORDS: u64 = 1000;
