//! From records to the bytes of a wire format.
//!
//! Owns the formats: [`json_lines`] writes the records of a batch as JSON objects, [`simd`] is the escape
//! kernel under it and [`time`] writes RFC 3339 times. In: batches and options. Out: bytes in a caller's buffer
//! and the offset at which each record ends. No I/O, no clock.
//!
//! Nothing is refused: a record that can't be encoded does not exist. Whatever the bytes of a body are, what
//! comes out is a valid object.

pub mod json_lines;
pub mod simd;
pub mod time;
