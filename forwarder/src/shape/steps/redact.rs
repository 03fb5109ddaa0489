//! Puts something else in place of what must not be sent on: in the record's text, and in its fields.
//!
//! Names of fields are left alone; with the preset for tokens a field that is called `password`, or its like, is replaced as
//! what follows `password=` in a text is. A value in JSON of which something is replaced stays JSON where it still is, and becomes
//! text where it is not (a number, say).

use std::borrow::Cow;
use std::ops::Range;

use super::Context;
use super::cards::next_card;
use crate::parse::expression::Pattern;
use crate::record::Span;
use crate::shape::draft::Draft;
use crate::shape::spec::{Preset, Redact};
use crate::shape::subject::MSG;

/// Bearer and basic credentials, JSON Web Tokens, keys of AWS, GitHub, GitLab and Slack, what follows `password=` and its
/// like, and passwords in addresses (`https://user:password@host`): of a match the group that took part is replaced.
const TOKENS: [&str; 5] = [
    r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{8,})",
    r"\b(eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*)",
    r"\b((?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|glpat-[A-Za-z0-9_-]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,})",
    r#"(?i)(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key)\\?["']?\s*[=:]\s*\\?["']?([^\s"'\\,;&{}\[\]]{3,})"#,
    r#"://[^\s/:@"']*:([^\s/@"']+)@"#,
];
/// Names of fields whose values are secrets.
const SECRET: &str = r"(?i)(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key)$";
/// A shorter one is none.
const SHORTEST_SECRET: usize = 3;
const EMAIL: &str = r"([A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}\.[A-Za-z]{2,24})\b";

enum Rule {
    Pattern {
        pattern: Pattern,
        /// A byte without which nothing is found.
        needs: Option<u8>,
    },
    Cards,
}

pub(super) struct Redacting {
    rules: Vec<Rule>,
    /// Names of fields that are replaced as a whole.
    secrets: Option<Pattern>,
    redact: Redact,
}

impl Redacting {
    pub(super) fn new(redact: &Redact) -> Self {
        let preset = |text: &str, needs| Rule::Pattern {
            pattern: Pattern::new(text).expect("a test compiles the presets"),
            needs,
        };
        let mut rules = Vec::new();
        for chosen in &redact.presets {
            match chosen {
                Preset::Tokens => rules.extend(TOKENS.iter().map(|text| preset(text, None))),
                Preset::Email => rules.push(preset(EMAIL, Some(b'@'))),
                Preset::Cards => rules.push(Rule::Cards),
            }
        }
        let own = |pattern: &Pattern| Rule::Pattern { pattern: pattern.clone(), needs: None };
        rules.extend(redact.patterns.iter().map(own));
        let has_tokens = redact.presets.contains(&Preset::Tokens);
        let secrets = has_tokens.then(|| Pattern::new(SECRET).expect("a test compiles the presets"));
        Self { rules, secrets, redact: redact.clone() }
    }

    pub(super) fn run(&mut self, draft: &mut Draft, context: &mut Context<'_>) {
        let wants =
            |name: &[u8]| self.redact.fields.is_empty() || self.redact.fields.iter().any(|glob| glob.matches(name));
        if wants(MSG.as_bytes()) {
            match self.replaced(draft.bytes(draft.body)) {
                Cow::Borrowed(_) => {}
                Cow::Owned(text) => {
                    // Where there is no room for it, it must not go on as it is.
                    let body = draft.make(|made| made.extend_from_slice(&text));
                    draft.set_body(body.unwrap_or(Span { len: 0, ..draft.body }));
                    draft.hide();
                }
            }
        }
        for index in 0..draft.fields.len() {
            let field = draft.fields[index];
            if !wants(draft.bytes(field.key)) {
                continue;
            }
            let value = draft.bytes(field.value);
            let replaced = match self.is_secret(draft.bytes(field.key), value) {
                true => Cow::Owned(self.redact.with.clone().into_bytes()),
                false => self.replaced(value),
            };
            let Cow::Owned(text) = replaced else { continue };
            let stays_json = field.is_json && serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok();
            let made = draft.make(|made| made.extend_from_slice(&text));
            *context.failed += u64::from(made.is_none());
            draft.fields[index].value = made.unwrap_or(Span { len: 0, ..field.value });
            draft.fields[index].is_json = stays_json && made.is_some();
            draft.hide();
        }
    }

    /// Whether a field says by its name that all of it is a secret. What is in an object has names of its own.
    fn is_secret(&self, name: &[u8], value: &[u8]) -> bool {
        let is_known = self.secrets.as_ref().is_some_and(|secrets| secrets.is_match(name));
        let is_short = value.len() < SHORTEST_SECRET || value == self.redact.with.as_bytes();
        is_known && !is_short && !matches!(value[0], b'{' | b'[')
    }

    fn replaced<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut text = Cow::Borrowed(text);
        for rule in &self.rules {
            if let Some(replaced) = rule.replaced(&text, self.redact.with.as_bytes()) {
                text = Cow::Owned(replaced);
            }
        }
        text
    }
}

impl Rule {
    /// The text with what is found replaced; `None` where nothing is.
    fn replaced(&self, text: &[u8], with: &[u8]) -> Option<Vec<u8>> {
        let (mut out, mut copied) = (Vec::new(), 0);
        self.each(text, |found| {
            if &text[found.clone()] != with {
                out.extend_from_slice(&text[copied..found.start]);
                out.extend_from_slice(with);
                copied = found.end;
            }
        });
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }

    /// What is found, from the left to the right; nothing of it is empty.
    fn each(&self, text: &[u8], mut found: impl FnMut(Range<usize>)) {
        match self {
            Self::Cards => {
                let mut from = 0;
                while let Some(card) = next_card(text, from) {
                    from = card.end;
                    found(card);
                }
            }
            Self::Pattern { needs: Some(byte), .. } if memchr::memchr(*byte, text).is_none() => {}
            Self::Pattern { pattern, .. } if !pattern.is_match(text) => {}
            Self::Pattern { pattern, .. } => {
                for matched in pattern.regex().captures_iter(text) {
                    // Of a pattern with groups, the first one that took part; else all of it.
                    let part = matched.iter().skip(1).flatten().next().or_else(|| matched.get(0));
                    if let Some(part) = part.filter(|part| !part.is_empty()) {
                        found(part.range());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str, patterns: &[&str]) -> String {
        let redact = Redact {
            presets: vec![Preset::Tokens, Preset::Email, Preset::Cards],
            patterns: patterns.iter().map(|text| Pattern::new(text).unwrap()).collect(),
            fields: Vec::new(),
            with: "[redacted]".into(),
        };
        String::from_utf8(Redacting::new(&redact).replaced(text.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn secrets_go_and_what_is_around_them_stays() {
        for (text, expected) in [
            ("Authorization: Bearer abcdef123456.x", "Authorization: Bearer [redacted]"),
            ("mail to jane.doe@example.org, please", "mail to [redacted], please"),
            ("card 4111 1111 1111 1111 ok", "card [redacted] ok"),
            ("card 4111-1111-1111-1112 no", "card 4111-1111-1111-1112 no"),
            ("password=hunter22 user=x", "password=[redacted] user=x"),
            (r#"{"password":"hunter22","n":1}"#, r#"{"password":"[redacted]","n":1}"#),
            ("jwt eyJhbGciOi.eyJzdWIi.c2ln end", "jwt [redacted] end"),
            ("key AKIAABCDEFGHIJKLMNOP", "key [redacted]"),
            ("postgres://app:s3cr3t@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
            ("at http://host:80/x and 4111 1111 1111 1111 123", "at http://host:80/x and [redacted] 123"),
            ("nothing to see: 12345 a@b", "nothing to see: 12345 a@b"),
        ] {
            assert_eq!(redacted(text, &[]), expected);
        }
        assert_eq!(redacted("id=42 id=43", &["id=([0-9]+)"]), "id=[redacted] id=[redacted]");
    }

    proptest! {
        #[test]
        fn nothing_that_was_found_is_left(text in "[a-z@. 0-9=\"-]{0,60}") {
            let once = redacted(&text, &[]);
            prop_assert_eq!(&redacted(&once, &[]), &once);
        }
    }
}
