//! Regular expressions, as configurations have them: the syntax of the crate `regex`, on bytes, in linear time.
//!
//! Limits: what one compiles to ([`MOST_COMPILED`]) and what it may remember while it searches ([`MOST_CACHED`]).

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

/// Bytes of a compiled expression.
const MOST_COMPILED: usize = 1 << 20;
/// Bytes of the cache of one that searches; past it, it starts over.
const MOST_CACHED: usize = 256 << 10;

/// An expression.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// What is wrong with `text`, on one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).size_limit(MOST_COMPILED).dfa_size_limit(MOST_CACHED).build();
        compiled.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("compiles to more than {limit} bytes"),
            // The last line says what is wrong, those before it show where.
            error => {
                let text = error.to_string();
                text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        })
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.0
    }
}

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
