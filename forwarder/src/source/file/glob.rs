//! Patterns of paths.
//!
//! An absolute path in which `*` stands for any bytes of a name, `?` for one, `[a-z]` and `[!a-z]` for one of a set,
//! and `**` as a whole name for any number of folders. A `*` at the start of a name does not stand for a leading dot.
//! Names are bytes: they need not be text.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Pattern(String),
    /// `**`
    Folders,
}

impl Glob {
    /// What is accepted, on one line.
    pub const ACCEPTED: &str = "an absolute path, in which *, ?, [a-z] and ** stand for other names";

    /// # Errors
    /// What is wrong with `text`, quoting it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.contains('\0') {
            return Err(format!("`{text}` is not an absolute path"));
        }
        let mut parts = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            parts.push(match name {
                ".." => return Err(format!("`{text}` goes up by `..`")),
                "**" => Part::Folders,
                _ if name.contains(['*', '?', '[']) => {
                    if has_open_set(name.as_bytes()) {
                        return Err(format!("`{text}` has a `[` without its `]`"));
                    }
                    Part::Pattern(name.to_owned())
                }
                _ => Part::Name(name.to_owned()),
            });
        }
        match parts.last() {
            None => Err(format!("`{text}` is a folder")),
            Some(_) if text.ends_with('/') => Err(format!("`{text}` is a folder")),
            Some(Part::Folders) => Err(format!("`{text}` ends in `**`, which stands for folders")),
            Some(_) => Ok(Self { text: text.to_owned(), parts }),
        }
    }

    /// Whether `path`, absolute, is one of those that the pattern stands for.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        names(path).is_some_and(|names| matches(&self.parts, &names))
    }

    /// Whether a path below the folder `path` may match.
    pub(super) fn enters(&self, path: &Path) -> bool {
        names(path).is_some_and(|names| enters(&self.parts, &names))
    }

    /// Whether a file in the folder `path` itself may match.
    pub(super) fn has_files_in(&self, path: &Path) -> bool {
        let Some((last, folders)) = self.parts.split_last() else { return false };
        matches!(last, Part::Name(_) | Part::Pattern(_)) && names(path).is_some_and(|names| matches(folders, &names))
    }

    /// The folder below which everything that matches lies.
    pub(super) fn base(&self) -> PathBuf {
        let folders = &self.parts[..self.parts.len().saturating_sub(1)];
        let names = folders.iter().map_while(|part| match part {
            Part::Name(name) => Some(name),
            _ => None,
        });
        let mut base = PathBuf::from("/");
        base.extend(names);
        base
    }

    /// Whether it goes into folders at any depth.
    pub(super) fn is_deep(&self) -> bool {
        self.parts.contains(&Part::Folders)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn names(path: &Path) -> Option<Vec<&OsStr>> {
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return None;
    }
    components.map(|component| if let Component::Normal(name) = component { Some(name) } else { None }).collect()
}

fn matches(parts: &[Part], names: &[&OsStr]) -> bool {
    match (parts, names) {
        ([], []) => true,
        ([Part::Folders, rest @ ..], _) => {
            matches(rest, names)
                || names.split_first().is_some_and(|(first, others)| !is_hidden(first) && matches(parts, others))
        }
        ([part, parts @ ..], [name, names @ ..]) => part.matches(name) && matches(parts, names),
        _ => false,
    }
}

fn enters(parts: &[Part], names: &[&OsStr]) -> bool {
    match (parts, names) {
        ([], _) => false,
        (_, []) => true,
        ([Part::Folders, rest @ ..], [first, others @ ..]) => {
            (!is_hidden(first) && enters(parts, others)) || enters(rest, names)
        }
        ([part, parts @ ..], [name, names @ ..]) => part.matches(name) && enters(parts, names),
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

impl Part {
    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Self::Name(own) => own.as_bytes() == name.as_bytes(),
            Self::Pattern(pattern) => {
                let hides = name.as_bytes().starts_with(b".") && !pattern.starts_with('.');
                !hides && matches_name(pattern.as_bytes(), name.as_bytes())
            }
            Self::Folders => false,
        }
    }
}

/// Whether a name matches; in time proportional to the product of the lengths, however many `*` there are.
fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last `*` did not match: that `*` takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() || p < pattern.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n + 1));
                p += 1;
                continue;
            }
            Some(b'[') => {
                name.get(n).and_then(|byte| set(&pattern[p..]).filter(|(set, _)| has(set, *byte))).map(|(_, len)| len)
            }
            Some(b'?') => name.get(n).map(|_| 1),
            Some(byte) => name.get(n).filter(|other| *other == byte).map(|_| 1),
            None => None,
        };
        match (step, retry) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((star, next))) if next <= name.len() => {
                retry = Some((star, next + 1));
                (p, n) = (star + 1, next);
            }
            (None, _) => return false,
        }
    }
    true
}

/// The set that a pattern starts with, without its brackets, and its length with them.
fn set(pattern: &[u8]) -> Option<(&[u8], usize)> {
    // A `]` that comes first is one of the set.
    let first = 1 + usize::from(pattern.get(1) == Some(&b'!'));
    let end = first + 1 + memchr::memchr(b']', pattern.get(first + 1..)?)?;
    Some((&pattern[1..end], end + 1))
}

fn has(set: &[u8], byte: u8) -> bool {
    let (negated, mut set) = match set {
        [b'!', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let [first, rest @ ..] = set {
        match rest {
            [b'-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&byte);
                set = rest;
            }
            _ => {
                found |= *first == byte;
                set = rest;
            }
        }
    }
    found != negated
}

fn has_open_set(pattern: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        at += match byte {
            b'[' => match set(&pattern[at..]) {
                Some((_, len)) => len,
                None => return true,
            },
            _ => 1,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).unwrap()
    }

    #[test]
    fn what_matches() {
        for (pattern, path, expected) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/.log", false),
            ("/var/log/*.log", "/var/log/.a.log", false),
            ("/var/log/.*", "/var/log/.a", true),
            ("/var/log/*.log", "/var/log/a.log.1", false),
            ("/var/log/*.log", "/var/log/b/a.log", false),
            ("/var/log/*.log*", "/var/log/a.log.1", true),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**/*.log", "/var/log/b/c/a.log", true),
            ("/var/log/**/*.log", "/var/log/.b/a.log", false),
            ("/**/x/**/y", "/a/x/b/c/y", true),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("/a[0-9x]c", "/a7c", true),
            ("/a[!0-9]c", "/a7c", false),
            ("/a[]]c", "/a]c", true),
            ("/*a*b*", "/xxaxxbxx", true),
            ("/*a*b*", "/xxbxxaxx", false),
            ("//var/./log/x", "/var/log/x", true),
        ] {
            assert_eq!(glob(pattern).matches(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn folders_on_the_way() {
        let pods = glob("/var/log/pods/*/*/*.log");
        assert_eq!(pods.base(), Path::new("/var/log/pods"));
        assert!(pods.enters(Path::new("/")) && pods.enters(Path::new("/var/log/pods/a/b")));
        assert!(!pods.enters(Path::new("/var/log/pods/a/b/c")) && !pods.enters(Path::new("/etc")));
        assert!(pods.has_files_in(Path::new("/var/log/pods/a/b")) && !pods.has_files_in(Path::new("/var/log/pods/a")));
        let deep = glob("/l/**/x");
        assert!(deep.is_deep() && deep.enters(Path::new("/l/a/b/c")) && deep.has_files_in(Path::new("/l/a/b")));
        assert_eq!(glob("/x").base(), Path::new("/"));
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("x", "not an absolute path"),
            ("", "not an absolute path"),
            ("/", "a folder"),
            ("/a/", "a folder"),
            ("/a/**", "ends in"),
            ("/a/../b", "goes up"),
            ("/a[b", "without its"),
            ("/a\0", "not an absolute path"),
        ] {
            let error = Glob::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_a_star_matches_what_a_name_holds(name in "[^/\0]{1,20}", pattern in "[a*?!\\[\\]-]{1,12}") {
            let path = PathBuf::from("/").join(&name);
            if let Ok(glob) = Glob::parse(&format!("/{pattern}")) {
                let _ = (glob.matches(&path), glob.enters(&path));
            }
            if name != "." && name != ".." {
                let literal = Glob::parse(&format!("/{}", name.replace('[', "[[]").replace('*', "[*]").replace('?', "[?]")));
                prop_assert!(literal.unwrap().matches(&path));
                prop_assert_eq!(glob("/*").matches(&path), !name.starts_with('.'));
            }
        }
    }
}
