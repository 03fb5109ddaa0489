//! Minimal reader of the log files that container runtimes write: CRI (kubelet, CRI-O, Podman's `k8s-file`) and
//! Docker's `json-file`.
//!
//! In: lines of a file and of those that it was rotated to. Out: the stream's bytes as the container wrote them, newlines
//! included, each with its time and the offset in the file at which reading can go on. Used for what a container printed before capture began,
//! and to fill gaps of the capture.
//!
//! Limits: a line longer than [`MAX_LINE_BYTES`] is skipped and counted; compressed rotated files (`.gz`) are not
//! read; Docker's driver replaces invalid UTF-8 by U+FFFD, which can't be undone
//! ([`overlap::find_overlap`] takes care of it).

mod anchor;
pub mod overlap;
mod pieces;
mod reader;
mod series;

pub use anchor::{Anchor, Recent};
pub use pieces::Pieces;
pub use reader::{Chunk, MAX_LINE_BYTES, ReadError, Reader};
pub use series::Series;
