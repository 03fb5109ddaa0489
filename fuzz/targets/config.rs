//! Configurations: each holds, or is told what is wrong with it, with the place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::config::from_text;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(problems) = from_text("fuzz.yaml", text) {
        assert!(!problems.0.is_empty());
        assert!(problems.0.iter().all(|problem| problem.to_string().starts_with("fuzz.yaml:")), "{problems}");
    }
});
