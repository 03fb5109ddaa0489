//! Times as Go's `time.RFC3339Nano` prints them in UTC, which is what `talos-time` is.
//!
//! ```text
//! 2026-01-02T03:04:05.123456789Z     trailing zeros of the fraction trimmed
//! 2026-01-02T03:04:05Z               no fraction when it is zero
//! -0044-03-14T12:00:00Z              before year 0: a sign and at least four digits
//! 10000-01-01T00:00:00Z              after year 9999: as many digits as it takes
//! ```
//!
//! The part down to the second is kept from one call to the next: records of one second, which is nearly all
//! neighbours, pay for the fraction only.

use std::ops::Range;

use super::simd::Sink;

const NANOS: u32 = 1_000_000_000;

/// Writes times; remembers the last second that it wrote.
#[derive(Clone, Debug)]
pub struct TimeWriter {
    /// The second in nanoseconds, its end excluded; empty for one that an `i64` can't hold.
    span: Range<i64>,
    /// `2026-01-02T03:04:05`, `len` bytes of it, then room for the fraction. A year of an `i64` of seconds has at
    /// most twelve digits and a sign: 28 + 11 bytes in all.
    text: [u8; 40],
    len: usize,
}

impl Default for TimeWriter {
    fn default() -> Self {
        let mut writer = Self { span: 0..0, text: [0; 40], len: 0 };
        writer.remember(0);
        writer
    }
}

impl TimeWriter {
    /// Appends a time in nanoseconds since the epoch.
    #[inline(always)]
    pub fn write(&mut self, time_ns: i64, out: &mut Sink<'_>) {
        if self.span.contains(&time_ns) {
            return self.write_text((time_ns - self.span.start) as u32, out);
        }
        let nanos = i64::from(NANOS);
        self.write_parts(time_ns.div_euclid(nanos), time_ns.rem_euclid(nanos) as u32, out);
    }

    /// Appends a time in seconds since the epoch, and the nanoseconds after that second. Of `nanos`, only what
    /// is less than a second counts.
    #[cold]
    pub fn write_parts(&mut self, second: i64, nanos: u32, out: &mut Sink<'_>) {
        self.remember(second);
        self.write_text(nanos % NANOS, out);
    }

    #[inline(always)]
    fn write_text(&self, nanos: u32, out: &mut Sink<'_>) {
        out.put_first(&self.text, self.len);
        if nanos != 0 {
            let (text, len) = fraction(nanos);
            out.put_first(&text.to_le_bytes(), len);
        }
        out.put_first(b"Z", 1);
    }

    #[cold]
    fn remember(&mut self, second: i64) {
        let (year, month, day) = civil(second.div_euclid(86_400));
        let of_day = second.rem_euclid(86_400) as u32;
        let mut text = Text { bytes: &mut self.text, len: 0 };
        if year < 0 {
            text.push(b'-');
        }
        text.digits(year.unsigned_abs(), 4);
        for (separator, number) in
            [(b'-', month), (b'-', day), (b'T', of_day / 3600), (b':', of_day / 60 % 60), (b':', of_day % 60)]
        {
            text.push(separator);
            text.digits(u64::from(number), 2);
        }
        self.len = text.len;
        let nanos = i64::from(NANOS);
        let begin = second.checked_mul(nanos);
        self.span = begin.and_then(|begin| Some(begin..begin.checked_add(nanos)?)).unwrap_or(0..0);
    }
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar, with a year 0.
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`: eras of 400 years that
/// begin on 1 March, so that the leap day is the last of its year.
fn civil(day: i64) -> (i64, u32, u32) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097) as u32);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + i64::from(year_of_era) + i64::from(month <= 2);
    (year, month, day)
}

/// `.123456789` without the zeros at the end, as a little-endian number and its length; `nanos` is not 0.
/// It never exists as single bytes: those would have to be stored before they could be copied as one.
#[inline(always)]
fn fraction(nanos: u32) -> (u128, usize) {
    let (first, last) = (eight_digits(nanos / 10), nanos % 10);
    let count = if last == 0 { 8 - first.leading_zeros() as usize / 8 } else { 9 };
    let digits = u128::from(first | 0x3030_3030_3030_3030) | u128::from(b'0' + last as u8) << 64;
    (digits << 8 | u128::from(b'.'), count + 1)
}

/// The digits of a number below 100,000,000, the first in the lowest byte.
///
/// The halves, then their halves, then the digits, each in lanes of one number. `x * 10486 >> 20` is `x / 100` below
/// 10,000, and `x * 103 >> 10` is `x / 10` below 100.
#[inline(always)]
fn eight_digits(number: u32) -> u64 {
    let fours = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = (fours * 10_486) >> 20 & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = (twos * 103) >> 10 & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// A short text that is put together on the stack.
struct Text<'a> {
    bytes: &'a mut [u8; 40],
    len: usize,
}

impl Text<'_> {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Decimal digits, at least `width` of them.
    fn digits(&mut self, number: u64, width: u32) {
        let count = number.checked_ilog10().map_or(1, |log| log + 1).max(width);
        for place in (0..count).rev() {
            self.push(b'0' + (number / 10u64.pow(place) % 10) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(second: i64, nanos: u32) -> String {
        let mut out = Vec::new();
        TimeWriter::default().write_parts(second, nanos, &mut Sink::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_go_prints_them() {
        for (second, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1_767_323_045, 123_456_789, "2026-01-02T03:04:05.123456789Z"),
            (1_767_323_045, 500_000_000, "2026-01-02T03:04:05.5Z"),
            (1_767_323_045, 1, "2026-01-02T03:04:05.000000001Z"),
            (1_767_323_045, 120_000, "2026-01-02T03:04:05.00012Z"),
            (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
            // From here on recorded with Go 1.26: time.Unix(second, nanos).UTC().Format(time.RFC3339Nano).
            (253_402_300_799, 0, "9999-12-31T23:59:59Z"),
            (253_402_300_800, 0, "10000-01-01T00:00:00Z"),
            (1_635_266_764_792, 702_880_859, "53789-07-16T15:59:52.702880859Z"),
            (-62_167_219_200, 0, "0000-01-01T00:00:00Z"),
            (-62_167_219_201, 0, "-0001-12-31T23:59:59Z"),
            (-63_549_403_200, 0, "-0044-03-14T12:00:00Z"),
        ] {
            assert_eq!(written(second, nanos), expected);
        }
    }

    #[test]
    fn no_second_is_too_far_away() {
        assert!(written(i64::MAX, 999_999_999).starts_with("292277026596-12-04T"));
        assert!(written(i64::MIN, 0).starts_with("-292277022657-01-27T"));
    }

    #[test]
    fn the_remembered_second_is_the_right_one() {
        let mut writer = TimeWriter::default();
        let mut out = Vec::new();
        for time in [5, 1_000_000_000, 999_999_999, -1, 0, 1_500_000_000, i64::MIN, i64::MAX] {
            writer.write(time, &mut Sink::new(&mut out));
            out.push(b' ');
        }
        let expected = "1970-01-01T00:00:00.000000005Z 1970-01-01T00:00:01Z 1970-01-01T00:00:00.999999999Z \
                        1969-12-31T23:59:59.999999999Z 1970-01-01T00:00:00Z 1970-01-01T00:00:01.5Z \
                        1677-09-21T00:12:43.145224192Z 2262-04-11T23:47:16.854775807Z ";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(second in -62_167_219_200i64..253_402_207_200, nanos in 0u32..NANOS) {
            // jiff's Display is RFC 3339 with the shortest exact fraction.
            let nanos = nanos / 10u32.pow(nanos % 10) * 10u32.pow(nanos % 10);
            let oracle = jiff::Timestamp::from_second(second).unwrap()
                + jiff::SignedDuration::from_nanos(i64::from(nanos));
            prop_assert_eq!(written(second, nanos), oracle.to_string());
        }

        #[test]
        fn agrees_with_jiff_on_nanoseconds(time in any::<i64>()) {
            let mut out = Vec::new();
            TimeWriter::default().write(time, &mut Sink::new(&mut out));
            let oracle = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap().to_string();
            prop_assert_eq!(String::from_utf8(out).unwrap(), oracle);
        }
    }
}
