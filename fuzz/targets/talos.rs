//! The output of Talos' services.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::line::LineKind;

fuzz_target!(|data: &[u8]| ringward_fuzz::line(LineKind::Talos, data));
