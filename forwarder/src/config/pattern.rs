//! Regular expressions, and lines that one describes.
//!
//! A pattern, as `(?i)^error`: matched against bytes, in linear time.

use super::resolve::Check;
use super::value::{Located, Scalar};
pub use crate::parse::expression::Pattern;
use crate::parse::pattern::TimeFormat;

impl Scalar for Pattern {
    fn accepted() -> String {
        "a regular expression, without back references and looking around".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::new(text)
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
    /// What `parse: regex` or `format: regex` needs. `given` is where it stands, the others are beside it.
    pub(super) fn described<T>(
        &mut self,
        given: &Located<T>,
        is_regex: bool,
        pattern: Option<&Located<Pattern>>,
        time: Option<&Located<TimeText>>,
    ) -> Option<LinesConfig> {
        let (beside, word) = given.key.rsplit_once('.').unwrap_or(("", &given.key));
        if !is_regex {
            if let Some(pattern) = pattern {
                self.add(pattern, "nothing is taken for it", format!("with `{word}: regex`"));
            }
            if let Some(time) = time {
                self.add(time, "only the group `time` of a `pattern` is read so", format!("with `{word}: regex`"));
            }
            return None;
        }
        let Some(pattern) = pattern else {
            if !self.reported(&given.place, &super::document::join(beside, "pattern")) {
                self.add(given, "has no `pattern` beside it", Pattern::accepted());
            }
            return None;
        };
        let regex = pattern.value.regex();
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
        assert!(!Pattern::parse(r"(?-u)\xff^\s+").unwrap().is_match(b"\xff\xff"));
    }
}
