//! Lines of Docker's json-file driver.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::docker_json::parse;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = parse(data) {
        assert!(found.partial || !found.text.ends_with(b"\n\n") || data.len() > found.text.len());
    }
});
