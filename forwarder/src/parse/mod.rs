//! Parsers: bytes in, what they mean out. Pure functions that do no I/O and read no clock.

pub mod cri;
pub mod docker_json;
pub mod line;
