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
    let written = if number != 0.0 && number.abs() < 1e-6 {
        write!(out, "{number:e}")
    } else if number.abs() < 1e21 {
        write!(out, "{number}")
    } else {
        let start = out.len();
        let written = write!(out, "{number:e}");
        // Go shows the sign of an exponent.
        if let Some(at) = out[start..].iter().position(|byte| *byte == b'e') {
            out.insert(start + at + 1, b'+');
        }
        written
    };
    written.expect("writing to memory does not fail");
    Some(())
}
