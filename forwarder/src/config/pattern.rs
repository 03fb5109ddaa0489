//! Regular expressions, and lines that one describes.
//!
//! A pattern, as `(?i)^error`: matched against bytes, in linear time.

use regex::bytes::Regex;

use super::resolve::Check;
use super::value::{Located, Scalar};
use crate::parse::pattern::TimeFormat;

/// A pattern that compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn compiled(&self) -> Regex {
        Regex::new(&self.0).expect("it was compiled when it was read")
    }
}

impl Scalar for Pattern {
    fn accepted() -> String {
        "a regular expression, without back references and looking around".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        match Regex::new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(regex::Error::CompiledTooBig(_)) => Err(format!("`{text}` is too large when compiled")),
            Err(error) => {
                // The library's text shows the pattern on lines of its own; the last one says what is wrong.
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default();
                Err(format!("`{text}` does not compile: {}", what.trim_start_matches("error: ")))
            }
        }
    }
}

/// How a time is written, as strptime(3) takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeText(TimeFormat);

impl Scalar for TimeText {
    fn accepted() -> String {
        "a format of strptime(3), as `%Y-%m-%d %H:%M:%S%.f`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        TimeFormat::strptime(text).map(Self).map_err(|error| format!("`{text}`: {error}"))
    }
}

/// Lines with named groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesConfig {
    /// Has a named group at least.
    pub pattern: Pattern,
    pub time: TimeFormat,
}

impl Check<'_> {
    /// What `parse: regex` needs. `given` is where it stands.
    pub(super) fn described<T>(
        &mut self,
        given: &Located<T>,
        is_regex: bool,
        pattern: Option<&Located<Pattern>>,
        time: Option<&Located<TimeText>>,
    ) -> Option<LinesConfig> {
        if !is_regex {
            if let Some(pattern) = pattern {
                self.add(pattern, "nothing is taken for it", "with `parse: regex`");
            }
            if let Some(time) = time {
                self.add(time, "only the group `time` of a `pattern` is read so", "with `parse: regex`");
            }
            return None;
        }
        let Some(pattern) = pattern else {
            if !self.reported(&given.place, &format!("{}.pattern", given.key.trim_end_matches(".parse"))) {
                self.add(given, "has no `pattern` beside it", Pattern::accepted());
            }
            return None;
        };
        let regex = pattern.value.compiled();
        if regex.capture_names().flatten().next().is_none() {
            self.add(pattern, "has no named group", "one with groups as `(?<msg>.*)`");
        }
        if let Some(time) = time.filter(|_| !regex.capture_names().flatten().any(|name| name == "time")) {
            self.add(time, "the pattern has no group `time`", "with a group `(?<time>...)` in `pattern`");
        }
        let time = time.map_or(TimeFormat::Auto, |time| time.value.0.clone());
        Some(LinesConfig { pattern: pattern.value.clone(), time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_on_one_line() {
        for (text, what) in [("", "empty"), ("a(b", "unclosed group"), (r"(a)\1", "backreferences"), ("(?=a)", "look")]
        {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(what) && !error.contains('\n'), "{error}");
        }
        assert!(Pattern::parse(r"\w{1000}{1000}").unwrap_err().contains("too large"));
        assert!(!Pattern::parse(r"(?-u)\xff^\s+").unwrap().compiled().is_match(b"\xff\xff"));
    }
}
