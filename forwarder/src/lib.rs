//! Ringward: a log forwarder for Linux nodes.
//!
//! ```text
//!  source/ ──► parse/ ──► record/ (Batch) ──► ring/ ──► destination/ ──► encode/ ──► io/ ──► wire
//!                                               │            │
//!                                               └── spill    └── acknowledged positions ──► state/
//! ```
//!
//! The folders are named for the way of a record; `pipeline` is the only file that knows all of them.

pub mod cli;
pub mod config;
pub mod destination;
pub mod encode;
pub mod io;
pub mod observe;
pub mod parse;
pub mod pipeline;
pub mod record;
pub mod ring;
pub mod shape;
pub mod source;
pub mod state;
pub mod sys;
pub mod view;
