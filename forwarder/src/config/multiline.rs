//! `multiline`, wherever lines are taken in: raw → resolved.

use super::choices::TraceChoice;
use super::document::{Field, document};
use super::error::Problems;
use super::pattern::Pattern;
use super::raw::Ring;
use super::resolve::{Check, KIB, MIB};
use super::resolved::{GroupingConfig, MultilineConfig};
use super::units::{Bytes, Period};
use super::value::{Located, Value};
use super::yaml::{Kind, Node};

document! {
    /// Which lines belong together, one of `traces`, `start` and `continuation`, and the bounds of what is joined.
    pub struct MultilineKeys {
        /// The stack traces of a language, with what is printed before and in them: `go`, `java`, `python`, `rust`,
        /// `dotnet`, `ruby`, `javascript`, or `all` of these. Other lines stand by themselves and wait for nothing.
        traces: TraceChoice => "none",

        /// A line that this matches begins a record, and all lines up to the next such one belong to it.
        start: Pattern => "none",

        /// A line that this matches belongs to the line before.
        continuation: Pattern => "none",

        /// The most lines of a record. What follows is the next record.
        max_lines: u32 = "500",

        /// The most bytes of a record, where it has more than one line.
        max_bytes: Bytes = "64KiB",

        /// How long the next line is waited for.
        timeout: Period = "1s",
    }
}

/// The word of a language, or a mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multiline(pub MultilineKeys);

impl Value for Multiline {
    fn accepted() -> String {
        format!("{}, or {}", <TraceChoice as Value>::accepted(), MultilineKeys::accepted())
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(_) => {
                let traces = Some(Located::read(node, key, problems)?);
                Some(Self(MultilineKeys { traces, ..MultilineKeys::default() }))
            }
            Kind::Map(_) => MultilineKeys::read(node, key, problems).map(Self),
            _ => {
                problems.add(&node.place, key, format!("is {}", node.noun()), Self::accepted());
                None
            }
        }
    }

    fn overlay(&mut self, later: Self) {
        self.0.overlay(later.0);
    }

    fn fields() -> Vec<Field> {
        MultilineKeys::fields()
    }
}

impl Check<'_> {
    pub(super) fn multiline(&mut self, given: Option<&Located<Multiline>>, ring: &Ring) -> Option<MultilineConfig> {
        let given = given?;
        let raw = &given.value.0;
        let ring = ring.bytes().value.0;
        let bytes = raw.max_bytes();
        let bytes = if bytes.place == super::error::Place::Default { given.with(bytes.value) } else { bytes };
        let lines = raw.max_lines();
        self.range(&lines, 2, 100_000);
        let timeout = self.period(&raw.timeout(), "10ms", "1h");
        let max_bytes = self.bytes(&bytes, KIB, (16 * MIB).min(ring));
        let accepted = "one of `traces`, `start` and `continuation`";
        let grouping = match (&raw.traces, &raw.start, &raw.continuation) {
            (Some(traces), None, None) => GroupingConfig::Traces(traces.value),
            (None, Some(start), None) => GroupingConfig::Start(start.value.clone()),
            (None, None, Some(pattern)) => GroupingConfig::Continuation(pattern.value.clone()),
            (None, None, None) => {
                // A wrong one was reported when it was read.
                if !self.problems.0.iter().any(|problem| problem.key.starts_with(&given.key)) {
                    self.add(given, "does not say which lines belong together", accepted);
                }
                return None;
            }
            _ => {
                self.add(given, "says in several ways which lines belong together", accepted);
                return None;
            }
        };
        let max_lines = lines.value as usize;
        Some(MultilineConfig { grouping, max_lines, max_bytes, timeout })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::from_text;

    fn of_files(text: &str) -> Result<Option<MultilineConfig>, String> {
        let config = from_text("t.yaml", &format!("files: [{{include: [/a], multiline: {text}}}]"));
        config.map(|config| config.files[0].multiline.clone()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_word_or_a_mapping() {
        let java = MultilineConfig {
            grouping: GroupingConfig::Traces(TraceChoice::Java),
            max_lines: 500,
            max_bytes: 64 << 10,
            timeout: Duration::from_secs(1),
        };
        assert_eq!(of_files("java"), Ok(Some(java.clone())));
        let given = of_files("{traces: java, max_lines: 7, max_bytes: 1KiB, timeout: 10ms}").unwrap();
        let (max_lines, max_bytes, timeout) = (7, 1024, Duration::from_millis(10));
        assert_eq!(given, Some(MultilineConfig { max_lines, max_bytes, timeout, ..java }));
        let start = of_files(r"{start: '^\d'}").unwrap().unwrap().grouping;
        assert!(matches!(start, GroupingConfig::Start(pattern) if pattern.as_str() == r"^\d"));
    }

    #[test]
    fn what_does_not_hold_is_said() {
        for (text, what) in [
            ("jawa", "`java`"),
            ("[java]", "is a list"),
            ("{max_lines: 3}", "does not say which lines"),
            ("{start: a, traces: go}", "in several ways"),
            ("{start: '('}", "does not compile"),
            ("{traces: go, max_lines: 1}", "too small"),
            ("{traces: go, max_bytes: 1GiB}", "too large"),
        ] {
            let problems = of_files(text).unwrap_err();
            assert!(problems.contains(what) && problems.lines().count() <= 2, "{problems}");
        }
        let listen = |rest| from_text("t.yaml", &format!("listen: [{{{rest}, multiline: go}}]"));
        assert!(listen("endpoint: 'tcp://127.0.0.1:5140'").is_ok());
        let udp = listen("endpoint: 'udp://127.0.0.1:5140'").unwrap_err().to_string();
        assert!(udp.contains("a datagram is a record"), "{udp}");
        let syslog = listen("endpoint: 'tcp://127.0.0.1:5140', parse: syslog").unwrap_err().to_string();
        assert!(syslog.contains("message of syslog"), "{syslog}");
    }
}
