//! Records as people read them.
//!
//! ```text
//! one origin    TEXT
//! all           ORIGIN: TEXT
//! kernel        FACILITY: PRIORITY: [TIME]: TEXT, the priority to the right in seven columns
//! -k            TIME STREAM P|F TEXT, as the kubelet's files
//! ```
//!
//! - Fields of the record itself follow its text as `key=value`; what says whose it is does not.
//! - On a terminal, control characters are shown as `\x1b`: what a program printed must not steer the terminal of
//!   whoever looks at it. Elsewhere the text is as it came.
//! - What is no object that can be read is shown as it came.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use clap::builder::styling::AnsiColor;
use serde_json::{Map, Value};

use crate::cli::paint::Paint;

/// Members that say whose a record is and what became of it; they are no part of what it says.
const NOT_SAID: [&str; 17] = [
    "clock",
    "container",
    "cut",
    "facility",
    "msg",
    "namespace",
    "overlap",
    "partial",
    "pod",
    "priority",
    "recovered",
    "restarts",
    "seq",
    "stream",
    "talos-level",
    "talos-service",
    "talos-time",
];
/// Of origins' names; red and yellow are for what is wrong.
const COLOURS: [AnsiColor; 5] =
    [AnsiColor::Cyan, AnsiColor::Green, AnsiColor::Magenta, AnsiColor::Blue, AnsiColor::BrightCyan];
/// Characters of a container's id that are shown.
const SHOWN_ID: usize = 12;

/// How lines are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Each with its origin before it.
    pub(super) origins: bool,
    /// As lines of the kubelet's files.
    pub(super) cri: bool,
    pub(super) paint: Paint,
    /// Whether a terminal reads it.
    pub(super) terminal: bool,
}

/// A record's line.
pub(super) enum Line {
    /// For standard output, its newline included.
    Record(String),
    /// A loss of what should have been shown.
    Loss(String),
}

impl Style {
    pub(super) fn line(self, json: &[u8]) -> Line {
        let Ok(record) = serde_json::from_slice::<Map<String, Value>>(json) else {
            return Line::Record(self.safe(&String::from_utf8_lossy(json)) + "\n");
        };
        let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_loss = record.contains_key("lost-records") || record.contains_key("lost-bytes");
        if is_loss && text("talos-service") == "ringward" {
            return Line::Loss(self.safe(text("msg")));
        }
        let mut out = String::new();
        if self.origins {
            let name = name(&record);
            let mut hasher = DefaultHasher::new();
            name.hash(&mut hasher);
            let colour = COLOURS[(hasher.finish() % COLOURS.len() as u64) as usize];
            out += &format!("{} ", self.paint.colour(format!("{}:", self.safe(&name)), colour));
        }
        let said = self.said(&record);
        if let (Some(facility), Some(priority)) = (record.get("facility"), record.get("priority")) {
            let (facility, priority) = (facility.as_str().unwrap_or("?"), priority.as_str().unwrap_or("?"));
            let head = format!("{facility}: {priority:>7}: [{}]:", text("talos-time"));
            out += &format!("{} {said}\n", self.paint.dim(head));
        } else if self.cri {
            let tag = if record.contains_key("partial") { "P" } else { "F" };
            let head = format!(
                "{} {} {tag}",
                text("talos-time"),
                record.get("stream").and_then(Value::as_str).unwrap_or("stdout")
            );
            out += &format!("{} {said}\n", self.paint.dim(head));
        } else {
            out += &format!("{said}\n");
        }
        Line::Record(out)
    }

    /// The text of a record and its fields, in the colour of its level.
    fn said(self, record: &Map<String, Value>) -> String {
        let text = record.get("msg").and_then(Value::as_str).unwrap_or_default();
        let mut said = self.safe(text.strip_suffix('\n').unwrap_or(text));
        for (key, value) in record.iter().filter(|(key, _)| !NOT_SAID.contains(&key.as_str())) {
            if !said.is_empty() {
                said.push(' ');
            }
            let value = match value {
                Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=', '\n']) => text.clone(),
                other => other.to_string(),
            };
            said += &self.safe(&format!("{key}={value}"));
        }
        match record.get("talos-level").and_then(Value::as_str) {
            Some("error") => self.paint.colour(said, AnsiColor::Red),
            Some("warn") => self.paint.colour(said, AnsiColor::Yellow),
            Some("debug") => self.paint.dim(said),
            _ => said,
        }
    }

    /// The text as it may be written: newlines and tabs stay.
    fn safe(self, text: &str) -> String {
        if !self.terminal || !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
            return text.to_owned();
        }
        let mut safe = String::new();
        for c in text.chars() {
            match c {
                '\n' | '\t' => safe.push(c),
                c if c.is_control() => safe += &format!("\\x{:02x}", u32::from(c)),
                c => safe.push(c),
            }
        }
        safe
    }
}

/// Whose a record is, as it may be asked for.
fn name(record: &Map<String, Value>) -> String {
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let name = text("talos-service").unwrap_or("kernel");
    let id = text("container").map(|id| id.get(..SHOWN_ID).unwrap_or(id));
    match (text("namespace"), text("pod"), id) {
        (Some(namespace), Some(pod), Some(id)) => format!("{namespace}/{pod}:{name}:{id}"),
        (Some(namespace), Some(pod), None) => format!("{namespace}/{pod}:{name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { origins: false, cri: false, paint: Paint::OFF, terminal: false };

    fn shown(style: Style, json: &str) -> String {
        match style.line(json.as_bytes()) {
            Line::Record(line) => line,
            Line::Loss(text) => format!("LOSS {text}"),
        }
    }

    #[test]
    fn kernel_records_are_shown_as_talosctl_shows_them() {
        let json = concat!(
            r#"{"clock":1,"facility":"kern","msg":"acpi x\n SUBSYSTEM=acpi\n","priority":"info","seq":2,"#,
            r#""talos-level":"info","talos-time":"2021-11-26T16:53:15.372399981Z"}"#
        );
        let expected = "kern:    info: [2021-11-26T16:53:15.372399981Z]: acpi x\n SUBSYSTEM=acpi\n";
        assert_eq!(shown(PLAIN, json), expected);
        assert_eq!(shown(Style { origins: true, ..PLAIN }, json), format!("kernel: {expected}"));
    }

    #[test]
    fn lines_of_containers_are_shown_as_the_kubelet_writes_them() {
        let json = concat!(
            r#"{"container":"4f0c1234567890ab","msg":"I1130 x","namespace":"default","partial":true,"pod":"web-0","#,
            r#""stream":"stderr","talos-level":"info","talos-service":"web","talos-time":"2021-11-30T19:13:20.5Z"}"#
        );
        let cri = Style { cri: true, ..PLAIN };
        assert_eq!(shown(cri, json), "2021-11-30T19:13:20.5Z stderr P I1130 x\n");
        let whole = json.replace(r#""partial":true,"#, "");
        let all = shown(Style { origins: true, ..cri }, &whole);
        assert_eq!(all, "default/web-0:web:4f0c12345678: 2021-11-30T19:13:20.5Z stderr F I1130 x\n");
        assert_eq!(shown(PLAIN, &whole), "I1130 x\n");
    }

    #[test]
    fn fields_follow_the_text() {
        let json =
            r#"{"err":"no \"x\"","msg":"failed","n":7,"talos-level":"error","talos-service":"etcd","took":"21ms"}"#;
        assert_eq!(shown(PLAIN, json), "failed err=\"no \\\"x\\\"\" n=7 took=21ms\n");
        assert_eq!(shown(PLAIN, r#"{"empty":"","talos-service":"etcd"}"#), "empty=\"\"\n");
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let json = r#"{"msg":"\u001b[2Jgone\tx\r\u009b1m","talos-service":"evil\u001b"}"#;
        let style = Style { terminal: true, origins: true, ..PLAIN };
        assert_eq!(shown(style, json), "evil\\x1b: \\x1b[2Jgone\tx\\x0d\\x9b1m\n");
        assert_eq!(shown(PLAIN, json), "\u{1b}[2Jgone\tx\r\u{9b}1m\n");
    }

    #[test]
    fn losses_and_what_can_not_be_read() {
        let loss = r#"{"lost-records":5,"msg":"5 records were lost","talos-service":"ringward"}"#;
        assert_eq!(shown(PLAIN, loss), "LOSS 5 records were lost");
        for broken in ["", "{", "{\"n\":1e999}", "[]", "text"] {
            assert_eq!(shown(PLAIN, broken), format!("{broken}\n"));
        }
        assert_eq!(shown(PLAIN, r#"{"msg":7}"#), "\n");
    }
}
