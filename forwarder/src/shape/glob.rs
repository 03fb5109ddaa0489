//! Patterns of names: `*` stands for any characters, `?` for one; everything else for itself.
//!
//! Names are of keys, of members in nested objects (`kubernetes.labels.app`) and of origins (`default/web-0/nginx`):
//! `*` stands for dots and slashes, too. Time is bounded by pattern × name.

use std::fmt;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    /// What every name begins with.
    literal: usize,
}

impl Glob {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let literal = text.find(['*', '?']).unwrap_or(text.len());
        Self { text, literal }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one name only.
    pub fn is_literal(&self) -> bool {
        self.literal == self.text.len()
    }

    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.text.as_bytes();
        if !name.starts_with(&pattern[..self.literal]) {
            return false;
        }
        let (mut at, mut seen) = (self.literal, self.literal);
        // Where the last `*` is, and how much of the name it stands for as yet.
        let mut star: Option<(usize, usize)> = None;
        while seen < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at + 1, seen));
                    at += 1;
                }
                Some(b'?') => {
                    at += 1;
                    seen += char_len(&name[seen..]);
                }
                Some(byte) if *byte == name[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((behind, taken)) = &mut star else { return false };
                    *taken += 1;
                    (at, seen) = (*behind, *taken);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }

    /// Whether a name could match that begins with `path` and a dot.
    pub(super) fn may_match_below(&self, path: &[u8]) -> bool {
        let literal = &self.text.as_bytes()[..self.literal];
        let common = literal.len().min(path.len());
        if literal[..common] != path[..common] {
            return false;
        }
        literal.len() <= path.len() || literal[path.len()] == b'.'
    }
}

/// Bytes of the first character, or one where it is none.
fn char_len(text: &[u8]) -> usize {
    let len = match text[0] {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        _ => 1,
    };
    if text.get(1..len).is_some_and(|rest| rest.iter().all(|byte| byte & 0xc0 == 0x80)) { len } else { 1 }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by trying everything.
    fn slow(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|taken| slow(rest, &name[taken..])),
            Some(('?', rest)) => !name.is_empty() && slow(rest, &name[1..]),
            Some((char, rest)) => name.first() == Some(char) && slow(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_as_it_would_by_trying(pattern in "[ab.é*?]{0,8}", name in "[ab.é]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = slow(&chars(&pattern), &chars(&name));
            prop_assert_eq!(Glob::new(pattern).matches(name.as_bytes()), expected);
        }

        #[test]
        fn nothing_below_is_missed(pattern in "[ab.*?]{0,8}", path in "[ab.]{0,4}", name in "[ab.]{0,4}") {
            let (glob, whole) = (Glob::new(pattern), format!("{path}.{name}"));
            prop_assert!(!glob.matches(whole.as_bytes()) || glob.may_match_below(path.as_bytes()));
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let glob = Glob::new("*a".repeat(100) + "b");
        assert!(!glob.matches(&[b'a'; 20_000]));
        assert!(Glob::new("*").matches(b"\xff\xfe"));
        assert!(Glob::new("?").matches(b"\xff") && !Glob::new("?").matches(b"\xff\xfe"));
    }
}
