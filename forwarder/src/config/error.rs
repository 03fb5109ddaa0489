//! What is wrong with a configuration, and where.
//!
//! A configuration is read to its end before anything is said: every problem found becomes one [`Problem`], and all of
//! them are shown together. They are only ever shown to a person, so a problem holds its sentence; what a program may
//! ask is whether there were any.

use std::fmt;
use std::sync::Arc;

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file (or `<stdin>`) as a whole.
    File(Arc<str>),
    /// A spot in a file; line and column count from 1, the column in characters.
    Spot { file: Arc<str>, line: u64, column: u64 },
    /// A command-line flag, with its dashes.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// Nowhere: it is the default.
    Default,
}

impl Place {
    /// Whether both are in one file, or are one flag.
    pub fn same_source(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::File(a) | Place::Spot { file: a, .. }, Place::File(b) | Place::Spot { file: b, .. }) => a == b,
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file) => f.write_str(file),
            Place::Spot { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::Flag(flag) => f.write_str(flag),
            Place::Environment(name) => write!(f, "${name}"),
            Place::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong: `place: key: what; accepted: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// The key's full path, as `destinations[1].endpoint`; empty where the document itself is wrong.
    pub key: String,
    pub what: String,
    /// What would have been right; empty where that is obvious from `what`.
    pub accepted: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        // A flag names the setting already; its path in a document that the user never wrote would only confuse.
        if !self.key.is_empty() && matches!(self.place, Place::File(_) | Place::Spot { .. }) {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.accepted.is_empty() {
            write!(f, "; accepted: {}", self.accepted)?;
        }
        Ok(())
    }
}

/// All that is wrong with a configuration, in the order in which it was read. Displays as one problem a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn add(&mut self, place: &Place, key: &str, what: impl Into<String>, accepted: impl Into<String>) {
        self.0.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            what: what.into(),
            accepted: accepted.into(),
        });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
