//! Numbers: JSON's grammar, and the form in which Go writes a `float64`.

use std::io::Write;

use super::scan::Scanner;

/// A decimal of so many digits is the shortest of its `float64`, and the only one that short.
pub(super) const EXACT_DIGITS: usize = 15;

/// Reads a number; whether it is written as Go would write it.
pub(super) fn scan(scanner: &mut Scanner<'_>) -> Option<bool> {
    scanner.take(b'-');
    let whole = scanner.at;
    if !scanner.take(b'0') {
        digits(scanner)?;
    }
    let mut count = scanner.at - whole;
    let mut canonical = true;
    if scanner.take(b'.') {
        let fraction = scanner.at;
        digits(scanner)?;
        let fraction = &scanner.text[fraction..scanner.at];
        count += fraction.len();
        // Below a millionth Go writes an exponent.
        let small = scanner.text[whole] == b'0' && fraction.iter().take_while(|digit| **digit == b'0').count() > 5;
        canonical = fraction.last() != Some(&b'0') && !small;
    }
    if scanner.take(b'e') || scanner.take(b'E') {
        let _sign = scanner.take(b'+') || scanner.take(b'-');
        digits(scanner)?;
        canonical = false;
    }
    Some(canonical && count <= EXACT_DIGITS)
}

/// One digit or more.
fn digits(scanner: &mut Scanner<'_>) -> Option<()> {
    let from = scanner.at;
    while scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        scanner.at += 1;
    }
    (scanner.at > from).then_some(())
}

/// Appends the number that `text` stands for as Go writes it; `None` where no `float64` is that large.
pub(super) fn render(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if !number.is_finite() {
        return None;
    }
    let start = out.len();
    let written = if number != 0.0 && number.abs() < 1e-6 {
        write!(out, "{number:e}")
    } else if number.abs() < 1e21 {
        write!(out, "{number}")
    } else {
        let written = write!(out, "{number:e}");
        // Go shows the sign of an exponent.
        if let Some(at) = out[start..].iter().position(|byte| *byte == b'e') {
            out.insert(start + at + 1, b'+');
        }
        written
    };
    written.expect("writing to memory does not fail");
    round_to_even(number, &mut out[start..]);
    Some(())
}

/// Where the number lies in the middle between two shortest forms, Rust takes the larger one, and Go that with an even
/// last digit. Only a number of so many digits has two.
fn round_to_even(number: f64, written: &mut [u8]) {
    let mantissa = written.iter().position(|byte| *byte == b'e').unwrap_or(written.len());
    let zeros = written[..mantissa].iter().rev().take_while(|byte| **byte == b'0').count();
    let significant = || (0..mantissa - zeros).filter(|at| written[*at].is_ascii_digit());
    let leading = significant().take_while(|at| written[*at] == b'0').count();
    let count = significant().count() - leading;
    if count < EXACT_DIGITS {
        return;
    }
    // Of an exact tie, this rounds to even.
    let rounded = format!("{number:.*e}", count - 1);
    if rounded.parse() != Ok(number) {
        return;
    }
    let digits = rounded.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit);
    let places = written[..mantissa - zeros].iter_mut().filter(|byte| byte.is_ascii_digit()).skip(leading);
    places.zip(digits).for_each(|(place, digit)| *place = digit);
}

#[cfg(test)]
mod tests {
    /// As Go 1.26 writes them.
    #[test]
    fn of_two_shortest_forms_the_even_one() {
        for (number, expected) in [
            ("896051850639908.2147", "896051850639908.2"),
            ("896051850639908.75", "896051850639908.8"),
            ("-896051850639909.25", "-896051850639909.2"),
            ("1125899906842624.25", "1125899906842624.2"),
            ("1125899906842624.5", "1125899906842624.5"),
            ("12345678901234567890", "12345678901234567000"),
            ("0.1234567890123456789", "0.12345678901234568"),
            ("1.234567890123456789e-9", "1.2345678901234568e-9"),
            ("1.234567890123456789e30", "1.2345678901234568e+30"),
            ("9007199254740993.0", "9007199254740992"),
        ] {
            let mut out = Vec::new();
            super::render(number.as_bytes(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
