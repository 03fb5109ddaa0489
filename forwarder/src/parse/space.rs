//! White space as Go's `bytes.TrimSpace` sees it: Unicode's `White_Space`, in UTF-8.

/// `text` without the white space at both ends. It need not be valid UTF-8.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii();
        // Not white space for Rust's `trim_ascii`, but for Unicode.
        if let [0x0b, rest @ ..] | [rest @ .., 0x0b] = text {
            text = rest;
            continue;
        }
        if text.first().is_none_or(u8::is_ascii) && text.last().is_none_or(u8::is_ascii) {
            return text;
        }
        match SPACES.iter().find_map(|space| text.strip_prefix(*space).or_else(|| text.strip_suffix(*space))) {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

/// What is white space beyond ASCII.
const SPACES: [&[u8]; 19] = [
    b"\xc2\x85",
    b"\xc2\xa0",
    b"\xe1\x9a\x80",
    b"\xe2\x80\x80",
    b"\xe2\x80\x81",
    b"\xe2\x80\x82",
    b"\xe2\x80\x83",
    b"\xe2\x80\x84",
    b"\xe2\x80\x85",
    b"\xe2\x80\x86",
    b"\xe2\x80\x87",
    b"\xe2\x80\x88",
    b"\xe2\x80\x89",
    b"\xe2\x80\x8a",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xa9",
    b"\xe2\x80\xaf",
    b"\xe2\x81\x9f",
    b"\xe3\x80\x80",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_white_space_of_unicode_and_nothing_else() {
        for char in (0..=0x0010_ffffu32).filter_map(char::from_u32) {
            let text = format!("{char}a{char}");
            assert_eq!(trim(text.as_bytes()).len() == 1, char.is_whitespace(), "{char:?}");
        }
    }

    proptest! {
        #[test]
        fn as_rust_trims_text(text in "[ \\t\\r\\n\u{0b}\u{0c}\u{85}\u{a0}\u{2028}a\u{e9}]{0,12}") {
            prop_assert_eq!(trim(text.as_bytes()), text.trim().as_bytes());
        }

        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = trim(&text);
        }
    }
}
