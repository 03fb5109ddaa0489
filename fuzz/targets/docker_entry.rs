//! Entries of Docker's logging drivers: what is read, written and read again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::log_entry::{decode, find, split};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some((entry, len))) = split(rest) {
        assert!(len > 0 && len <= rest.len());
        let _ = decode(entry);
        rest = &rest[len..];
    }
    assert!(find(data) <= data.len());
});
