//! What the configuration asks for, checked: the steps in their order, and the routes.

use std::time::Duration;

use super::condition::Condition;
use super::glob::Glob;
use super::template::Template;
use crate::parse::expression::Pattern;
use crate::parse::line::LineKind;

/// Destinations that can be routed to.
pub const MOST_DESTINATIONS: usize = crate::ring::MOST_TARGETS;

/// A step of `process`.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// As it stands in the configuration, for reports: `process[0].drop`.
    pub name: String,
    /// For which records it is; for all where nothing is said.
    pub when: Option<Condition>,
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Parse(Parse),
    Add(Vec<(String, Template)>),
    Remove(Vec<Glob>),
    Keep(Vec<Glob>),
    /// From, to.
    Rename(Vec<(String, String)>),
    Copy(Vec<(String, String)>),
    Prefix(String),
    Convert(Vec<(Glob, Type)>),
    /// Records for which it holds, or does not, are discarded.
    Drop {
        which: Condition,
        when_it_holds: bool,
    },
    Sample(Sample),
    Throttle(Throttle),
    Redact(Redact),
    Deduplicate(Deduplicate),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Parse {
    /// Whose value is parsed.
    pub key: String,
    pub format: ParseFormat,
    /// Before each name of what was found.
    pub prefix: String,
    /// Whether what was parsed stays as well.
    pub reserve: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseFormat {
    /// Its members as they are, but for `time`, `level` and `msg`.
    Json,
    /// The same of `key=value` pairs.
    Logfmt,
    /// As a source reads a line.
    Line(LineKind),
}

/// What a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Int,
    Float,
    Bool,
    Text,
}

/// One record of so many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// At least 1.
    pub rate: u64,
    /// Records with the same value of this field go the same way.
    pub by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Records a second, of each origin; at least 1.
    pub rate: u64,
    /// Records at once after silence; at least 1.
    pub burst: u64,
    /// How often what was discarded is reported.
    pub report: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplicate {
    pub window: Duration,
    /// Fields by which records are the same; their text where there is none.
    pub by: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Redact {
    pub presets: Vec<Preset>,
    pub patterns: Vec<Pattern>,
    /// Only in these; in the text and all fields where there are none.
    pub fields: Vec<Glob>,
    /// What stands in place of what is found.
    pub with: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    Tokens,
    Email,
    Cards,
}

/// A route: which records go where.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// All, where nothing is said.
    pub when: Option<Condition>,
    /// Destinations, as bits of their numbers.
    pub to: u64,
    /// Whether later routes are looked at, too.
    pub goes_on: bool,
}

/// All routes, and where goes what none of them is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Routes {
    pub routes: Vec<Route>,
    pub otherwise: u64,
}
