//! Regular expressions, as configurations have them: the syntax of the crate `regex`, on bytes, in linear time.
//!
//! Limits: what one compiles to ([`MOST_COMPILED`]) and what it may remember while it searches ([`MOST_CACHED`]).

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a compiled expression.
const MOST_COMPILED: usize = 4 << 20;
/// Bytes of the cache of one that searches; past it, it starts over.
const MOST_CACHED: usize = 1 << 20;

/// An expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// What is wrong with `text`, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        let compiled = RegexBuilder::new(text).size_limit(MOST_COMPILED).dfa_size_limit(MOST_CACHED).build();
        compiled.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("`{text}` is too large when compiled"),
            error => {
                // The library's text shows the expression on lines of its own; the last one says what is wrong.
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default();
                format!("`{text}` does not compile: {}", what.trim_start_matches("error: "))
            }
        })
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    pub fn regex(&self) -> &Regex {
        &self.0
    }
}

impl Eq for Pattern {}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.as_str())
    }
}
