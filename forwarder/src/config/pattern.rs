//! A regular expression, as `(?i)^error`: matched against bytes, in linear time.

use regex::bytes::Regex;

use super::value::Scalar;

/// A pattern that compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn compiled(&self) -> Regex {
        Regex::new(&self.0).expect("it was compiled when it was read")
    }
}

impl Scalar for Pattern {
    fn accepted() -> String {
        "a regular expression, without back references and looking around".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        match Regex::new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(regex::Error::CompiledTooBig(_)) => Err(format!("`{text}` is too large when compiled")),
            Err(error) => {
                // The library's text shows the pattern on lines of its own; the last one says what is wrong.
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default();
                Err(format!("`{text}` does not compile: {}", what.trim_start_matches("error: ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_on_one_line() {
        for (text, what) in [("", "empty"), ("a(b", "unclosed group"), (r"(a)\1", "backreferences"), ("(?=a)", "look")]
        {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(what) && !error.contains('\n'), "{error}");
        }
        assert!(Pattern::parse(r"\w{1000}{1000}").unwrap_err().contains("too large"));
        assert!(Pattern::parse(r"(?-u)\xff^\s+").unwrap().compiled().is_match(b"\xff\xff") == false);
    }
}
