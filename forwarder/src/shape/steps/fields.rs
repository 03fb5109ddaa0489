//! Steps that add, take away and rename fields.

use super::Context;
use crate::record::Span;
use crate::shape::draft::Draft;
use crate::shape::glob::Glob;
use crate::shape::nested::{self, Look};
use crate::shape::subject::{MSG, OfDraft, Subject};
use crate::shape::template::Template;

/// Sets fields to text with values of the record in it.
pub(super) fn add(fields: &[(String, Template)], draft: &mut Draft, context: &mut Context<'_>) {
    for (key, template) in fields {
        let made = template.make(draft, context.whose, context.scratch);
        if !made.is_some_and(|(value, is_json)| put(key, value, is_json, draft)) {
            *context.failed += 1;
        }
    }
}

/// Sets a field, or the record's text; whether there was room.
fn put(key: &str, value: Span, is_json: bool, draft: &mut Draft) -> bool {
    if key != MSG {
        return draft.set(key.as_bytes(), value, is_json);
    }
    draft.set_body(value);
    draft.hide();
    true
}

/// Leaves out the fields, and members of fields, that match.
pub(super) fn remove(patterns: &[Glob], draft: &mut Draft) {
    leave_out(draft, &|path| nested::look(patterns, path));
}

/// Leaves out the fields that don't match, nor have members that may.
pub(super) fn keep(patterns: &[Glob], draft: &mut Draft) {
    leave_out(draft, &|path| {
        if patterns.iter().any(|pattern| pattern.matches(path)) {
            Look::Keep
        } else if patterns.iter().any(|pattern| pattern.may_match_below(path)) {
            Look::Inside
        } else {
            Look::Remove
        }
    });
}

fn leave_out(draft: &mut Draft, look: &dyn Fn(&[u8]) -> Look) {
    let mut kept = 0;
    for index in 0..draft.fields.len() {
        let mut field = draft.fields[index];
        match look(draft.bytes(field.key)) {
            Look::Remove => {
                draft.hide();
                continue;
            }
            Look::Inside if field.is_json => {
                let mut path = draft.bytes(field.key).to_vec();
                let inside = nested::without(draft.bytes(field.value), &mut path, look);
                // It is shorter than what it was made from: there is room for it.
                if let Some(value) = inside.and_then(|inside| draft.make(|made| made.extend_from_slice(&inside))) {
                    field.value = value;
                    draft.hide();
                }
            }
            Look::Keep | Look::Inside => {}
        }
        draft.fields[kept] = field;
        kept += 1;
    }
    draft.fields.truncate(kept);
}

/// Gives fields other names. What the new name stood for is replaced; `msg` is the record's text.
pub(super) fn rename(names: &[(String, String)], draft: &mut Draft, context: &mut Context<'_>) {
    for (from, to) in names {
        if from == MSG {
            let body = draft.body;
            if draft.set(to.as_bytes(), body, false) {
                draft.set_body(Span { start: body.start, len: 0 });
            } else {
                *context.failed += 1;
            }
            continue;
        }
        let Some(index) = draft.find(from.as_bytes()) else {
            rename_member(from, to, draft, context);
            continue;
        };
        let field = draft.fields[index];
        if to == MSG {
            draft.fields.remove(index);
            draft.set_body(field.value);
            draft.hide();
            continue;
        }
        let Some(key) = draft.make(|made| made.extend_from_slice(to.as_bytes())) else {
            *context.failed += 1;
            continue;
        };
        // In its place, so that nothing has to move; the name's earlier owners go.
        if let Some(other) = draft.find(to.as_bytes()).filter(|other| *other != index) {
            draft.fields[other].value = field.value;
            draft.fields[other].is_json = field.is_json;
            draft.fields.remove(index);
            draft.hide();
        } else {
            draft.rename(index, key);
        }
    }
}

/// A member of an object becomes a field.
fn rename_member(from: &str, to: &str, draft: &mut Draft, context: &mut Context<'_>) {
    let subject = OfDraft { draft, whose: context.whose };
    if subject.inside(from.as_bytes()).is_none() {
        return;
    }
    copy_one(from, to, draft, context);
    remove(&[Glob::new(from)], draft);
}

/// Sets fields to values that others have.
pub(super) fn copy(names: &[(String, String)], draft: &mut Draft, context: &mut Context<'_>) {
    for (from, to) in names {
        copy_one(from, to, draft, context);
    }
}

fn copy_one(from: &str, to: &str, draft: &mut Draft, context: &mut Context<'_>) {
    let done = if from == MSG {
        let body = draft.body;
        put(to, body, false, draft)
    } else if let Some(index) = draft.find(from.as_bytes()) {
        let field = draft.fields[index];
        put(to, field.value, field.is_json, draft)
    } else {
        let subject = OfDraft { draft, whose: context.whose };
        let Some(value) = subject.value(from) else { return };
        let is_json = value.is_json();
        context.scratch.clear();
        context.scratch.extend_from_slice(value.to_text());
        let scratch = &*context.scratch;
        let made = draft.make(|made| made.extend_from_slice(scratch));
        made.is_some_and(|value| put(to, value, is_json, draft))
    };
    *context.failed += u64::from(!done);
}

/// Puts something before the names of all fields.
pub(super) fn prefix(text: &str, draft: &mut Draft, context: &mut Context<'_>) {
    let Some(text) = draft.make(|made| made.extend_from_slice(text.as_bytes())) else {
        *context.failed += 1;
        return;
    };
    for index in 0..draft.fields.len() {
        let key = draft.fields[index].key;
        match draft.make_from(&[text, key]) {
            Some(key) => draft.rename(index, key),
            None => *context.failed += 1,
        }
    }
}
