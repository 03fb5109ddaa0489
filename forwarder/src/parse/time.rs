//! Times in lines: RFC 3339 as Go's `time.Parse(time.RFC3339Nano, …)` accepts it, and seconds since the epoch.
//!
//! Go is laxer than RFC 3339 in three ways, all of them kept: an hour may have one digit, a comma may stand for the
//! point, and an offset may be up to 24 hours and 60 minutes.

use std::io::Write;

/// A time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Since the epoch.
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

/// 0001-01-01T00:00:00Z: Go's zero time, which stands for none.
const ZERO: Time = Time { seconds: -62_135_596_800, nanos: 0 };

/// Beyond the year 3000 a number is taken for milliseconds.
const LAST_SECOND: f64 = 32_503_680_000.0;

/// What is more Go converts to another integer on each processor.
const MAX_SECONDS: f64 = 9.2e18;

const NANOS: i64 = 1_000_000_000;

/// Reads times that are mostly written as Go writes them in UTC, and mostly of the same second as the one before.
#[derive(Default)]
pub(crate) struct TimeReader {
    /// `2026-01-02T03:04:05`, and its second.
    last: ([u8; 19], i64),
}

impl TimeReader {
    /// The time, and whether `text` is how Go writes it in UTC.
    pub(super) fn read(&mut self, text: &[u8]) -> Option<(Time, bool)> {
        if let Some((second, fraction)) = text.split_first_chunk::<19>()
            && *second == self.last.0
            && let Some(nanos) = canonical_fraction(fraction)
        {
            return Some((Time { seconds: self.last.1, nanos }, true));
        }
        let (time, canonical) = read(text)?;
        if canonical && let Some(second) = text.first_chunk() {
            self.last = (*second, time.seconds);
        }
        Some((time, canonical))
    }

    /// As a Go program would have read it, where it isn't Go's zero time.
    pub(crate) fn rfc3339(&mut self, text: &[u8]) -> Option<Time> {
        self.read(text).map(|(time, _)| time).filter(|time| *time != ZERO)
    }
}

/// Nanoseconds of `.5Z` and the like, as Go writes them; none where it is something else.
#[inline]
fn canonical_fraction(text: &[u8]) -> Option<u32> {
    let digits = match text {
        b"Z" => return Some(0),
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) && digits.last() != Some(&b'0') => digits,
        _ => return None,
    };
    /// Of a digit that has so many more behind it.
    const PLACES: [u32; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let mut nanos = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        nanos = nanos * 10 + u32::from(digit);
    }
    Some(nanos * PLACES[9 - digits.len()])
}

impl Time {
    /// Nanoseconds since the epoch; between the years 1677 and 2262.
    pub(crate) fn ns(self) -> Option<i64> {
        self.seconds.checked_mul(NANOS)?.checked_add(i64::from(self.nanos))
    }

    /// Seconds since the epoch or, where that is after the year 3000, milliseconds. With the rounding of Go's floats.
    pub(crate) fn of_number(number: f64) -> Option<Self> {
        let number = if number.trunc() > LAST_SECOND { number / 1000.0 } else { number };
        if number.abs() > MAX_SECONDS {
            return None;
        }
        let nanos = (number.fract() * NANOS as f64) as i64;
        let seconds = number.trunc() as i64 + nanos.div_euclid(NANOS);
        let time = Self { seconds, nanos: nanos.rem_euclid(NANOS) as u32 };
        (time != ZERO).then_some(time)
    }

    /// Appends it as Go's `time.RFC3339Nano`. For the few that [`Time::ns`] has no number for: the others are
    /// written by the encoder.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let of_day = self.seconds.rem_euclid(86_400);
        let (sign, year) = (if year < 0 { "-" } else { "" }, year.unsigned_abs());
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let result = write!(out, "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        result.expect("writing to memory does not fail");
        if self.nanos != 0 {
            write!(out, ".{:09}", self.nanos).expect("writing to memory does not fail");
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        out.push(b'Z');
    }
}

/// The time, and whether it is written as Go writes a time in UTC.
fn read(text: &[u8]) -> Option<(Time, bool)> {
    let digit = |at: usize| text.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'));
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let is = |at: usize, byte: u8| (text.get(at) == Some(&byte)).then_some(());
    let below = |number: i64, limit: i64| (number < limit).then_some(number);

    let year = two(0)? * 100 + two(2)?;
    is(4, b'-')?;
    let month = two(5)?;
    is(7, b'-')?;
    let day = two(8)?;
    is(10, b'T')?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let (hour, mut at) = if digit(12).is_some() { (two(11)?, 13) } else { (digit(11)?, 12) };
    let hour = below(hour, 24)?;
    is(at, b':')?;
    let minute = below(two(at + 1)?, 60)?;
    is(at + 3, b':')?;
    let second = below(two(at + 4)?, 60)?;
    at += 6;

    let mut canonical = at == 19;
    let mut nanos = 0;
    if matches!(text.get(at), Some(b'.' | b',')) && digit(at + 1).is_some() {
        canonical &= text[at] == b'.';
        let start = at + 1;
        at = start;
        let mut place = NANOS / 10;
        while let Some(number) = digit(at) {
            nanos += number * place;
            place /= 10;
            at += 1;
        }
        canonical &= at - start <= 9 && text[at - 1] != b'0';
    }
    let offset = match text.get(at)? {
        b'Z' => {
            at += 1;
            0
        }
        sign @ (b'+' | b'-') => {
            canonical = false;
            let hours = below(two(at + 1)?, 25)?;
            is(at + 3, b':')?;
            let offset = hours * 3600 + below(two(at + 4)?, 61)? * 60;
            at += 6;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    (at == text.len()).then_some((Time { seconds, nanos: nanos as u32 }, canonical))
}

pub(super) fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day since the epoch: `civil_from_days` of the same.
pub(super) fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(time: Time) -> String {
        let mut out = Vec::new();
        time.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// What Go 1.26 makes of each: `time.Parse(time.RFC3339Nano, text)`, in UTC.
    #[test]
    fn as_go_reads_them() {
        for (text, expected) in [
            ("2021-10-19T14:53:05.815Z", "2021-10-19T14:53:05.815Z"),
            ("2021-10-19T14:52:20.5+02:00", "2021-10-19T12:52:20.5Z"),
            ("2021-10-19T04:52:20-23:59", "2021-10-20T04:51:20Z"),
            ("2021-10-19T4:52:20Z", "2021-10-19T04:52:20Z"),
            ("2021-10-19T14:52:20,25Z", "2021-10-19T14:52:20.25Z"),
            ("2021-10-19T14:52:20+24:60", "2021-10-18T13:52:20Z"),
            ("2021-10-19T14:52:20.1234567899Z", "2021-10-19T14:52:20.123456789Z"),
            ("2020-02-29T00:00:00Z", "2020-02-29T00:00:00Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00+01:00", "-0001-12-31T23:00:00Z"),
            ("9999-12-31T23:59:59.000Z", "9999-12-31T23:59:59Z"),
        ] {
            let time = TimeReader::default().rfc3339(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(written(time), expected, "{text}");
            // The second time, it remembers the second.
            let mut reader = TimeReader::default();
            for _ in 0..2 {
                assert_eq!(reader.read(text.as_bytes()), Some((time, text == expected)), "{text}");
            }
        }
        for text in [
            "",
            "2021-10-19 14:53:05Z",
            "2021-10-19T14:53:05",
            "2021-10-19T14:53:60Z",
            "2021-10-19T24:00:00Z",
            "2021-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2021-13-01T00:00:00Z",
            "2021-10-19t14:53:05z",
            "2021-10-19T14:53:05.Z",
            "2021-10-19T14:53:05Z ",
            "2021-10-19T14:53:05+25:00",
            "2021-10-19T14:53:05+01:61",
            "2021-10-19T14:53:05+0100",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(TimeReader::default().rfc3339(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        for (number, expected) in [
            (0.0, "1970-01-01T00:00:00Z"),
            (1_635_266_764.5, "2021-10-26T16:46:04.5Z"),
            (1_635_266_764_792.0, "2021-10-26T16:46:04.792000055Z"),
            (1_635_266_764_792.703, "2021-10-26T16:46:04.792702913Z"),
            (1_635_266_764_792_703.0, "53789-07-16T15:59:52.702880859Z"),
            (32_503_680_000.0, "3000-01-01T00:00:00Z"),
            (-1.5, "1969-12-31T23:59:58.5Z"),
            (-5_100_271_481_406_021.0, "-161619200-09-17T07:39:39Z"),
            (9.2e21, "291536396232-08-31T11:33:20Z"),
            (-9.2e18, "-291536392293-05-03T12:26:40Z"),
        ] {
            assert_eq!(written(Time::of_number(number).unwrap()), expected);
        }
        for number in [-62_135_596_800.0, 1e300, -1e300, f64::INFINITY] {
            assert_eq!(Time::of_number(number), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in -62_135_596_799i64..253_402_300_799, nanos in 0u32..1_000_000_000) {
            let time = Time { seconds, nanos };
            let text = written(time);
            let mut reader = TimeReader::default();
            prop_assert_eq!(reader.read(text.as_bytes()), Some((time, true)));
            let other = Time { nanos: nanos / 7 * 3, ..time };
            prop_assert_eq!(reader.read(written(other).as_bytes()), Some((other, true)));
            prop_assert_eq!(text, jiff::Timestamp::new(seconds, nanos as i32).unwrap().to_string());
        }

        #[test]
        fn what_is_remembered_changes_nothing(fraction in "[.,]?[0-9]{0,11}(Z|z|[+-]00:00)?") {
            let text = format!("2026-01-02T03:04:05{fraction}");
            let mut reader = TimeReader::default();
            reader.read(b"2026-01-02T03:04:05Z");
            prop_assert_eq!(reader.read(text.as_bytes()), read(text.as_bytes()));
        }

        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..40), near in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9]{1,2}:[0-9:.,Z+-]{0,20}") {
            let _ = (read(&text), read(near.as_bytes()));
        }
    }
}
