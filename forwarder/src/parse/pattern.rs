//! Lines in a format of somebody's own, described by a regular expression with named groups.
//!
//! Each group that takes part in the match is a field of its name, but for three: `msg` is the body (without it, the
//! whole line is), `level` the level, and `time` the time, both in the ways of [`level_of`] and [`TimeFormat`]. What holds
//! no level or time stays a field.
//!
//! A line that does not match is text, with the field `unparsed`. Matching takes linear time.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use regex::bytes::{CaptureLocations, Regex};

use super::fields::Fields;
use super::line::Parsed;
use super::stamp;
use super::time::Time;
use crate::record::{Level, Span};

/// A format: made once from the configuration, for as long as the program runs.
#[derive(Debug)]
pub struct LinePattern {
    regex: Regex,
    groups: Vec<(usize, Role)>,
    time: TimeFormat,
}

#[derive(Debug)]
enum Role {
    Time,
    Level,
    Body,
    Field(String),
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339 and ISO 8601, also with a space for the `T` and without a zone; or a number of seconds or, after the year
    /// 3000, milliseconds.
    Auto,
    /// As strptime(3) takes it. Without a year, it is the one that puts the time before now, or at most a month after.
    Strptime(String),
}

/// Memory for a match, kept from one line to the next.
#[derive(Default)]
pub(super) struct PatternParser {
    fields: Fields,
    /// Of the pattern at this address: those of another have other groups.
    locations: Option<(usize, CaptureLocations)>,
}

impl LinePattern {
    pub fn new(regex: Regex, time: TimeFormat) -> Self {
        let named = regex.capture_names().enumerate().filter_map(|(index, name)| Some((index, name?)));
        let role = |name: &str| match name {
            "time" => Role::Time,
            "level" => Role::Level,
            "msg" => Role::Body,
            name => Role::Field(name.to_owned()),
        };
        let groups = named.map(|(index, name)| (index, role(name))).collect();
        Self { regex, groups, time }
    }
}

impl PartialEq for LinePattern {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for LinePattern {}

impl PatternParser {
    /// What a line says that came at `now_ns`.
    pub(super) fn parse<'p>(
        &'p mut self,
        pattern: &LinePattern,
        zone: &TimeZone,
        line: &'p [u8],
        now_ns: i64,
    ) -> Parsed<'p> {
        let Self { fields, locations } = self;
        fields.clear(line.len());
        let address = std::ptr::from_ref(pattern) as usize;
        if locations.as_ref().is_none_or(|(of, _)| *of != address) {
            *locations = Some((address, pattern.regex.capture_locations()));
        }
        let (mut time_ns, mut level, mut body) = (None, Level::Info, Span::new(0, line.len()));
        let locations = locations.as_mut().map(|(_, locations)| locations);
        let matches = |locations: &mut CaptureLocations| pattern.regex.captures_read(locations, line).is_some();
        let Some(locations) = locations.and_then(|locations| matches(locations).then_some(&*locations)) else {
            fields.flag("unparsed");
            return Parsed { time_ns, level, is_object: false, parts: fields.parts(line, body) };
        };
        for (index, role) in &pattern.groups {
            let Some((start, end)) = locations.get(*index) else { continue };
            let (span, text) = (Span::new(start, end - start), &line[start..end]);
            match role {
                Role::Body => body = span,
                Role::Field(name) => fields.of_line(name, span),
                Role::Level => match level_of(text) {
                    Some(meant) => level = meant,
                    None => fields.of_line("level", span),
                },
                Role::Time => match pattern.time.read(text, zone, now_ns) {
                    Some(time) => time_ns = Some(time),
                    None => fields.of_line("time", span),
                },
            }
        }
        Parsed { time_ns, level, is_object: false, parts: fields.parts(line, body) }
    }
}

impl TimeFormat {
    /// Whether strptime knows all that `format` has, and a time can come of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn strptime(format: &str) -> Result<Self, String> {
        // What it writes, it reads.
        let some =
            DateTime::constant(2026, 11, 22, 13, 4, 5, 0).to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        let written = jiff::fmt::strtime::format(format, &some).map_err(|error| error.to_string())?;
        let time = Self::Strptime(format.to_owned());
        let now_ns = some.timestamp().as_second() * 1_000_000_000;
        match time.read(written.as_bytes(), &TimeZone::UTC, now_ns) {
            Some(_) => Ok(time),
            None => Err("a time written so can't be read again: it has no date, or no time of day".into()),
        }
    }

    /// Nanoseconds since the epoch.
    fn read(&self, text: &[u8], zone: &TimeZone, now_ns: i64) -> Option<i64> {
        match self {
            Self::Auto => any_iso(text, zone).or_else(|| seconds(text)?.ns()),
            Self::Strptime(format) => {
                let mut time = BrokenDownTime::parse(format, text).ok()?;
                if time.year().is_none()
                    && let (Some(month), Some(day)) = (time.month(), time.day())
                {
                    let year = stamp::year_of(month.into(), day.into(), now_ns);
                    time.set_year(Some(year.try_into().ok()?)).ok()?;
                }
                let time = match time.to_timestamp() {
                    Ok(time) => time,
                    Err(_) => zone.to_timestamp(time.to_datetime().ok()?).ok()?,
                };
                i64::try_from(time.as_nanosecond()).ok()
            }
        }
    }
}

/// ISO 8601, with `T` or a space, and a comma or a point.
fn any_iso(text: &[u8], zone: &TimeZone) -> Option<i64> {
    /// A date, a time, nine digits of a second, a zone; and some more.
    const LONGEST: usize = 48;
    let mut copy = [0; LONGEST];
    let copy = copy.get_mut(..text.len())?;
    copy.copy_from_slice(text);
    if let Some(between @ (b' ' | b't')) = copy.get_mut(10) {
        *between = b'T';
    }
    if let Some(comma @ b',') = copy.get_mut(19) {
        *comma = b'.';
    }
    // `2026-01-02 03:04:05 +0100`, `… UTC`.
    let end = copy.len();
    let mut len = end;
    if let Some(space) = copy.iter().rposition(|byte| *byte == b' ') {
        let name = &copy[space + 1..];
        if matches!(name, b"UTC" | b"GMT" | b"Z") {
            copy[space] = b'Z';
            len = space + 1;
        } else if matches!(name.first(), Some(b'+' | b'-')) {
            copy.copy_within(space + 1.., space);
            len = end - 1;
        }
    }
    let text = &copy[..len];
    let (time, used) = stamp::iso(text)?;
    time.filter(|_| used == text.len())?.ns(zone)
}

fn seconds(text: &[u8]) -> Option<Time> {
    let is_number =
        text.first().is_some_and(u8::is_ascii_digit) && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let text = std::str::from_utf8(text).ok().filter(|_| is_number)?;
    let Ok(whole) = text.parse::<i64>() else { return Time::of_number(text.parse().ok()?) };
    // As it is written: a float has not all digits of nanoseconds.
    let (unit, per_second) = match text.len() {
        ..=11 => (1, 1),
        12..=14 => (1_000_000, 1_000),
        15..=17 => (1_000, 1_000_000),
        _ => (1, 1_000_000_000),
    };
    let (seconds, rest) = (whole / per_second, whole % per_second);
    Some(Time { seconds, nanos: if per_second == 1 { 0 } else { (rest * unit) as u32 } })
}

/// The level that a word means, by the names of syslog and of loggers' levels, in small or large letters; or a digit, as in
/// journald's `PRIORITY`.
pub fn level_of(name: &[u8]) -> Option<Level> {
    let mut small = [0; 11];
    let small = small.get_mut(..name.len())?;
    small.copy_from_slice(name);
    small.make_ascii_lowercase();
    Some(match &*small {
        [digit @ b'0'..=b'7'] => Level::from_priority(u32::from(digit - b'0')),
        b"emerg" | b"emergency" => Level::Emerg,
        b"alert" => Level::Alert,
        b"crit" | b"critical" | b"fatal" | b"panic" | b"dpanic" | b"c" | b"f" => Level::Crit,
        b"err" | b"error" | b"erro" | b"severe" | b"e" => Level::Err,
        b"warn" | b"warning" | b"w" => Level::Warning,
        b"notice" | b"n" => Level::Notice,
        b"info" | b"information" | b"inf" | b"i" => Level::Info,
        b"debug" | b"debg" | b"dbg" | b"trace" | b"trce" | b"fine" | b"finer" | b"finest" | b"d" | b"t" => Level::Debug,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
