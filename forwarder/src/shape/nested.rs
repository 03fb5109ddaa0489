//! Looks into values that are objects: finds a member by its path, and leaves members out.
//!
//! In: canonical JSON, as records carry it. What is none is left as it is. A path is the names of the members with dots
//! between; a name may have dots itself (`app.kubernetes.io/name`). Objects are looked into to a depth of [`DEEPEST`];
//! lists are not looked into.

use std::borrow::Cow;

use super::glob::Glob;
use super::value::Value;

/// Objects within each other that are looked into.
const DEEPEST: usize = 32;

/// A member as it stands there: its name with quotes, its value.
struct Member<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Member<'a> {
    fn name(&self) -> Option<Cow<'a, [u8]>> {
        unquoted(self.name)
    }
}

/// The members of the object that `text` is; ends early where it is none.
struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Members<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        let rest = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
        Some(Self { rest })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let name_len = string_len(self.rest)?;
        let (name, rest) = self.rest.split_at(name_len);
        let rest = rest.strip_prefix(b":")?;
        let (value, rest) = rest.split_at(value_len(rest)?);
        self.rest = rest.strip_prefix(b",").unwrap_or(rest);
        Some(Member { name, value })
    }
}

/// The value at `path` below the object `text`.
pub(super) fn find<'a>(text: &'a [u8], path: &[u8]) -> Option<Value<'a>> {
    let (mut text, mut path) = (text, path);
    for _ in 0..DEEPEST {
        let mut below = None;
        for member in Members::of(text)? {
            let name = member.name()?;
            if *name == *path {
                return value_of(member.value);
            }
            if let Some(rest) = path.strip_prefix(&*name).and_then(|rest| rest.strip_prefix(b"."))
                && member.value.first() == Some(&b'{')
            {
                below = Some((member.value, rest));
            }
        }
        (text, path) = below?;
    }
    None
}

/// What a value in JSON is: text without its quotes, or JSON.
fn value_of(json: &[u8]) -> Option<Value<'_>> {
    match json.first()? {
        b'"' => unquoted(json).map(Value::Text),
        _ => Some(Value::Json(Cow::Borrowed(json))),
    }
}

/// What a string means.
fn unquoted(quoted: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inside.contains(&b'\\') {
        return Some(Cow::Borrowed(inside));
    }
    serde_json::from_slice::<String>(quoted).ok().map(|text| Cow::Owned(text.into_bytes()))
}

/// Writes the object `text` without the members whose paths are `unwanted`, where `path` leads to it. `None` where it
/// keeps all of them.
pub(super) fn without(text: &[u8], path: &mut Vec<u8>, unwanted: &dyn Fn(&[u8]) -> Look) -> Option<Vec<u8>> {
    level_without(text, path, unwanted, DEEPEST)
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Keep,
    Remove,
    /// Members below it may have to go.
    Inside,
}

fn level_without(text: &[u8], path: &mut Vec<u8>, unwanted: &dyn Fn(&[u8]) -> Look, deeper: usize) -> Option<Vec<u8>> {
    let deeper = deeper.checked_sub(1)?;
    let mut out = vec![b'{'];
    let (mut changed, mut read) = (false, 1);
    let len = path.len();
    for member in Members::of(text)? {
        read += member.name.len() + 1 + member.value.len() + 1;
        path.push(b'.');
        path.extend_from_slice(&member.name()?);
        let look = unwanted(path);
        let inside = if look == Look::Inside { level_without(member.value, path, unwanted, deeper) } else { None };
        path.truncate(len);
        changed |= look == Look::Remove || inside.is_some();
        if look != Look::Remove {
            out.extend_from_slice(member.name);
            out.push(b':');
            out.extend_from_slice(inside.as_deref().unwrap_or(member.value));
            out.push(b',');
        }
    }
    // What was not understood to its end must not lose the rest.
    if !changed || read < text.len() {
        return None;
    }
    if out.len() > 1 {
        out.pop();
    }
    out.push(b'}');
    Some(out)
}

/// How patterns look at a path.
pub(super) fn look(patterns: &[Glob], path: &[u8]) -> Look {
    if patterns.iter().any(|pattern| pattern.matches(path)) {
        Look::Remove
    } else if patterns.iter().any(|pattern| pattern.may_match_below(path)) {
        Look::Inside
    } else {
        Look::Keep
    }
}

/// Bytes of the string that `text` begins with, its quotes included.
fn string_len(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Bytes of the value that `text` begins with.
fn value_len(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0usize, 0usize);
    loop {
        match text.get(at) {
            Some(b'"') => at += string_len(&text[at..])?,
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.checked_sub(1)?;
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            Some(b',') if depth == 0 => return (at > 0).then_some(at),
            None if depth == 0 => return (at > 0).then_some(at),
            None => return None,
            Some(_) => at += 1,
        }
        if depth == 0 && matches!(text.get(at), Some(b',') | None) {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn removed(object: &Json, patterns: &[&str]) -> Json {
        let patterns: Vec<Glob> = patterns.iter().map(|pattern| Glob::new(*pattern)).collect();
        let text = serde_json::to_vec(object).unwrap();
        let out = without(&text, &mut b"a".to_vec(), &|path| look(&patterns, path));
        out.map_or_else(|| object.clone(), |out| serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn members_are_found_by_their_paths() {
        let text = br#"{"b":{"c":1,"d.e":"x\ny"},"f":[1,{"g":2}],"h":"\"","i.j":{"k":null}}"#;
        let found = |path: &str| find(text, path.as_bytes()).map(|value| value.to_text().to_vec());
        assert_eq!(found("b.c").unwrap(), b"1");
        assert_eq!(found("b.d.e").unwrap(), b"x\ny");
        assert_eq!(found("f").unwrap(), br#"[1,{"g":2}]"#);
        assert_eq!(found("h").unwrap(), b"\"");
        assert_eq!(found("i.j.k").unwrap(), b"null");
        for absent in ["", "b.", "c", "f.g", "b.c.x", "i"] {
            assert!(found(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn members_are_left_out_by_patterns() {
        let object = json!({"labels": {"app": "x", "tier": {"n": 1, "m": "}"}}, "name": "y"});
        assert_eq!(removed(&object, &["a.labels.*"]), json!({"labels": {}, "name": "y"}));
        assert_eq!(removed(&object, &["a.*.n"]), json!({"labels": {"app": "x", "tier": {"m": "}"}}, "name": "y"}));
        assert_eq!(removed(&object, &["a.name", "a.labels.app"]), json!({"labels": {"tier": {"n": 1, "m": "}"}}}));
        assert_eq!(removed(&object, &["b.*", "a.nam", "a.name.x"]), object);
    }

    #[test]
    fn what_is_no_json_and_what_is_too_deep_stays() {
        let all = [Glob::new("*.z")];
        for broken in
            ["", "{", "{}", "{\"a\"}", "{\"z\":}", "{\"z\":1", "{\"a\":1,]}", "{\"z\":1}}", "[1]", "{\"z\":1 x,}"]
        {
            let out = without(broken.as_bytes(), &mut b"a".to_vec(), &|path| look(&all, path));
            assert!(out.is_none() || broken.contains("\"z\":1"), "{broken}");
        }
        let deep = "{\"a\":".repeat(10_000) + "{\"z\":1}" + &"}".repeat(10_000);
        assert!(without(deep.as_bytes(), &mut Vec::new(), &|path| look(&all, path)).is_none());
        assert!(find(deep.as_bytes(), b"a.a.a.z").is_none());
    }

    fn tree() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<i32>().prop_map(|n| json!(n)),
            "[a-z\"\\\\é<,:{}]{0,5}".prop_map(Json::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map("[ab\"]{1,2}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    fn pruned(value: &Json, path: &str, patterns: &[Glob]) -> Json {
        let Json::Object(members) = value else { return value.clone() };
        let kept = members.iter().filter_map(|(name, value)| {
            let path = format!("{path}.{name}");
            let is_gone = patterns.iter().any(|pattern| pattern.matches(path.as_bytes()));
            (!is_gone).then(|| (name.clone(), pruned(value, &path, patterns)))
        });
        Json::Object(kept.collect())
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_a_tree_would_leave(tree in tree(), pattern in "r[.ab*]{0,6}") {
            let patterns = [Glob::new(pattern.as_str())];
            let text = serde_json::to_vec(&tree).unwrap();
            let out = without(&text, &mut b"r".to_vec(), &|path| look(&patterns, path));
            let found = out.map_or_else(|| tree.clone(), |out| serde_json::from_slice(&out).unwrap());
            prop_assert_eq!(found, pruned(&tree, "r", &patterns));
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..60), path in "[a.]{0,4}") {
            let mut object = vec![b'{'];
            object.extend_from_slice(&text);
            object.push(b'}');
            let _ = find(&object, path.as_bytes());
            let _ = without(&object, &mut Vec::new(), &|_| Look::Inside);
        }
    }
}
