//! Records of Kata Containers, glued and cut: every byte but white space is in a piece, and each piece is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::kata::split;
use ringward::parse::line::LineKind;

fuzz_target!(|data: &[u8]| {
    let mut at = 0;
    for piece in split(data) {
        assert!(!piece.is_empty());
        let begin = data[at..].len() - data[at..].trim_ascii_start().len() + at;
        assert_eq!(&data[begin..begin + piece.len()], piece);
        at = begin + piece.len();
        ringward_fuzz::line(LineKind::Kata, piece);
    }
    assert!(data[at..].trim_ascii_start().is_empty());
    // A part of a line is not split.
    ringward_fuzz::line(LineKind::Kata, data);
});
