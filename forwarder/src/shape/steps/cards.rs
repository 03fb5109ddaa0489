//! Numbers of payment cards: 13 to 19 digits, some of them apart by a blank or a hyphen, whose last one checks the others
//! (ISO/IEC 7812-1, annex B). One number in ten passes the check by chance.

use std::ops::Range;

const LEAST: usize = 13;
const MOST: usize = 19;

/// The first one at `from` or behind it, and all those that it overlaps with; never a part of a longer word.
///
/// What stands beside it may be digits, too (`4111 1111 1111 1111 123`): each group of digits may be where it begins or
/// ends. Time is bounded by the text's length, times 19.
pub(super) fn next_card(text: &[u8], from: usize) -> Option<Range<usize>> {
    let begins = |at: usize| text[at].is_ascii_digit() && (at == 0 || !is_word(text[at - 1]));
    let ends = |at: usize| if begins(at) { card_end(text, at) } else { None };
    let (start, mut end) = (from..text.len()).find_map(|at| Some((at, ends(at)?)))?;
    let mut at = start + 1;
    while at < end {
        end = end.max(ends(at).unwrap_or(end));
        at += 1;
    }
    Some(start..end)
}

/// Where the longest number ends that begins at `start`.
fn card_end(text: &[u8], start: usize) -> Option<usize> {
    // The digits summed up as if the last one of them were the check digit, and as if one more followed.
    let (mut checked, mut next, mut digits, mut at) = (0u32, 0u32, 0usize, start);
    let mut end = None;
    loop {
        while let Some(digit) = text.get(at).filter(|byte| byte.is_ascii_digit()) {
            let digit = u32::from(digit - b'0');
            let doubled = if digit > 4 { 2 * digit - 9 } else { 2 * digit };
            (checked, next) = (next + digit, checked + doubled);
            (digits, at) = (digits + 1, at + 1);
            if digits > MOST {
                return end;
            }
        }
        // Nothing but zeros passes the check, and is the identifier that was not set.
        let is_card = digits >= LEAST && checked > 0 && checked.is_multiple_of(10);
        if is_card && !text.get(at).is_some_and(|byte| is_word(*byte)) {
            end = Some(at);
        }
        match text.get(at..at + 2) {
            Some([b' ' | b'-', digit]) if digit.is_ascii_digit() => at += 1,
            _ => return end,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Option<&str> {
        next_card(text.as_bytes(), 0).map(|range| &text[range])
    }

    #[test]
    fn numbers_of_cards_are_told_from_others() {
        for card in ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"] {
            assert_eq!(found(card), Some(card));
            for (before, behind) in [("12345678 ", ""), ("", " 123"), ("7-", "-2026"), ("card:", "."), ("1 ", " 1")] {
                let text = format!("{before}{card}{behind}");
                assert!(found(&text).is_some_and(|found| found.contains(card)), "{text}");
            }
            assert_eq!(found(&format!("x{card}")), None, "a part of a word");
            assert_eq!(found(&format!("{card}x")), None, "a part of a word");
        }
        for other in [
            "4111111111111112",
            "4111  1111  1111  1111",
            "0000000000000000",
            "",
            "1234567890123",
            "41111111111111111111",
        ] {
            assert_eq!(found(other), None);
        }
    }

    /// By the definition: from the right, each second digit doubled.
    fn is_right(text: &str) -> bool {
        let digits: Vec<u32> = text.chars().filter_map(|char| char.to_digit(10)).collect();
        let double = |digit: u32| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
        let by_place = |(place, digit): (usize, &u32)| if place % 2 == 0 { *digit } else { double(*digit) };
        let sum: u32 = digits.iter().rev().enumerate().map(by_place).sum();
        (LEAST..=MOST).contains(&digits.len()) && sum.is_multiple_of(10) && sum > 0
    }

    /// All of them and what they cover together with the first one, by trying everything.
    fn slow(text: &str) -> Option<&str> {
        let word = |at: usize| text.as_bytes().get(at).is_some_and(|byte| is_word(*byte));
        let all: Vec<(usize, usize)> = (0..text.len())
            .flat_map(|start| (start + 1..=text.len()).map(move |end| (start, end)))
            .filter(|(start, end)| (*start == 0 || !word(start - 1)) && !word(*end))
            .filter(|(start, end)| {
                let part = &text[*start..*end];
                let apart = part.split([' ', '-']).all(|group| !group.is_empty() && !group.contains('x'));
                apart && is_right(part)
            })
            .collect();
        let (start, mut covered) = *all.first()?;
        for (start, end) in all {
            if start < covered {
                covered = covered.max(end);
            }
        }
        Some(&text[start..covered])
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_trying_everything_finds(text in "([0-9]{1,9}[ x-]{0,2}){1,5}[0-9]{0,4}") {
            prop_assert_eq!(found(&text), slow(&text));
        }

        #[test]
        fn any_bytes(text in proptest::collection::vec(any::<u8>(), 0..60), from in 0usize..70) {
            let _ = next_card(&text, from);
        }
    }
}
