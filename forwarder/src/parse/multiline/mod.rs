//! Which lines belong together: the lines of a stack trace, or of whatever a pattern describes.
//!
//! In: the lines of one stream, one by one, and what was remembered of those before. Out: whether a line stands by
//! itself, begins a group, or goes on with the one before. Nothing is kept of the lines themselves.
//!
//! - A **start** pattern: a line that it matches begins a group, and all others go on with the group before.
//! - A **continuation** pattern: a line that it matches goes on with the line before, and all others begin a group.
//! - **Traces** ([`Language`]): a line that looks like the beginning of a trace begins a group, and what may follow it
//!   there goes on with it. All other lines stand by themselves, so that they need not wait for the next line.
//!
//! Patterns are matched in linear time, on bytes. A `\r` at the end of a line is none of it.

mod presets;

use regex::bytes::{Regex, RegexBuilder};

pub use self::presets::Language;
use self::presets::{Trace, rules_of};

/// What a line is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It belongs to no group.
    Alone,
    Begins,
    Continues,
}

/// How far each language's trace has come in a stream; 0 where there is none.
pub type State = [u8; Language::COUNT];

/// Which lines belong together.
#[derive(Debug)]
pub enum Grouping {
    Start(Regex),
    Continuation(Regex),
    Traces(Traces),
}

/// The traces of some languages.
#[derive(Debug)]
pub struct Traces {
    /// Whether a line can begin any of them: one search instead of one for each.
    begins: Regex,
    languages: Vec<Trace>,
}

impl Grouping {
    /// The traces of these languages.
    pub fn traces(languages: &[Language]) -> Self {
        let heads = languages.iter().flat_map(|language| rules_of(*language)).filter(|rule| rule.from.contains(&0));
        let heads: Vec<String> = heads.map(|rule| format!("(?:{})", rule.pattern)).collect();
        let languages = languages.iter().map(|language| Trace::new(*language)).collect();
        Self::Traces(Traces { begins: own_pattern(&heads.join("|")), languages })
    }

    /// What `line` is to the lines before it, of which `state` is what is remembered.
    #[inline]
    pub fn step(&self, state: &mut State, line: &[u8]) -> Step {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self {
            Self::Start(pattern) if pattern.is_match(line) => Step::Begins,
            Self::Start(_) => Step::Continues,
            Self::Continuation(pattern) if pattern.is_match(line) => Step::Continues,
            Self::Continuation(_) => Step::Begins,
            Self::Traces(traces) => traces.step(state, line),
        }
    }
}

impl Traces {
    fn step(&self, state: &mut State, line: &[u8]) -> Step {
        // Some languages' traces begin alike: each is followed until something comes that it has not.
        let mut goes_on = false;
        for (trace, state) in self.languages.iter().zip(&mut *state) {
            if *state != 0 {
                *state = trace.next(*state, line);
                goes_on |= *state != 0;
            }
        }
        if goes_on {
            return Step::Continues;
        }
        if !self.begins.is_match(line) {
            return Step::Alone;
        }
        for (trace, state) in self.languages.iter().zip(state) {
            *state = trace.next(0, line);
        }
        Step::Begins
    }
}

/// A pattern of this program.
fn own_pattern(pattern: &str) -> Regex {
    RegexBuilder::new(pattern).unicode(false).build().expect("a test compiles every pattern")
}

#[cfg(test)]
mod tests;
