//! Shaping and routing: what happens to records between their sources and the ring.
//!
//! ```text
//!  a source's thread ──► Output ──► door ── tap ──► steps ──► routes ──► ring
//!                                                     │
//!                                  reports later ◄────┘ (one thread waits for all doors)
//! ```
//!
//! - `process` is a list of steps, each with a condition of its own where it wants one. They run in the thread of the source,
//!   batch by batch. A batch in which nothing changes is passed on as it is. Without `process` and `routes` there are no
//!   doors, and nothing here is run.
//! - A record that is discarded was asked to be: it is counted by its step, and counts as read, so that checkpoints move on. It
//!   is never a loss; and a report of a loss is never discarded.
//! - `routes` say which destinations a record is for. Found out once, before the ring: see [`crate::ring::Targets`].
//!
//! In: sealed batches. Out: sealed batches. What can't be done to a record (it does not parse, a value is no number) leaves it
//! as it was, marks it, and is counted. Limits: those of each file; a record is made larger by at most 16 MiB.

mod condition;
mod draft;
mod entrance;
mod glob;
mod nested;
mod routes;
mod shaper;
pub mod spec;
mod steps;
mod subject;
mod template;
#[cfg(test)]
mod tests;
mod trial;
mod value;

pub use condition::{Condition, Test};
pub use entrance::{Shaping, Tap, Watching};
pub use glob::Glob;
pub use routes::router;
pub use template::{Piece, Template};
pub use trial::Trial;
