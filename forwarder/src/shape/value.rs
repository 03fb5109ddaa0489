//! A value that a record has under a name.

use std::borrow::Cow;

use crate::record::Level;

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

/// The severity that a name means, in small or large letters: syslog's, Talos', logrus', slog's short ones; and syslog's
/// numbers, as journald's `PRIORITY` has them.
pub fn level_named(name: &[u8]) -> Option<Level> {
    let mut small = [0; 16];
    let small = small.get_mut(..name.len())?;
    small.copy_from_slice(name);
    small.make_ascii_lowercase();
    Some(match &*small {
        [digit @ b'0'..=b'7'] => Level::from_priority(u32::from(digit - b'0')),
        b"emerg" | b"emergency" => Level::Emerg,
        b"alert" => Level::Alert,
        b"crit" | b"critical" | b"fatal" | b"panic" | b"dpanic" => Level::Crit,
        b"err" | b"error" | b"erro" => Level::Err,
        b"warn" | b"warning" => Level::Warning,
        b"notice" => Level::Notice,
        b"info" | b"information" => Level::Info,
        b"debug" | b"debg" | b"trace" | b"trce" => Level::Debug,
        _ => return None,
    })
}
