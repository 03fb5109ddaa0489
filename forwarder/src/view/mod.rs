//! Views: readers of the ring that serve local clients.
//!
//! ```text
//!  ring ──Cursor─┬─► Entries ──► a client of memlogd's query socket (query)
//!                │           └──► standard output (print)
//!                └─► Filter ──► JsonLines ──► `ringward logs` and its like (viewer)
//! ```
//!
//! A view is a reader like a destination: it has its own place in the ring, holds up nobody, and where the ring had to
//! let go of what it had not read yet, one entry says how many records that were and between which times they were
//! written. Nothing is kept for it beyond the ring.

mod accept;
mod client;
mod encoded;
mod entry;
mod filter;
mod listing;
mod name;
mod outgoing;
pub mod print;
pub mod query;
pub mod request;
mod stage;
pub mod viewer;

pub use accept::ViewHandle;
pub use entry::{Entries, EntryFormat};
pub use stage::Stages;
