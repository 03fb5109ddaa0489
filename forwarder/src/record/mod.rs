//! Records and the batches that carry them.
//!
//! Owns the in-memory and on-disk form of everything that Ringward moves: [`Batch`] is one contiguous,
//! relocatable buffer, the same bytes in the heap, in the file-backed ring and in the spill. Sources write
//! into a [`BatchBuilder`], everybody else reads. Imports nothing of the other folders.
//!
//! Limits: a batch is at most [`MAX_BATCH_BYTES`], so that every offset fits 32 bits.

mod batch;
mod builder;
mod facility;
mod flags;
mod layout;
mod level;
mod loss;
mod origin;
mod parts;
mod validate;

pub use batch::{Batch, FieldValue, Record};
pub use builder::{BatchBuilder, RecordMeta};
pub use facility::facility_name;
pub use flags::Flags;
pub use layout::{HEADER_LEN, MAGIC, MAX_BATCH_BYTES};
pub use level::Level;
pub use loss::Lost;
pub use origin::{Origin, OriginHandle, OriginId, OriginKind, Stream};
pub use parts::{FieldSpan, Parts, Span, bytes};
pub use validate::BatchError;

#[cfg(test)]
mod tests;
