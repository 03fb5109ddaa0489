//! Lines that a pattern describes, with times in many ways; and formats of times.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use regex::bytes::Regex;
use ringward::parse::line::LineKind;
use ringward::parse::pattern::{LinePattern, TimeFormat};

const PATTERNS: [(&str, Option<&str>); 3] = [
    (
        r"^(?<time>\S+ \S+) \[(?<level>\w+)\] (?<pid>\d+): (?:\*(?<connection>\d+) )?(?<msg>.*)",
        Some("%Y/%m/%d %H:%M:%S"),
    ),
    (r"(?-u)^(?<time>[^|]*)\|(?<level>[^|]*)\|(?<msg>.*)$", None),
    (r"^(?<time>\w+ +\d+ [\d:]+)", Some("%b %d %H:%M:%S")),
];

fuzz_target!(|data: &[u8]| {
    static KINDS: OnceLock<Vec<LineKind>> = OnceLock::new();
    let kinds = KINDS.get_or_init(|| {
        let kind = |(regex, time): &(&str, Option<&str>)| {
            let time = time.map_or(TimeFormat::Auto, |time| TimeFormat::strptime(time).unwrap());
            LineKind::Pattern(Box::leak(Box::new(LinePattern::new(Regex::new(regex).unwrap(), time))))
        };
        PATTERNS.iter().map(kind).collect()
    });
    kinds.iter().for_each(|kind| ringward_fuzz::line(*kind, data));
    if let Ok(format) = std::str::from_utf8(data) {
        let _ = TimeFormat::strptime(format);
    }
});
