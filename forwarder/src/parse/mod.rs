//! From a line to what it says; and from a journal file to its entries.
//!
//! In: one line, framed by its source. Out: a record's body, fields, level and, where the line has one, its time, as
//! ranges over the line ([`crate::record::Parts`]). No I/O, no clock; imports `record`, and of `encode` the SIMD kernels.
//!
//! What does not parse is text, and is never refused or lost.

pub mod cri;
pub mod docker_json;
pub mod expression;
mod fields;
pub mod journal;
pub mod json;
pub mod kata;
mod klog;
mod layout;
pub mod line;
pub mod log_entry;
pub mod log_line;
pub mod logfmt;
pub mod multiline;
mod pairs;
pub mod pattern;
mod peer;
mod space;
mod stamp;
pub mod syslog;
pub mod talos;
mod time;

pub(crate) use time::{Time, TimeReader};
