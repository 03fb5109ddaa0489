//! A value that a record has under a name.

use std::borrow::Cow;

/// Text, or JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, [u8]>),
    Json(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// As it is compared, searched and put into templates.
    pub(super) fn to_text(&self) -> &Cow<'a, [u8]> {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }
}
