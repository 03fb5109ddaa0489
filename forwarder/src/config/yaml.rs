//! YAML text → a tree in which every key and value knows its place.
//!
//! In: the text of one file. Out: one [`Node`] per document that is not empty. Serde stops at the first thing that it
//! does not like; this tree takes anything, so that the schema (`raw.rs`) can be checked to the end and every problem
//! reported at once. A scalar keeps the text as it was written: `extraTags: {rack: 07}` is the tag `07`, not `7`.
//!
//! Limits: the caller bounds the text; nesting, aliases and nodes are bounded here, so that a small file can't unfold
//! into a large tree.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::error::{Place, Problem};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `key:` with nothing after it, `null` or `~`: the same as if the key were not there.
    Null,
    /// Text, number or boolean, as written (quotes removed, escapes resolved).
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub place: Place,
    pub key: String,
    pub value: Node,
}

impl Node {
    pub fn scalar(text: impl Into<String>, place: Place) -> Node {
        Node { place, kind: Kind::Scalar(text.into()) }
    }

    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// What the node is, for "is a list": with its article.
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Null => "empty",
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// The documents in `text`; `file` is the name that places show.
///
/// # Errors
/// Where the text is not YAML, a key is given twice, or a limit is passed: one problem, as nothing behind it can be
/// trusted.
pub fn parse(file: &Arc<str>, text: &str) -> Result<Vec<Node>, Problem> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_documents: 1_000,
        },
    };
    let documents: Vec<Spanned<Raw>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| syntax_problem(file, text, &error))?;
    let context = Context { file, text };
    Ok(documents.into_iter().map(|raw| context.node(raw)).collect())
}

fn syntax_problem(file: &Arc<str>, text: &str, error: &serde_saphyr::Error) -> Problem {
    let location = error.location().filter(|location| location.line() > 0);
    let place = location.as_ref().map_or_else(|| Place::File(file.clone()), |location| spot(file, location));
    // The library puts the place behind its sentence, and advice for programmers; ours stands in front.
    let mut what = error.without_snippet().to_string();
    for end in [" at line ", " (line ", ", set DuplicateKeyPolicy"] {
        if let Some(at) = what.find(end) {
            what.truncate(at);
        }
    }
    let line = location.and_then(|location| text.lines().nth(usize::try_from(location.line()).ok()? - 1));
    // The one value of ours that YAML takes for a key.
    let accepted = match line {
        Some(line) if line.trim_end().ends_with(" stdout:") => "\"stdout:\", in quotes",
        _ => "",
    };
    let what = format!("not valid YAML: {}", what.replace('\n', " "));
    Problem { place, key: String::new(), what, accepted: accepted.into() }
}

fn spot(file: &Arc<str>, location: &Location) -> Place {
    Place::Spot { file: file.clone(), line: location.line(), column: location.column() }
}

struct Context<'a> {
    file: &'a Arc<str>,
    text: &'a str,
}

impl Context<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Text(text) => Kind::Scalar(text),
            Raw::Typed(shown) => Kind::Scalar(self.as_written(&raw.defined).unwrap_or(shown)),
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        place: spot(self.file, &key.referenced),
                        key: key.value,
                        value: self.node(value),
                    })
                    .collect(),
            ),
        };
        Node { place: spot(self.file, &raw.referenced), kind }
    }

    /// The text of a plain number or boolean, which the library hands over already converted.
    fn as_written(&self, location: &Location) -> Option<String> {
        let span = location.span();
        let from = usize::try_from(span.byte_offset()?).ok()?;
        let len = usize::try_from(span.byte_len()?).ok()?;
        let written = self.text.get(from..from.checked_add(len)?)?.trim();
        (!written.is_empty() && !written.contains(char::is_whitespace)).then(|| written.to_owned())
    }
}

/// What serde sees, before places are resolved.
enum Raw {
    Null,
    Text(String),
    /// A number or boolean, as Rust shows it.
    Typed(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        let mut nodes = parse(&Arc::from("t.yaml"), text).unwrap();
        assert_eq!(nodes.len(), 1);
        nodes.remove(0)
    }

    fn entries(node: &Node) -> &[Entry] {
        match &node.kind {
            Kind::Map(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    fn at(line: u64, column: u64) -> Place {
        Place::Spot { file: Arc::from("t.yaml"), line, column }
    }

    #[test]
    fn scalars_keep_the_text_as_written() {
        let node = one("a: 07\nb: 1e3\nc: yes\nd: \"x\\ty\"\ne: 0x10\nf: 16MiB\ng: -5\nh: 1.50\ni: '12'\n");
        let texts: Vec<_> = entries(&node).iter().map(|e| e.value.kind.clone()).collect();
        let expected = ["07", "1e3", "yes", "x\ty", "0x10", "16MiB", "-5", "1.50", "12"];
        assert_eq!(texts, expected.map(|t| Kind::Scalar(t.into())));
    }

    #[test]
    fn scalars_after_wide_characters_and_through_aliases_keep_their_text() {
        let node = one("ä: &x 007\nb: *x\n# ü€𝄞\nc: {ö: 0010}\n");
        let entries_ = entries(&node);
        assert_eq!(entries_[0].value.kind, Kind::Scalar("007".into()));
        assert_eq!(entries_[1].value.kind, Kind::Scalar("007".into()));
        assert_eq!(entries(&entries_[2].value)[0].value.kind, Kind::Scalar("0010".into()));
    }

    #[test]
    fn keys_and_values_know_their_place() {
        let node = one("a:\n  b: 1\nc: [x, y]\n");
        let a = &entries(&node)[0];
        assert_eq!(a.place, at(1, 1));
        let b = &entries(&a.value)[0];
        assert_eq!((&b.place, &b.value.place), (&at(2, 3), &at(2, 6)));
        let Kind::List(items) = &entries(&node)[1].value.kind else { panic!() };
        assert_eq!(items[1].place, at(3, 8));
    }

    #[test]
    fn documents_are_separate_and_empty_ones_are_skipped() {
        let nodes = parse(&Arc::from("t.yaml"), "a: 1\n---\n---\nb: 2\n").unwrap();
        assert_eq!(nodes.len(), 2);
        assert!(parse(&Arc::from("t.yaml"), "").unwrap().is_empty());
        assert!(parse(&Arc::from("t.yaml"), "# only a comment\n").unwrap().is_empty());
    }

    #[test]
    fn null_spellings_are_null() {
        let node = one("a:\nb: ~\nc: null\nd: ''\n");
        let nulls: Vec<_> = entries(&node).iter().map(|e| e.value.is_null()).collect();
        assert_eq!(nulls, [true, true, true, false]);
    }

    #[test]
    fn errors_have_a_place_in_front_and_none_behind() {
        let problem = parse(&Arc::from("t.yaml"), "a: [1, 2\nb: 3\n").unwrap_err();
        assert!(matches!(problem.place, Place::Spot { .. }), "{problem:?}");
        assert!(!problem.what.contains("at line"), "{problem}");
        let twice = parse(&Arc::from("t.yaml"), "a: 1\na: 2\n").unwrap_err();
        assert_eq!(twice.place, at(2, 1), "{twice}");
        let stdout = parse(&Arc::from("t.yaml"), "d:\n- endpoint: stdout:\n").unwrap_err();
        assert!(stdout.accepted.contains("in quotes"), "{stdout}");
    }

    #[test]
    fn a_small_file_cannot_unfold_into_a_large_tree() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&Arc::from("t.yaml"), &deep).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let refs = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb += &format!("a{i}: &a{i} [{refs}]\n");
        }
        assert!(parse(&Arc::from("t.yaml"), &bomb).is_err());
    }
}
