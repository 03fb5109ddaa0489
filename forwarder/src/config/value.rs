//! How a [`Node`] becomes a value of the schema, and how a later value is laid over an earlier one.
//!
//! A [`Scalar`] is read from text, so that a flag and a key in a file take the same forms and fail with the same words.
//! Lists, tags and documents (`document.rs`) are built from those. Reading goes on after a problem.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::document::Field;
use super::error::{Place, Problems};
use super::units::{Bytes, Period};
use super::yaml::{Kind, Node};
use crate::config::endpoint::{Endpoint, ListenEndpoint};
use crate::source::container::NamePattern;
use crate::source::file::Glob;

/// Something a key can hold.
pub trait Value: Sized {
    /// What a key of this type accepts, on one line.
    fn accepted() -> String;

    /// The value of `node`, or nothing after having added to `problems`. `key` is the node's full path.
    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self>;

    /// Takes over what `later` says: a scalar is replaced, a list grows, a document is overlaid key by key.
    fn overlay(&mut self, later: Self) {
        *self = later;
    }

    /// The keys below this one, for the reference.
    fn fields() -> Vec<Field> {
        Vec::new()
    }

    /// Whether the key holds a list of what it describes.
    const LIST: bool = false;
}

/// A value that is written as one piece of text.
pub trait Scalar: Sized {
    fn accepted() -> String;

    /// # Errors
    /// What is wrong with `text`, quoting it, without what is accepted.
    fn parse(text: &str) -> Result<Self, String>;
}

impl<T: Scalar> Value for T {
    fn accepted() -> String {
        T::accepted()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Scalar(text) = &node.kind else {
            problems.add(&node.place, key, format!("is {}", node.noun()), T::accepted());
            return None;
        };
        T::parse(text).map_err(|what| problems.add(&node.place, key, what, T::accepted())).ok()
    }
}

/// A value, where it was written, and under which key (its full path; empty for a default).
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    pub value: T,
    pub place: Place,
    pub key: String,
}

impl<T> Located<T> {
    pub fn default_of(value: T) -> Located<T> {
        Located { value, place: Place::Default, key: String::new() }
    }

    /// Another value at the same place.
    pub fn with<U>(&self, value: U) -> Located<U> {
        Located { value, place: self.place.clone(), key: self.key.clone() }
    }
}

impl<T: Value> Value for Located<T> {
    fn accepted() -> String {
        T::accepted()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        let value = T::read(node, key, problems)?;
        Some(Located { value, place: node.place.clone(), key: key.to_owned() })
    }

    fn overlay(&mut self, later: Self) {
        self.value.overlay(later.value);
        self.place = later.place;
        self.key = later.key;
    }

    fn fields() -> Vec<Field> {
        T::fields()
    }

    const LIST: bool = T::LIST;
}

impl<T: Value> Value for Vec<T> {
    fn accepted() -> String {
        format!("a list, each item {}", T::accepted())
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            problems.add(&node.place, key, format!("is {}", node.noun()), Self::accepted());
            return None;
        };
        let read = |(i, item)| T::read(item, &format!("{key}[{i}]"), problems);
        // What can't be read has been reported; the others are kept so that they are checked too.
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    fn overlay(&mut self, later: Self) {
        self.extend(later);
    }

    fn fields() -> Vec<Field> {
        T::fields()
    }

    const LIST: bool = true;
}

/// `extraTags`: what is added to every record of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    pub const ACCEPTED: &str = "a mapping from tag to text, as { server: s03-rack07 }";
}

impl Value for Tags {
    fn accepted() -> String {
        Self::ACCEPTED.into()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            problems.add(&node.place, key, format!("is {}", node.noun()), Self::ACCEPTED);
            return None;
        };
        let mut tags = Tags::default();
        for entry in entries {
            if entry.key.is_empty() {
                problems.add(&entry.place, key, "holds a tag without a name", Self::ACCEPTED);
            }
            match &entry.value.kind {
                Kind::Scalar(text) => drop(tags.0.insert(entry.key.clone(), text.clone())),
                Kind::Null => drop(tags.0.insert(entry.key.clone(), String::new())),
                _ => {
                    let what = format!("is {}", entry.value.noun());
                    problems.add(&entry.value.place, &format!("{key}.{}", entry.key), what, "text");
                }
            }
        }
        Some(tags)
    }

    fn overlay(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// `auto`, or a value that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    Auto,
    Given(T),
}

impl<T: Scalar> Scalar for Auto<T> {
    fn accepted() -> String {
        format!("`auto`, or {}", T::accepted())
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Auto::Auto) } else { T::parse(text).map(Auto::Given) }
    }
}

/// `unlimited`, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Unlimited,
    AtMost(u64),
}

impl Scalar for Limit {
    fn accepted() -> String {
        "`unlimited`, or a number".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Limit::Unlimited);
        }
        text.parse().map(Limit::AtMost).map_err(|_| format!("`{text}` is not a number"))
    }
}

impl Scalar for bool {
    fn accepted() -> String {
        "`true` or `false`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // What YAML calls true and false differs between its versions; two words are enough.
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("`{text}` is neither true nor false")),
        }
    }
}

impl Scalar for Bytes {
    fn accepted() -> String {
        Bytes::ACCEPTED.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Bytes::parse(text)
    }
}

impl Scalar for Period {
    fn accepted() -> String {
        Period::ACCEPTED.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Period::parse(text)
    }
}

impl Scalar for Endpoint {
    fn accepted() -> String {
        Endpoint::ACCEPTED.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Endpoint::parse(text).map_err(|error| error.to_string())
    }
}

impl Scalar for ListenEndpoint {
    fn accepted() -> String {
        ListenEndpoint::ACCEPTED.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        ListenEndpoint::parse(text).map_err(|error| error.to_string())
    }
}

/// A number of things.
impl Scalar for u32 {
    fn accepted() -> String {
        "a number".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is not a number"))
    }
}

/// A file or directory, absolute.
impl Scalar for PathBuf {
    fn accepted() -> String {
        "an absolute path".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') && !text.contains('\0') {
            Ok(PathBuf::from(text))
        } else {
            Err(format!("`{text}` is not an absolute path"))
        }
    }
}

impl Scalar for Glob {
    fn accepted() -> String {
        Glob::ACCEPTED.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Glob::parse(text)
    }
}

impl Scalar for NamePattern {
    fn accepted() -> String {
        NamePattern::ACCEPTED.into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        NamePattern::parse(text)
    }
}

/// The mode of a file, without what is no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl Scalar for Permissions {
    fn accepted() -> String {
        "permissions in octal, as 0666".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Permissions(mode)),
            _ => Err(format!("`{text}` is no mode")),
        }
    }
}

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(pub u32);

impl Scalar for Pid {
    fn accepted() -> String {
        "a process id, as 4711".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            // The kernel's own limit, PID_MAX_LIMIT.
            Ok(pid) if (1..=4 * 1024 * 1024).contains(&pid) => Ok(Pid(pid)),
            _ => Err(format!("`{text}` is not a process id")),
        }
    }
}

/// A cgroup, as a path below its hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(pub String);

impl Scalar for Cgroup {
    fn accepted() -> String {
        "a cgroup as /proc/PID/cgroup shows it, as /system.slice/cron.service, or its directory in /sys/fs/cgroup"
            .into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.contains('\0') || text.split('/').any(|part| part == "..") {
            return Err(format!("`{text}` is not the path of a cgroup"));
        }
        Ok(Cgroup(text.trim_end_matches('/').to_owned()))
    }
}

/// A systemd unit; a bare name is a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit(pub String);

impl Scalar for Unit {
    fn accepted() -> String {
        "a systemd unit, as cron.service (`.service` may be left out)".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // systemd.unit(5): what a unit's name may hold, and its length.
        let valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        if text.is_empty() || text.len() > 240 || !text.chars().all(valid) {
            return Err(format!("`{text}` is not the name of a unit"));
        }
        Ok(Unit(if text.contains('.') { text.to_owned() } else { format!("{text}.service") }))
    }
}

/// A destination's name: it becomes a directory and a checkpoint's key, so it must be short and printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub String);

impl Name {
    /// A directory's name has at most 255 bytes, and one byte of the name may take three there.
    pub const MAX_BYTES: usize = 80;
}

impl Scalar for Name {
    fn accepted() -> String {
        "1 to 80 bytes of text without control characters, not starting with `(`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        if text.len() > Name::MAX_BYTES {
            return Err(format!("has {} bytes", text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{text:?} holds a control character"));
        }
        // The checkpoints keep names of their own under such keys.
        if text.starts_with('(') {
            return Err(format!("`{text}` starts with `(`"));
        }
        Ok(Name(text.to_owned()))
    }
}

/// A closed set of words. Defines the enum, its text form, and the [`Scalar`] that reads it with a suggestion.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vmeta])* $variant),* }

        impl $name {
            pub const WORDS: &[&str] = &[$($word),*];

            /// The word that stands for it in a configuration.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::config::value::Scalar for $name {
            fn accepted() -> String {
                $crate::config::suggest::list(Self::WORDS)
            }

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!("`{text}` is unknown{}", $crate::config::suggest::did_you_mean(text, Self::WORDS))),
                }
            }
        }
    };
}
pub(crate) use words;
