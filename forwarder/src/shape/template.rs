//! Values of fields that are added: text with what the record has in it.

use super::draft::Draft;
use super::subject::{OfDraft, Subject, Whose};
use crate::record::Span;

/// Text with holes for values of the record; what the machine says of itself was put in already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// What the record has under a name; nothing where it has nothing.
    Field(String),
}

impl Template {
    /// Writes it beside the record: where it lies, and whether it is JSON. A template that is nothing but one field is that
    /// field's value, number or object as it may be. `None` where there is no room.
    pub(super) fn make(&self, draft: &mut Draft, whose: &Whose, scratch: &mut Vec<u8>) -> Option<(Span, bool)> {
        if let [Piece::Text(text)] = &*self.0 {
            return draft.make(|made| made.extend_from_slice(text.as_bytes())).map(|span| (span, false));
        }
        scratch.clear();
        let mut is_json = false;
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => scratch.extend_from_slice(text.as_bytes()),
                Piece::Field(name) => {
                    let subject = OfDraft { draft, whose };
                    let Some(value) = subject.value(name) else { continue };
                    is_json = value.is_json() && self.0.len() == 1;
                    scratch.extend_from_slice(value.to_text());
                }
            }
        }
        let span = draft.make(|made| made.extend_from_slice(scratch))?;
        Some((span, is_json))
    }
}
