//! Conditions as they are written.

use super::values::{Content, KeyPattern, Text};
use crate::config::document::{entries, join};
use crate::config::error::Problems;
use crate::config::pattern::Pattern;
use crate::config::suggest;
use crate::config::value::{Scalar, Value};
use crate::config::yaml::{Kind, Node};
use crate::parse::pattern::level_of;
use crate::record::Level;
use crate::shape::Test;

/// What a condition is made of; one of these.
const FORMS: [&str; 5] = ["all", "any", "not", "origin", "field"];
/// What may be asked of a field; all of those that are.
const TESTS: [&str; 5] = ["equals", "one_of", "matches", "exists", "at_least"];
const KEYS: &[&str] = &["all", "any", "not", "origin", "field", "equals", "one_of", "matches", "exists", "at_least"];

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(pub crate::shape::Condition);

impl Value for Condition {
    fn accepted() -> String {
        "a condition, as { field: level, at_least: warn }, { origin: kube-system/* } or { any: [{…}, {…}] }".into()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        // `drop: true`: whatever the step is for.
        if node.kind == Kind::Scalar("true".into()) {
            return Some(Self(crate::shape::Condition::All(Vec::new())));
        }
        if !matches!(node.kind, Kind::Map(_)) {
            problems.add(&node.place, key, format!("is {}", node.noun()), Self::accepted());
            return None;
        }
        let before = problems.0.len();
        let entries = entries(node, key, KEYS, problems)?;
        // A key that is misspelt was meant to be one of those that would be missed.
        let is_misspelt = problems.0.len() > before;
        let forms: Vec<_> = entries.iter().filter(|entry| FORMS.contains(&&*entry.key)).collect();
        let [form] = forms[..] else {
            if is_misspelt {
                return None;
            }
            let what = if forms.is_empty() { "says nothing" } else { "says several things" };
            problems.add(&node.place, key, what, format!("one of {}", suggest::list(&FORMS)));
            return None;
        };
        let path = join(key, &form.key);
        let tests = entries.iter().filter(|entry| TESTS.contains(&&*entry.key));
        if form.key != "field"
            && let Some(test) = tests.clone().next()
        {
            problems.add(&test.place, &join(key, &test.key), "asks something of no field", "beside `field`");
        }
        let condition = match form.key.as_str() {
            "all" => crate::shape::Condition::All(several(&form.value, &path, problems)?),
            "any" => crate::shape::Condition::Any(several(&form.value, &path, problems)?),
            "not" => crate::shape::Condition::Not(Box::new(Self::read(&form.value, &path, problems)?.0)),
            "origin" => {
                let KeyPattern(glob) = KeyPattern::read(&form.value, &path, problems)?;
                crate::shape::Condition::Origin(glob)
            }
            _ => {
                let Text(name) = Text::read(&form.value, &path, problems)?;
                let tests: Vec<_> = tests.collect();
                if tests.is_empty() && is_misspelt {
                    return None;
                }
                if tests.is_empty() {
                    let accepted = format!("one of {} beside it", suggest::list(&TESTS));
                    problems.add(&form.place, &path, "is asked nothing", accepted);
                    return None;
                }
                let read = tests.iter().map(|test| {
                    let test = read_test(&test.key, &test.value, &join(key, &test.key), problems)?;
                    Some(crate::shape::Condition::Field { name: name.clone(), test })
                });
                let mut all = read.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
                let is_absent = |all: &crate::shape::Condition| {
                    matches!(all, crate::shape::Condition::Field { test: Test::Exists(false), .. })
                };
                if all.len() > 1 && all.iter().any(is_absent) {
                    problems.add(
                        &form.place,
                        &path,
                        "never holds: what is not there is nothing else",
                        "`exists: false` alone",
                    );
                    return None;
                }
                if all.len() == 1 { all.remove(0) } else { crate::shape::Condition::All(all) }
            }
        };
        Some(Self(condition))
    }
}

fn several(node: &Node, path: &str, problems: &mut Problems) -> Option<Vec<crate::shape::Condition>> {
    let list: Vec<Condition> = Value::read(node, path, problems)?;
    if node.kind == Kind::List(Vec::new()) {
        problems.add(&node.place, path, "is empty", <Vec<Condition> as Value>::accepted());
    }
    Some(list.into_iter().map(|condition| condition.0).collect())
}

fn read_test(name: &str, node: &Node, path: &str, problems: &mut Problems) -> Option<Test> {
    Some(match name {
        "equals" => Test::one_of(vec![Content::read(node, path, problems)?.0]),
        "one_of" => {
            let texts: Vec<Content> = Value::read(node, path, problems)?;
            if node.kind == Kind::List(Vec::new()) {
                problems.add(&node.place, path, "is empty", <Vec<Content> as Value>::accepted());
                return None;
            }
            Test::one_of(texts.into_iter().map(|text| text.0).collect())
        }
        "matches" => Test::Matches(Pattern::read(node, path, problems)?),
        "exists" => Test::Exists(bool::read(node, path, problems)?),
        _ => Test::AtLeast(Severity::read(node, path, problems)?.0),
    })
}

/// A severity, by one of its names.
struct Severity(Level);

impl Scalar for Severity {
    fn accepted() -> String {
        "emerg, alert, crit, error, warn, notice, info or debug".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        level_of(text.as_bytes()).map(Self).ok_or_else(|| format!("`{text}` is no level"))
    }
}
