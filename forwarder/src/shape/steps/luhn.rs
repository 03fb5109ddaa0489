//! The check digit of card numbers (ISO/IEC 7812-1, annex B).

/// Whether the digits of `text` are 13 to 19 whose last one checks the others; anything else in it is passed over.
pub(super) fn is_card(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let sum: u32 = text
        .iter()
        .rev()
        .filter(|byte| byte.is_ascii_digit())
        .enumerate()
        .map(|(index, byte)| match (u32::from(byte - b'0'), index % 2) {
            (digit, 0) => digit,
            (digit, _) if digit > 4 => 2 * digit - 9,
            (digit, _) => 2 * digit,
        })
        .sum();
    (13..=19).contains(&digits) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cards_are_told_from_others() {
        for card in ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"] {
            assert!(is_card(card.as_bytes()), "{card}");
        }
        for other in ["4111111111111112", "0", "", "1234567890123", "41111111111111111111"] {
            assert!(!is_card(other.as_bytes()), "{other}");
        }
    }
}
