//! Values that only `process`, `routes` and `tests` have.

use crate::config::error::Problems;
use crate::config::value::{Located, Scalar, Value, words};
use crate::config::yaml::{Kind, Node};
use crate::shape::Glob;
use crate::shape::spec::{Preset, Type};

words! {
    /// What a value is parsed as.
    pub enum ShapeParse {
        Json = "json",
        Logfmt = "logfmt",
        Talos = "talos",
        Detect = "detect",
        Klog = "klog",
        Kata = "kata",
        Syslog = "syslog",
        Regex = "regex",
    }
}

words! {
    /// What is redacted without a pattern of one's own.
    pub enum PresetChoice {
        Tokens = "tokens",
        Email = "email",
        Cards = "cards",
    }
}

words! {
    /// What a value becomes.
    pub enum TypeChoice {
        Int = "int",
        Float = "float",
        Bool = "bool",
        Text = "string",
    }
}

impl From<PresetChoice> for Preset {
    fn from(choice: PresetChoice) -> Self {
        match choice {
            PresetChoice::Tokens => Self::Tokens,
            PresetChoice::Email => Self::Email,
            PresetChoice::Cards => Self::Cards,
        }
    }
}

impl From<TypeChoice> for Type {
    fn from(choice: TypeChoice) -> Self {
        match choice {
            TypeChoice::Int => Self::Int,
            TypeChoice::Float => Self::Float,
            TypeChoice::Bool => Self::Bool,
            TypeChoice::Text => Self::Text,
        }
    }
}

/// Names and texts that are not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// Bytes of a name or text.
const LONGEST: usize = 1024;

impl Scalar for Text {
    fn accepted() -> String {
        format!("1 to {LONGEST} bytes of text")
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.len() {
            0 => Err("is empty".into()),
            len if len > LONGEST => Err(format!("has {len} bytes")),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// A number of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Scalar for Count {
    fn accepted() -> String {
        "a number, 1 to 1000000000".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if (1..=1_000_000_000).contains(&count) => Ok(Self(count)),
            _ => Err(format!("`{text}` is no such number")),
        }
    }
}

/// A pattern of names of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern(pub Glob);

impl Scalar for KeyPattern {
    fn accepted() -> String {
        "the name of a field; * stands for any characters, ? for one".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Text::parse(text).map(|Text(text)| Self(Glob::new(text)))
    }
}

/// The entries of a mapping from names to scalars, in their order.
fn pairs<T: Scalar>(
    node: &Node,
    key: &str,
    accepted: &str,
    problems: &mut Problems,
) -> Option<Vec<(String, Located<T>)>> {
    let Kind::Map(entries) = &node.kind else {
        problems.add(&node.place, key, format!("is {}", node.noun()), accepted);
        return None;
    };
    let mut pairs = Vec::new();
    for entry in entries {
        let path = format!("{key}.{}", entry.key);
        if let Err(what) = Text::parse(&entry.key) {
            problems.add(&entry.place, key, format!("has a name that {what}"), accepted);
        }
        let value: Option<Located<T>> = Value::read(&entry.value, &path, problems);
        pairs.extend(value.map(|value| (entry.key.clone(), value)));
    }
    if entries.is_empty() {
        problems.add(&node.place, key, "is empty", accepted);
    }
    Some(pairs)
}

macro_rules! mapping {
    ($(#[$meta:meta])* $name:ident of $value:ty, $accepted:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name(pub Vec<(String, Located<$value>)>);

        impl Value for $name {
            fn accepted() -> String {
                $accepted.into()
            }

            fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self> {
                pairs(node, key, $accepted, problems).map(Self)
            }
        }
    };
}

mapping!(
    /// Fields that are added.
    Templates of Content,
    "a mapping from names to text, as { cluster: eu-1, node: \"${hostname}\" }"
);
mapping!(
    /// Old and new names.
    Names of Text,
    "a mapping from names to names, as { log: message }"
);
mapping!(
    /// Types by name.
    Conversions of TypeChoice,
    "a mapping from names to `int`, `float`, `bool` or `string`, as { pid: int }"
);

/// Text that may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(pub String);

impl Scalar for Content {
    fn accepted() -> String {
        "text".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}
