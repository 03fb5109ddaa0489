//! Where records come from.

pub mod container;
pub mod logfile;
