//! A document of the schema: a mapping with known keys.
//!
//! [`document!`] makes, from one description, the raw struct, its reader (unknown keys are problems, with a
//! suggestion), the overlay of a later document, and the rows of the reference page. A key's doc comment is its user
//! documentation, and the default that the page shows is the text that is parsed when the key is absent: neither can
//! be out of date.

use super::error::Problems;
use super::suggest;
use super::yaml::{Entry, Kind, Node};

/// A key of a document, as the reference shows it.
#[derive(Clone, Debug)]
pub struct Field {
    pub key: &'static str,
    /// The doc comment, a line each.
    pub doc: &'static [&'static str],
    /// What it accepts; of a document, nothing.
    pub accepted: String,
    pub default: Fallback,
    /// The keys below it; empty unless it holds a document or a list of them.
    pub fields: Vec<Field>,
    pub list: bool,
}

/// What holds where a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text is parsed.
    Text(&'static str),
    /// Said in words, as "the endpoint", or "required".
    Words(&'static str),
}

/// The entries of a mapping, after unknown keys were reported.
pub(crate) fn entries<'n>(
    node: &'n Node,
    path: &str,
    known: &[&'static str],
    problems: &mut Problems,
) -> Option<Vec<&'n Entry>> {
    let Kind::Map(entries) = &node.kind else {
        let accepted = format!("a mapping with the keys {}", suggest::list(known));
        problems.add(&node.place, path, format!("is {}", node.noun()), accepted);
        return None;
    };
    let (ours, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| known.contains(&entry.key.as_str()));
    for entry in others {
        let shown = suggest::abbreviate(&entry.key);
        let what = format!("unknown key{}", suggest::did_you_mean(&entry.key, known));
        problems.add(&entry.place, &join(path, &shown), what, suggest::list(known));
    }
    Some(ours)
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Describes a document. After a key's type stands `= "text"` (the default, parsed when the key is absent; makes a
/// method of the key's name that gives the value), or `=> "words"` (the default is not a constant), or
/// nothing (the key holds a document, which has its own defaults). `as "name"` where the key is not the field's name.
macro_rules! document {
    (
        $(#[doc = $doc:expr])*
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:expr])*
                $field:ident $(as $key:literal)? : $ty:ty $(= $text:literal)? $(=> $words:literal)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: Option<$crate::config::value::Located<$ty>>,)*
        }

        impl $name {
            pub const KEYS: &[&str] = &[$($crate::config::document::key!($field $($key)?)),*];

            $($crate::config::document::getter!($field, $ty $(, $text)?);)*
        }

        impl $crate::config::value::Value for $name {
            fn accepted() -> String {
                format!("a mapping with the keys {}", $crate::config::suggest::list(Self::KEYS))
            }

            fn read(
                node: &$crate::config::yaml::Node,
                path: &str,
                problems: &mut $crate::config::error::Problems,
            ) -> Option<Self> {
                use $crate::config::document;
                let mut read = Self::default();
                for entry in document::entries(node, path, Self::KEYS, problems)? {
                    if entry.value.is_null() {
                        continue;
                    }
                    let path = document::join(path, &entry.key);
                    match entry.key.as_str() {
                        $(document::key!($field $($key)?) => {
                            read.$field = $crate::config::value::Value::read(&entry.value, &path, problems);
                        })*
                        // Unknown keys were reported above.
                        _ => {}
                    }
                }
                Some(read)
            }

            fn overlay(&mut self, later: Self) {
                $(match (&mut self.$field, later.$field) {
                    (Some(earlier), Some(later)) => $crate::config::value::Value::overlay(earlier, later),
                    (earlier, later @ Some(_)) => *earlier = later,
                    (_, None) => {}
                })*
            }

            fn fields() -> Vec<$crate::config::document::Field> {
                vec![$({
                    let fields = <$ty as $crate::config::value::Value>::fields();
                    $crate::config::document::Field {
                        key: $crate::config::document::key!($field $($key)?),
                        doc: &[$($field_doc),*],
                        accepted: <$ty as $crate::config::value::Value>::accepted(),
                        default: $crate::config::document::fallback!($($text)? $(=> $words)?),
                        fields,
                        list: <$ty as $crate::config::value::Value>::LIST,
                    }
                }),*]
            }
        }
    };
}

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

macro_rules! getter {
    ($field:ident, $ty:ty) => {};
    ($field:ident, $ty:ty, $text:literal) => {
        /// What was given, else the default.
        pub fn $field(&self) -> $crate::config::value::Located<$ty> {
            self.$field.clone().unwrap_or_else(|| {
                let default = <$ty as $crate::config::value::Scalar>::parse($text);
                $crate::config::value::Located::default_of(default.expect("a test parses every default of the schema"))
            })
        }
    };
}

macro_rules! fallback {
    () => {
        $crate::config::document::Fallback::Words("")
    };
    ($text:literal) => {
        $crate::config::document::Fallback::Text($text)
    };
    (=> $words:literal) => {
        $crate::config::document::Fallback::Words($words)
    };
}

pub(crate) use {document, fallback, getter, key};
