//! What Ringward says about itself.

pub mod counters;
pub mod shaping;
