//! Where captured bytes begin in the payload of a log file.
//!
//! The file holds a stream from its start, the capture holds it from the attachment on. Both go on growing. The
//! bytes of the file before the first captured one are the backlog. They are found by content only, and only where
//! there is exactly one place that fits, because a wrong place would drop or double lines.

use std::borrow::Cow;

/// Fewer captured bytes than this prove nothing about a longer file.
pub const MIN_ANCHOR_BYTES: usize = 64;

/// Length of the prefix of `file` that precedes the first byte of `captured`.
///
/// `file` is payload of one stream up to its present end and starts at a position known to be at or before the
/// attachment; `captured` is what was captured of the same stream from the attachment on, without gaps. A position
/// `p` fits where `file[p..]` and `captured` agree over their whole common length, which is at least
/// [`MIN_ANCHOR_BYTES`]. The answer is the only `p` that fits; `None` where there is no such place or several.
///
/// What content can't show: that the file holds what was in transit when the capture began. While it doesn't, an
/// older block that equals the first captured one can be the only fit. The runtime's delay is short, so: take the
/// file's length before the attachment as the start of `file`, keep `captured` ahead of the file, and believe an
/// answer when it is the same again after the file has grown by [`MIN_ANCHOR_BYTES`] and more: growth refutes a wrong
/// place, or makes it the second one.
///
/// For Docker's json-file pass `captured` through [`docker_view`] first; the answer counts bytes of the file.
pub fn find_overlap(file: &[u8], captured: &[u8]) -> Option<usize> {
    if captured.len() < MIN_ANCHOR_BYTES {
        return None;
    }
    // Borders of `captured` against `file`, by Knuth, Morris and Pratt: linear, whatever the content.
    let failure = failure_table(captured);
    let mut matched = 0;
    let mut only: Option<usize> = None;
    for (at, &byte) in file.iter().enumerate() {
        while matched > 0 && captured[matched] != byte {
            matched = failure[matched - 1];
        }
        if captured[matched] == byte {
            matched += 1;
        }
        if matched == captured.len() {
            if only.replace(at + 1 - matched).is_some() {
                return None;
            }
            matched = failure[matched - 1];
        }
    }
    // What is left is the longest prefix of `captured` at the end of `file`; its borders are all the others. Short
    // ones are there by chance (one equal byte), so those below the anchor's length don't count.
    while matched >= MIN_ANCHOR_BYTES {
        if only.replace(file.len() - matched).is_some() {
            return None;
        }
        matched = failure[matched - 1];
    }
    only
}

/// Length of the shortest prefix of `file` after which `file` and `captured` agree over their whole common length, which
/// is at least one byte. A guess, for where [`find_overlap`] has none: content that repeats has fitted before, and
/// content that is short may fit by chance.
pub fn first_fit(file: &[u8], captured: &[u8]) -> Option<usize> {
    if captured.is_empty() {
        return None;
    }
    let failure = failure_table(captured);
    let mut matched = 0;
    for (at, &byte) in file.iter().enumerate() {
        while matched > 0 && captured[matched] != byte {
            matched = failure[matched - 1];
        }
        if captured[matched] == byte {
            matched += 1;
        }
        if matched == captured.len() {
            return Some(at + 1 - matched);
        }
    }
    (matched > 0).then(|| file.len() - matched)
}

/// `table[i]`: length of the longest proper prefix of `text` that ends at `i`.
pub(super) fn failure_table(text: &[u8]) -> Vec<usize> {
    let mut table = vec![0; text.len()];
    let mut matched = 0;
    for at in 1..text.len() {
        while matched > 0 && text[matched] != text[at] {
            matched = table[matched - 1];
        }
        if text[matched] == text[at] {
            matched += 1;
        }
        table[at] = matched;
    }
    table
}

/// `bytes` as Docker's json-file driver keeps them: each invalid byte becomes U+FFFD.
///
/// Go replaces byte by byte, unlike `String::from_utf8_lossy`, which takes a truncated sequence as one. Parts of a
/// line are cut at 16 KiB by Docker, possibly inside a character, which then is invalid on both sides: such a stream
/// is not matched.
pub fn docker_view(bytes: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(bytes).is_ok() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + 64);
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(range: std::ops::Range<u32>) -> Vec<u8> {
        range.flat_map(|n| format!("line {n:08} of the stream\n").into_bytes()).collect()
    }

    #[test]
    fn found_whoever_is_ahead() {
        let file = lines(0..50);
        let before = lines(0..10).len();
        assert_eq!(find_overlap(&file, &lines(10..20)), Some(before), "the file is ahead");
        assert_eq!(find_overlap(&file, &lines(10..90)), Some(before), "the capture is ahead");
        assert_eq!(find_overlap(&file, &file), Some(0));
        assert_eq!(find_overlap(&file, &lines(50..90)), None, "the file has not come that far");
        assert_eq!(find_overlap(&file, b"line 00000010"), None, "too short to prove anything");
    }

    #[test]
    fn repetition_is_ambiguous() {
        let beat = b"the same heartbeat line again and again and again, 70 bytes long or so\n";
        assert_eq!(find_overlap(&beat.repeat(10), &beat.repeat(3)), None);
        let mut file = beat.repeat(2);
        file.extend_from_slice(&lines(0..10));
        let mut captured = beat.to_vec();
        captured.extend_from_slice(&lines(0..10));
        assert_eq!(find_overlap(&file, &captured), Some(beat.len()), "what follows decides");
    }

    #[test]
    fn growth_refutes_an_older_block() {
        let block = lines(0..5);
        let captured = [&block[..], &lines(10..20)[..]].concat();
        let old = [&lines(30..40)[..], &block[..]].concat();
        assert_eq!(find_overlap(&old, &captured), Some(lines(30..40).len()), "all that there is to see");
        let grown = [&old[..], &captured[..300]].concat();
        assert_eq!(find_overlap(&grown, &captured), Some(old.len()));
    }

    #[test]
    fn the_first_place_that_fits_where_none_is_certain() {
        assert_eq!(first_fit(b"tick 1\ntick 2\n", b"tick 2\n"), Some(7));
        assert_eq!(first_fit(b"tick 1\ntick 2\n", b"tick 2\ntick 3\n"), Some(7), "the capture is ahead");
        assert_eq!(first_fit(b"tick\ntick\ntick\n", b"tick\n"), Some(0));
        assert_eq!(first_fit(b"tick 1\n", b"tock"), None);
        assert_eq!((first_fit(b"", b"tick"), first_fit(b"tick", b"")), (None, None));
    }

    #[test]
    fn dockers_replacement() {
        assert_eq!(&*docker_view(b"a\xffb"), "a\u{fffd}b".as_bytes());
        assert_eq!(&*docker_view(b"\xe2\x82"), "\u{fffd}\u{fffd}".as_bytes(), "one a byte, as Go does");
        assert_eq!(&*docker_view("ä€".as_bytes()), "ä€".as_bytes());
    }

    proptest! {
        /// Never a wrong place: an answer is the only one that a naive search finds.
        #[test]
        fn agrees_with_a_naive_search(file in proptest::collection::vec(0u8..2, 0..400), captured in proptest::collection::vec(0u8..2, 0..200), start in 0usize..400, splice: bool) {
            let captured = if splice { [&file[start.min(file.len())..], &captured[..]].concat() } else { captured };
            let fits = |p: &usize| {
                let common = (file.len() - p).min(captured.len());
                common >= MIN_ANCHOR_BYTES && file[*p..p + common] == captured[..common]
            };
            let all: Vec<usize> = (0..file.len()).filter(fits).collect();
            let expected = if captured.len() >= MIN_ANCHOR_BYTES && all.len() == 1 { Some(all[0]) } else { None };
            prop_assert_eq!(find_overlap(&file, &captured), expected);
        }
    }
}
