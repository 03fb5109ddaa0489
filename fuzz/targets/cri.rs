//! Lines of the kubelet's log files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::cri::{CriParser, parse};

fuzz_target!(|data: &[u8]| {
    let mut parser = CriParser::default();
    for line in data.split(|byte| *byte == b'\n') {
        // Whoever remembers what the line before had reads the same as who does not.
        let (remembering, anew) = (parser.parse(line), parse(line));
        assert_eq!(remembering, anew);
        if let Ok(found) = anew {
            assert!(line.ends_with(&found.text));
        }
    }
});
