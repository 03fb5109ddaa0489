//! Times of messages of syslog, and of klog.
//!
//! `Nov 21 20:00:00` (also with a year behind the day, and parts of a second; routers whose clock is not set put a `*` or
//! a `.` before it), and ISO 8601 as RFC 5424 has it, also without a zone or without the zone's colon. Second 60 is the
//! next minute's first.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::parse::time::{civil, days, days_in};

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
/// How far ahead of now a time without a year may be before it is last year's.
const AHEAD: i64 = 31 * DAY;
const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// A date and a time of day that can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Since the epoch, as if they were UTC's.
    seconds: i64,
    nanos: i64,
    /// East of UTC, in seconds.
    offset: Option<i64>,
}

impl Stamp {
    pub(super) fn has_zone(self) -> bool {
        self.offset.is_some()
    }

    /// Nanoseconds since the epoch, where the year is not too far away.
    pub(super) fn ns(self, zone: &TimeZone) -> Option<i64> {
        let seconds = match self.offset {
            Some(offset) => self.seconds - offset,
            None => {
                let there = Offset::UTC.to_datetime(Timestamp::from_second(self.seconds).ok()?);
                zone.to_timestamp(there).ok()?.as_second()
            }
        };
        seconds.checked_mul(NANOS)?.checked_add(self.nanos)
    }
}

/// The time that a message of RFC 3164 begins with, and how long it is; no time where it is none that can be.
pub(super) fn leading(text: &[u8], now_ns: i64) -> Option<(Option<Stamp>, usize)> {
    let (stamp, len) = iso(text).or_else(|| bsd(text, now_ns))?;
    matches!(text.get(len), None | Some(b' ' | b':')).then_some((stamp, len))
}

/// `2026-01-02T03:04:05.678+01:00`; likewise.
pub(super) fn iso(text: &[u8]) -> Option<(Option<Stamp>, usize)> {
    let mut input = Input { text, at: 0 };
    let year = input.digits(4)?;
    input.byte(b'-')?;
    let month = input.digits(2)?;
    input.byte(b'-')?;
    let day = input.digits(2)?;
    input.byte(b'T')?;
    let of_day = input.time_of_day()?;
    let offset = match input.peek() {
        Some(b'Z') => {
            input.at += 1;
            Some(Some(0))
        }
        Some(sign @ (b'+' | b'-')) => {
            input.at += 1;
            let hours = input.digits(2)?;
            let _colon = input.byte(b':');
            let minutes = input.digits(2)?;
            let offset = hours * 3600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(Some(if sign == b'-' { -offset } else { offset }))
        }
        _ => Some(None),
    };
    let stamp = offset.and_then(|offset| of_day.on(year, month, day, offset));
    Some((stamp, input.at))
}

/// `Nov 21 20:00:00`.
fn bsd(text: &[u8], now_ns: i64) -> Option<(Option<Stamp>, usize)> {
    let mut input = Input { text, at: 0 };
    if matches!(input.peek(), Some(b'*' | b'.')) {
        input.at += 1;
    }
    let name = input.text.get(input.at..input.at + 3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| name == **month)? as i64 + 1;
    input.at += 3;
    input.spaces()?;
    let day = input.one_or_two()?;
    input.spaces()?;
    let mut year = None;
    let before = input.at;
    if let Some(number) = input.digits(4)
        && input.spaces().is_some()
    {
        year = Some(number);
    } else {
        input.at = before;
    }
    let of_day = input.time_of_day()?;
    let stamp = match year {
        Some(year) => of_day.on(year, month, day, None),
        None => of_day.near(month, day, now_ns),
    };
    Some((stamp, input.at))
}

/// `0102 15:04:05.678901`, and how long it is; no time where it is none that can be.
pub(super) fn klog(text: &[u8], now_ns: i64) -> Option<(Option<Stamp>, usize)> {
    let mut input = Input { text, at: 0 };
    let month = input.digits(2)?;
    let day = input.digits(2)?;
    input.byte(b' ')?;
    let of_day = input.time_of_day()?;
    Some((of_day.near(month, day, now_ns), input.at))
}

/// The year that puts a date before `now_ns`, or at most a month after.
pub(super) fn year_of(month: i64, day: i64, now_ns: i64) -> i64 {
    let latest = now_ns.div_euclid(NANOS) + AHEAD;
    let (year, ..) = civil(latest.div_euclid(DAY));
    year - i64::from(days(year, month, day) * DAY > latest)
}

#[derive(Clone, Copy)]
struct TimeOfDay {
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
}

impl TimeOfDay {
    /// In the year that puts it before now, or at most a month after.
    fn near(self, month: i64, day: i64, now_ns: i64) -> Option<Stamp> {
        let latest = now_ns.div_euclid(NANOS) + AHEAD;
        let (year, ..) = civil(latest.div_euclid(DAY));
        let in_year = |year| self.on(year, month, day, None).filter(|stamp| stamp.seconds <= latest);
        in_year(year).or_else(|| in_year(year - 1))
    }

    fn on(self, year: i64, month: i64, day: i64, offset: Option<i64>) -> Option<Stamp> {
        let Self { hour, minute, second, nanos } = self;
        let is_date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        let is_time = hour < 24 && minute < 60 && second <= 60;
        let seconds = || days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
        (is_date && is_time).then(|| Stamp { seconds: seconds(), nanos, offset })
    }
}

struct Input<'t> {
    text: &'t [u8],
    at: usize,
}

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next.then_some(())
    }

    fn spaces(&mut self) -> Option<()> {
        self.byte(b' ')?;
        while self.byte(b' ').is_some() {}
        Some(())
    }

    /// A number of so many digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.text.get(self.at..self.at + count)?;
        let number = digits
            .iter()
            .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))?;
        self.at += count;
        Some(number)
    }

    fn one_or_two(&mut self) -> Option<i64> {
        self.digits(2).or_else(|| self.digits(1))
    }

    /// `20:00:00.5`, whatever the numbers are.
    fn time_of_day(&mut self) -> Option<TimeOfDay> {
        let hour = self.one_or_two()?;
        self.byte(b':')?;
        let minute = self.digits(2)?;
        self.byte(b':')?;
        let second = self.digits(2)?;
        let mut nanos = 0;
        if matches!(self.peek(), Some(b'.' | b',')) && self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            let mut place = NANOS / 10;
            while let Some(digit) = self.digits(1) {
                nanos += digit * place;
                place /= 10;
            }
        }
        Some(TimeOfDay { hour, minute, second, nanos })
    }
}
