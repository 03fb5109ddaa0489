//! Conditions: whether a record is one of those that a step or a route is for.

use super::glob::Glob;
use super::subject::{LEVEL, Subject};
use crate::parse::expression::Pattern;
use crate::parse::pattern::level_of;
use crate::record::Level;

/// A condition, checked: it can't say anything invalid.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// Whose the record is: the origin's name, or `NAMESPACE/POD/CONTAINER`.
    Origin(Glob),
    Field {
        name: String,
        test: Test,
    },
}

/// What a field must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Exists(bool),
    /// One of these texts, which are sorted; a number or `true` in JSON is compared as it is written.
    OneOf(Vec<Box<[u8]>>),
    Matches(Pattern),
    /// A severity as severe as this one or more.
    AtLeast(Level),
}

impl Condition {
    pub(super) fn holds(&self, subject: &impl Subject) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(subject)),
            Self::Any(any) => any.iter().any(|condition| condition.holds(subject)),
            Self::Not(condition) => !condition.holds(subject),
            Self::Origin(glob) => subject.whose().names().any(|name| glob.matches(name.as_bytes())),
            Self::Field { name, test } => test.holds(name, subject),
        }
    }
}

impl Test {
    pub fn one_of(texts: Vec<String>) -> Self {
        let mut texts: Vec<Box<[u8]>> = texts.into_iter().map(|text| text.into_bytes().into()).collect();
        texts.sort_unstable();
        Self::OneOf(texts)
    }

    fn holds(&self, name: &str, subject: &impl Subject) -> bool {
        let value = subject.value(name);
        match (self, value) {
            (Self::Exists(wanted), value) => value.is_some() == *wanted,
            (_, None) => false,
            (Self::OneOf(texts), Some(value)) => {
                let value: &[u8] = value.to_text();
                texts.binary_search_by(|text| (**text).cmp(value)).is_ok()
            }
            (Self::Matches(pattern), Some(value)) => pattern.is_match(value.to_text()),
            (Self::AtLeast(least), Some(value)) => {
                // A field of that name may have numbers of its own, as pino's: the record's severity is known all the same.
                let level = level_of(value.to_text()).or_else(|| (name == LEVEL).then(|| subject.level()));
                level.is_some_and(|level| level as u8 <= *least as u8)
            }
        }
    }
}
