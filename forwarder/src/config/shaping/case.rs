//! What goes in and what comes out of a case.

use serde_json::{Map, Value as Json};

use crate::config::error::Problems;
use crate::config::value::Value;
use crate::config::yaml::{Entry, Kind, Node};

/// A line, or a record by its parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Line(String),
    /// Text stands for text, mappings and lists for JSON.
    Record(Map<String, Json>),
}

impl Value for Input {
    fn accepted() -> String {
        "a line, or a record as { msg: TEXT, level: warn, NAME: TEXT }".into()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(line) => Some(Self::Line(line.clone())),
            Kind::Map(entries) => Some(Self::Record(object(entries))),
            Kind::Null | Kind::List(_) => {
                problems.add(&node.place, key, format!("is {}", node.noun()), Self::accepted());
                None
            }
        }
    }
}

/// What an object must have.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub members: Map<String, Json>,
    /// Whether a number is told from a text that looks like one: only JSON says which it is.
    pub typed: bool,
}

impl Value for Expected {
    fn accepted() -> String {
        "members as { NAME: TEXT }, or an object in JSON as '{\"pid\":7}'".into()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) => Some(Self { members: object(entries), typed: false }),
            Kind::Scalar(text) => match serde_json::from_str(text) {
                Ok(Json::Object(members)) => Some(Self { members, typed: true }),
                Ok(_) => {
                    problems.add(&node.place, key, "is no object", Self::accepted());
                    None
                }
                Err(error) => {
                    problems.add(&node.place, key, format!("is no JSON: {error}"), Self::accepted());
                    None
                }
            },
            Kind::Null | Kind::List(_) => {
                problems.add(&node.place, key, format!("is {}", node.noun()), Self::accepted());
                None
            }
        }
    }
}

/// By destination.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedAt(pub Vec<(Entry, Vec<Expected>)>);

impl Value for ExpectedAt {
    fn accepted() -> String {
        "a mapping from destinations to lists, each item ".to_owned() + &Expected::accepted()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            problems.add(&node.place, key, format!("is {}", node.noun()), Self::accepted());
            return None;
        };
        let read = |entry: &Entry| {
            let list = Value::read(&entry.value, &format!("{key}.{}", entry.key), problems)?;
            Some((entry.clone(), list))
        };
        Some(Self(entries.iter().filter_map(read).collect()))
    }
}

fn object(entries: &[Entry]) -> Map<String, Json> {
    entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()
}

/// A tree in which everything that has no parts is text: YAML's numbers are not told from it here.
fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Null => Json::Null,
        Kind::Scalar(text) => Json::String(text.clone()),
        Kind::List(items) => Json::Array(items.iter().map(json).collect()),
        Kind::Map(entries) => Json::Object(object(entries)),
    }
}
