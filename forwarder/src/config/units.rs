//! Sizes and durations as people write them: `16MiB`, `250ms`.
//!
//! Parsing and showing are inverse: what [`Bytes`] and [`Period`] display parses back to the same value.

use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A length of time, in whole microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

const BYTE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const TIME_UNITS: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

impl Bytes {
    pub const ACCEPTED: &str = "a size in bytes, as 65536, or with a unit: 64KiB, 16MiB, 1GiB (steps of 1024), 64kB, 16MB, 1GB (steps of 1000)";

    /// # Errors
    /// A sentence without the accepted forms, as "`12 parsecs` has the unknown unit `parsecs`".
    pub fn parse(text: &str) -> Result<Bytes, String> {
        let (number, unit) = split(text)?;
        let factor = match unit {
            "" => 1,
            unit => factor(text, unit, &BYTE_UNITS)?,
        };
        number.checked_mul(factor).map(Bytes).ok_or_else(|| format!("`{text}` is larger than 2^64 bytes"))
    }
}

impl Period {
    pub const ACCEPTED: &str = "a duration with its unit: 500us, 250ms, 10s, 5m, 1h";

    /// # Errors
    /// As [`Bytes::parse`]; a number without a unit is refused, because it would be guessed at.
    pub fn parse(text: &str) -> Result<Period, String> {
        let (number, unit) = split(text)?;
        if unit.is_empty() {
            return Err(format!("`{text}` has no unit"));
        }
        let factor = factor(text, unit, &TIME_UNITS)?;
        number
            .checked_mul(factor)
            .map(|us| Period(Duration::from_micros(us)))
            .ok_or_else(|| format!("`{text}` is too long"))
    }
}

/// Digits, and the unit behind them (one space between is allowed).
fn split(text: &str) -> Result<(u64, &str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(if text.starts_with('-') {
            format!("`{text}` is negative")
        } else {
            format!("`{text}` does not start with a number")
        });
    }
    let number = number.parse().map_err(|_| format!("`{text}` is too large"))?;
    Ok((number, unit.strip_prefix(' ').unwrap_or(unit)))
}

fn factor(text: &str, unit: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Ok(*factor),
        None if unit.starts_with(['.', ',']) => Err(format!("`{text}` is not a whole number of units")),
        None => Err(format!("`{text}` has the unknown unit `{unit}`")),
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BYTE_UNITS[..5].iter().rev().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) if *factor > 1 => write!(f, "{}{unit}", self.0 / factor),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole microseconds by construction; longer than 2^64 of them can't be parsed.
        let us = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        match TIME_UNITS.iter().rev().find(|(_, factor)| us >= *factor && us.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", us / factor),
            None => f.write_str("0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("1B", 1),
            ("64KiB", 65536),
            ("64 KiB", 65536),
            ("64kB", 64_000),
            ("1GiB", 1 << 30),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for (text, why) in [
            ("", "does not start with a number"),
            ("MiB", "does not start with a number"),
            ("-1MiB", "negative"),
            ("1.5GiB", "not a whole number"),
            ("12 parsecs", "unknown unit `parsecs`"),
            ("1M", "unknown unit `M`"),
            ("99999999999999999999", "too large"),
            ("99999999TiB", "larger than 2^64"),
        ] {
            let error = Bytes::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(Period::parse("250ms"), Ok(Period(Duration::from_millis(250))));
        assert_eq!(Period::parse("0s"), Ok(Period(Duration::ZERO)));
        assert_eq!(Period::parse("1h"), Ok(Period(Duration::from_secs(3600))));
        assert!(Period::parse("10").unwrap_err().contains("no unit"));
        assert!(Period::parse("10 sec").unwrap_err().contains("unknown unit `sec`"));
    }

    proptest! {
        #[test]
        fn shown_values_parse_back(bytes: u64, us: u64) {
            prop_assert_eq!(Bytes::parse(&Bytes(bytes).to_string()), Ok(Bytes(bytes)));
            let period = Period(Duration::from_micros(us));
            prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = Bytes::parse(&text);
            let _ = Period::parse(&text);
        }
    }
}
