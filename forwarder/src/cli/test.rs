//! `ringward test`: runs the cases of a configuration, without anything being read or sent.
//!
//! In: `tests`, `process`, `routes`, and of `destinations` their names and tags. Each case goes through the same steps, routes
//! and encoder as records do in `run`. Out: a line for each case, and for one that fails what differs.
//!
//! Lines come a millisecond apart, from 2026-01-01T00:00:00Z on, where they don't say when they were written.

use std::fmt::Write;

use anyhow::{Context, bail};
use clap::builder::styling::AnsiColor;
use serde_json::{Map, Value};

use super::paint::Paint;
use crate::config::{CaseConfig, Expected, Input, Loaded, ParseChoice, ResolvedConfig};
use crate::encode::json_lines::{JsonLines, JsonLinesOptions};
use crate::parse::kata;
use crate::parse::line::{LineKind, LineParser, Parsed};
use crate::parse::pattern::level_of;
use crate::record::{Batch, BatchBuilder, FieldValue, Origin, OriginHandle, OriginKind, RecordMeta};
use crate::ring::Targets;
use crate::shape::Trial;

/// 2026-01-01T00:00:00Z.
const BEGIN_NS: i64 = 1_767_225_600_000_000_000;
const STEP_NS: i64 = 1_000_000;
/// What a case can't know, where it says all members.
const TIME: &str = "talos-time";

pub fn test(loaded: &Loaded, paint: Paint) -> anyhow::Result<()> {
    let config = &loaded.config;
    if config.tests.is_empty() {
        bail!("the configuration has no `tests`");
    }
    let (mut out, mut failed) = (String::new(), 0usize);
    for case in &config.tests {
        let differences = run(case, config).with_context(|| format!("{}: {}", case.place, case.name))?;
        if differences.is_empty() {
            let _ = writeln!(out, "{}    {}", paint.colour("ok", AnsiColor::Green), case.name);
            continue;
        }
        failed += 1;
        let _ = writeln!(out, "{}  {} ({})", paint.colour("FAIL", AnsiColor::Red), case.name, case.place);
        for difference in differences {
            let _ = writeln!(out, "      {difference}");
        }
    }
    let all = config.tests.len();
    let _ = writeln!(out, "{} of {all} passed", all - failed);
    super::print(&out)?;
    if failed > 0 { bail!("{failed} of {all} cases failed") } else { Ok(()) }
}

/// What of a case is not as it expects.
fn run(case: &CaseConfig, config: &ResolvedConfig) -> anyhow::Result<Vec<String>> {
    let mut trial = Trial::new(&config.process, config.routes.as_ref());
    let mut batches = trial.run(input(case)?);
    batches.extend(trial.finish());
    let mut differences = Vec::new();
    if let Some(expected) = &case.expect {
        let sent = encoded(&batches, &JsonLinesOptions::default(), u64::MAX)?;
        compare("", expected, &sent, case.exact, &mut differences);
    }
    for (name, expected) in &case.expect_at {
        let number = config.destinations.iter().position(|destination| destination.name == *name);
        let number = number.context("a destination that was there when the configuration was read")?;
        let extra_tags = config.destinations[number].extra_tags.clone();
        let max_record_bytes = config.destinations[number].max_record_bytes;
        let options = JsonLinesOptions { extra_tags, max_record_bytes, newline: false };
        let bits = if config.routes.is_some() { 1 << number } else { u64::MAX };
        compare(&format!("{name}: "), expected, &encoded(&batches, &options, bits)?, case.exact, &mut differences);
    }
    Ok(differences)
}

fn input(case: &CaseConfig) -> anyhow::Result<Batch> {
    let kind = line_kind(case.parse);
    // What comes ready says itself what it is.
    let whose = if kind == LineKind::Auto { OriginKind::Peer } else { OriginKind::Service };
    let origin = OriginHandle::new(Origin::new(whose, &case.origin));
    let (mut builder, mut parser) = (BatchBuilder::new(64 << 10), LineParser::default());
    let times = (0..).map(|number| BEGIN_NS + number * STEP_NS);
    for (input, now_ns) in case.input.iter().zip(times) {
        match input {
            Input::Line(line) => {
                let line = line.as_bytes();
                let pieces: Vec<&[u8]> =
                    if kind.has_glued_records() { kata::split(line).collect() } else { vec![line] };
                for line in pieces {
                    let parsed = parser.parse(kind, line, now_ns).unwrap_or_else(|| Parsed::text(line));
                    let time_ns = parsed.time_ns.unwrap_or(now_ns);
                    let body = parsed.parts.bytes(parsed.parts.body);
                    let meta = RecordMeta { level: parsed.level, ..RecordMeta::line(time_ns, body) };
                    builder.push_parts(&origin, meta, &parsed.parts);
                }
            }
            Input::Record(members) => push_record(&mut builder, &origin, members, now_ns)?,
        }
    }
    Ok(builder.seal())
}

fn push_record(
    builder: &mut BatchBuilder,
    origin: &OriginHandle,
    members: &Map<String, Value>,
    now_ns: i64,
) -> anyhow::Result<()> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let body = text("msg").unwrap_or_default().as_bytes();
    let mut meta = RecordMeta::line(now_ns, body);
    if let Some(level) = text("level") {
        meta.level = level_of(level.as_bytes()).with_context(|| format!("`{level}` is no level"))?;
    }
    if let Some(time) = text("time") {
        let time: jiff::Timestamp = time.parse().with_context(|| format!("`{time}` is no time as RFC 3339 has it"))?;
        meta.time_ns = i64::try_from(time.as_nanosecond())?;
    }
    let others = members.iter().filter(|(name, _)| !["msg", "level", "time"].contains(&name.as_str()));
    let rendered: Vec<(&str, Vec<u8>, bool)> = others
        .map(|(name, value)| match value {
            Value::String(text) => (name.as_str(), text.clone().into_bytes(), false),
            value => (name.as_str(), value.to_string().into_bytes(), true),
        })
        .collect();
    let fields: Vec<(&str, FieldValue<'_>)> = rendered
        .iter()
        .map(|(name, value, is_json)| (*name, if *is_json { FieldValue::Json(value) } else { FieldValue::Text(value) }))
        .collect();
    builder.push_with_fields(origin, meta, body, &fields);
    Ok(())
}

fn line_kind(parse: ParseChoice) -> LineKind {
    match parse {
        ParseChoice::Auto => LineKind::Auto,
        ParseChoice::Talos => LineKind::Talos,
        ParseChoice::Logfmt => LineKind::Logfmt,
        ParseChoice::Syslog => LineKind::Syslog,
        ParseChoice::TalosSyslog => LineKind::TalosSyslog,
        ParseChoice::Detect => LineKind::Detect,
        ParseChoice::Klog => LineKind::Klog,
        ParseChoice::Kata => LineKind::Kata,
        // Cases have neither a pattern nor streams: that is refused when they are read.
        ParseChoice::Regex | ParseChoice::JournalExport | ParseChoice::Text => LineKind::Text,
    }
}

/// What a reader with these bits would be sent.
fn encoded(
    batches: &[(Batch, Targets)],
    options: &JsonLinesOptions,
    bits: u64,
) -> anyhow::Result<Vec<Map<String, Value>>> {
    let mut encoder = JsonLines::new(options.clone());
    let mut sent = Vec::new();
    for (batch, targets) in batches {
        for index in (0..batch.record_count()).filter(|index| targets.is_for(*index as usize, bits)) {
            let (mut out, mut ends) = (Vec::new(), Vec::new());
            encoder.encode_batch(batch, index..index + 1, &mut out, &mut ends);
            sent.push(serde_json::from_slice(&out).context("what would be sent is no JSON")?);
        }
    }
    Ok(sent)
}

fn compare(at: &str, expected: &[Expected], sent: &[Map<String, Value>], exact: bool, differences: &mut Vec<String>) {
    for (number, (expected, sent)) in expected.iter().zip(sent).enumerate() {
        let at = format!("{at}record {}: ", number + 1);
        for (name, wanted) in &expected.members {
            match sent.get(name) {
                None => differences.push(format!("{at}{name} is missing, expected {wanted}")),
                Some(found) if !is_same(wanted, found, expected.typed) => {
                    differences.push(format!("{at}{name} is {found}, expected {wanted}"));
                }
                Some(_) => {}
            }
        }
        let is_known = |name: &String| name == TIME || expected.members.contains_key(name);
        for (name, found) in sent.iter().filter(|(name, _)| exact && !is_known(name)) {
            differences.push(format!("{at}{name} is {found}, and not expected"));
        }
    }
    for expected in expected.iter().skip(sent.len()) {
        differences.push(format!("{at}nothing more is sent, expected {}", Value::Object(expected.members.clone())));
    }
    for sent in sent.iter().skip(expected.len()) {
        differences.push(format!("{at}not expected: {}", Value::Object(sent.clone())));
    }
}

/// Whether a value is the expected one; by its text, where that is all that is said of it.
fn is_same(wanted: &Value, found: &Value, typed: bool) -> bool {
    match (wanted, found) {
        _ if typed => wanted == found,
        (Value::String(wanted), Value::String(found)) => wanted == found,
        (Value::String(wanted), Value::Number(_) | Value::Bool(_)) => {
            serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *found)
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| is_same(wanted, found, false))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let is_there =
                |(name, wanted): (&String, &Value)| found.get(name).is_some_and(|found| is_same(wanted, found, false));
            wanted.len() == found.len() && wanted.iter().all(is_there)
        }
        _ => wanted == found,
    }
}
