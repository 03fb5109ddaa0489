//! All variants agree with each other, with Go, and with two JSON parsers.

use proptest::prelude::*;

use super::*;

const STYLES: [EscapeStyle; 2] = [EscapeStyle::Html, EscapeStyle::Plain];

fn escaped(variant: Variant, input: &[u8], style: EscapeStyle) -> Vec<u8> {
    // Nothing readable behind the input, for runs under a sanitizer.
    let input: Box<[u8]> = input.into();
    // A prefix, so that a kernel that writes from the start of the buffer is found out.
    let mut out = b"<".to_vec();
    escape_into_with(variant, &mut out, &input, style);
    assert_eq!(out.remove(0), b'<');
    out
}

/// The text that the string stands for: each invalid byte is one U+FFFD.
fn value_of(input: &[u8]) -> String {
    input
        .utf8_chunks()
        .fold(String::new(), |text, chunk| text + chunk.valid() + &"\u{fffd}".repeat(chunk.invalid().len()))
}

fn check(input: &[u8]) {
    for style in STYLES {
        let expected = escaped(Variant::Scalar, input, style);
        for variant in Variant::available() {
            let got = escaped(variant, input, style);
            assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{variant:?}");
        }
        let mut json = [b"\"".as_slice(), &expected, b"\""].concat();
        let value: String = serde_json::from_slice(&json).unwrap();
        assert_eq!(value, value_of(input));
        let value: String = simd_json::from_slice(&mut json).unwrap();
        assert_eq!(value, value_of(input));
    }
}

/// Pieces that meet every rule, so that random inputs are dense in what matters.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"a plain run that is longer than a vector of sixteen",
        b"x",
        b"\"",
        b"\\",
        b"<>&",
        b"\n",
        b"\x00\x1f\x7f",
        "é".as_bytes(),
        "Слово и ещё слово".as_bytes(),
        "漢字".as_bytes(),
        "🦀".as_bytes(),
        "—…".as_bytes(),
        "\u{2028}".as_bytes(),
        "\u{2029}\u{2028}".as_bytes(),
        b"\xe2\x80",
        b"\xe2",
        b"\xf0\x9f\xa6",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xff",
        b"\x80",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

const WORDS: &[&str] = &["слово ", "漢字かな", "ไทย", "한국어", "é", "“—” ", "🦀", "plain words ", "\"\n", "\u{2028}"];

proptest! {
    #[test]
    fn every_variant_agrees_on_random_bytes(input in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&input);
    }

    #[test]
    fn every_variant_agrees_on_dense_inputs(input in pieces()) {
        check(&input);
    }

    /// Long enough that a validator is asked first, valid for a while, and then as it comes.
    #[test]
    fn every_variant_agrees_on_long_text(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..120),
        rest in pieces(),
        end in proptest::collection::vec(proptest::sample::select(WORDS), 0..120),
    ) {
        check(&[words.concat().as_bytes(), &rest, end.concat().as_bytes()].concat());
    }

    #[test]
    fn a_fitting_prefix_is_the_longest(input in pieces(), room in 0usize..400) {
        for style in STYLES {
            let end = fitting_prefix(&input, style, room);
            prop_assert!(escaped(Variant::Scalar, &input[..end], style).len() <= room);
            // It ends between two characters: the two parts make what the whole makes.
            let parts = [&input[..end], &input[end..]].map(|part| escaped(Variant::Scalar, part, style)).concat();
            prop_assert_eq!(&parts, &escaped(Variant::Scalar, &input, style));
            // And one more character would be too much.
            let more = (end + 1..=input.len()).find(|more| fitting_prefix(&input, style, usize::MAX) >= *more
                && fitting_prefix(&input[..*more], style, room) != end);
            prop_assert!(more.is_none(), "{:?} would fit too", more);
        }
    }
}

#[test]
fn agrees_with_go() {
    let vectors = include_str!("go_vectors.txt").split('\n').collect::<Vec<_>>();
    let (cases, rest) = vectors.as_chunks::<3>();
    assert_eq!((cases.len(), rest), (16, [""].as_slice()));
    for [input, html, plain] in cases {
        let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        let input: Vec<u8> = input.as_bytes().chunks(2).map(byte).collect();
        for variant in Variant::available() {
            for (style, expected) in [(EscapeStyle::Html, html), (EscapeStyle::Plain, plain)] {
                let got = String::from_utf8(escaped(variant, &input, style)).unwrap();
                assert_eq!(&got, expected, "{variant:?} {style:?} {input:02x?}");
            }
        }
    }
}

#[test]
fn every_position_in_and_around_vectors() {
    for len in 0..=200 {
        for special in [b"\"".as_slice(), b"\x01", b"\x80", "é".as_bytes(), "\u{2028}".as_bytes(), b"\xe2\x80"] {
            for at in 0..len {
                let mut input = vec![b'.'; len];
                input.splice(at..at, special.iter().copied());
                let expected = escaped(Variant::Scalar, &input, EscapeStyle::Html);
                for variant in Variant::available() {
                    assert_eq!(escaped(variant, &input, EscapeStyle::Html), expected, "{variant:?} {at} of {len}");
                }
            }
        }
    }
}

/// Right and wrong sequences across the end of a block, in short input and after long valid text.
#[test]
fn every_sequence_around_the_end_of_a_vector() {
    let agree = |input: &[u8]| {
        let expected = escaped(Variant::Scalar, input, EscapeStyle::Html);
        for variant in Variant::available() {
            assert_eq!(escaped(variant, input, EscapeStyle::Html), expected, "{variant:?} {input:02x?}");
        }
    };
    let long = "слово ".repeat(60).into_bytes();
    for lead in 0x80..=0xff {
        for second in [b'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc3] {
            for rest in [b"".as_slice(), b"\x80", b"\xbf\x80", b"\xa8x", b"\x80\x80\x80"] {
                for before in [0, 13, 14, 15, 28, 29, 30, 31, 61] {
                    let sequence = [&vec![b'.'; before][..], &[lead, second], rest].concat();
                    agree(&sequence);
                    agree(&[&sequence[..], &[b'.'; 40]].concat());
                    if before > 27 && rest.len() == 2 {
                        agree(&[&long[..], &sequence, &long].concat());
                    }
                }
            }
        }
    }
}

#[test]
fn every_alignment() {
    let text = "0123456789 \"quoted\" <é> \u{2028} 漢字 \u{1}".repeat(8);
    for start in (0..130).filter(|start| text.is_char_boundary(*start)) {
        let input = &text.as_bytes()[start..];
        let expected = escaped(Variant::Scalar, input, EscapeStyle::Html);
        for variant in Variant::available() {
            assert_eq!(escaped(variant, input, EscapeStyle::Html), expected, "{variant:?} from {start}");
        }
    }
}

/// The worst case must neither overrun the buffer nor ask for it beforehand.
#[test]
fn memory_follows_the_output() {
    for variant in Variant::available() {
        let mut out = Vec::new();
        escape_into_with(variant, &mut out, &vec![1u8; 1 << 20], EscapeStyle::Html);
        assert_eq!(out.len(), 6 << 20);
        let mut out = Vec::new();
        escape_into_with(variant, &mut out, &vec![b'a'; 1 << 20], EscapeStyle::Html);
        assert!(out.capacity() < (1 << 20) + 4096, "{variant:?} took {}", out.capacity());
    }
}

#[test]
fn the_best_variant_is_one_that_the_machine_has() {
    assert!(Variant::best().is_available());
    assert!(Variant::available().any(|variant| variant == Variant::Scalar));
    #[cfg(target_arch = "x86_64")]
    assert!(Variant::available().any(|variant| variant == Variant::Sse2));
    #[cfg(target_arch = "aarch64")]
    assert_eq!(Variant::best(), Variant::Neon);
    println!("variants here: {:?}", Variant::available().collect::<Vec<_>>());
}
