//! Structured data of RFC 5424: `[ID NAME="VALUE" NAME="VALUE"][ID]`.
//!
//! In a value, `\"`, `\\` and `\]` are escapes; any other backslash is one. A parameter is the field `sd.ID.NAME`, an
//! element without parameters the field `sd.ID`, which is `true`. What comes again becomes an array.

use memchr::memchr2;

use crate::parse::fields::Fields;
use crate::record::Span;

/// Beyond these it is text: a record carries fewer than 65,536 fields.
const MAX_PARAMETERS: usize = 60_000;

/// A parameter's value: where it is in the line, and whether it has escapes.
type Value = (Span, bool);

/// Puts the parameters of the structured data that begins at `at`; where it ends. Nothing, and no field, where it is none.
pub(super) fn read(line: &[u8], at: usize, fields: &mut Fields) -> Option<usize> {
    // Two turns: what was put can't be taken back.
    let mut count = 0;
    let end = walk(line, at, &mut |_, _, _| count += 1)?;
    if count > MAX_PARAMETERS {
        return None;
    }
    walk(line, at, &mut |id, name, value| put(line, fields, id, name, value));
    Some(end)
}

/// Calls `each` with the parts of every parameter.
fn walk(line: &[u8], mut at: usize, each: &mut dyn FnMut(Span, Span, Option<Value>)) -> Option<usize> {
    loop {
        (line.get(at) == Some(&b'[')).then_some(())?;
        at += 1;
        let id = name(line, &mut at)?;
        if line.get(at) == Some(&b']') {
            each(id, Span::default(), None);
        }
        while line.get(at) != Some(&b']') {
            let spaces = line[at..].iter().take_while(|byte| **byte == b' ').count();
            (spaces > 0).then_some(())?;
            at += spaces;
            if line.get(at) == Some(&b']') {
                break;
            }
            let name = name(line, &mut at)?;
            line.get(at..at + 2).filter(|two| *two == b"=\"")?;
            at += 2;
            each(id, name, Some(value(line, &mut at)?));
        }
        at += 1;
        match line.get(at) {
            Some(b'[') => {}
            None | Some(b' ') => return Some(at),
            // A word in brackets, more likely.
            Some(_) => return None,
        }
    }
}

/// The name that begins at `at`, which is then behind it.
fn name(line: &[u8], at: &mut usize) -> Option<Span> {
    let from = *at;
    let is_end = |byte: &u8| matches!(*byte, 0..=b' ' | b'=' | b']' | b'"' | 0x7f..);
    let len = line[from..].iter().position(is_end)?;
    *at += len;
    (len > 0).then(|| Span::new(from, len))
}

/// The value whose opening quote is before `at`, which is then behind the closing one.
fn value(line: &[u8], at: &mut usize) -> Option<Value> {
    let from = *at;
    let mut escaped = false;
    loop {
        let found = *at + memchr2(b'"', b'\\', line.get(*at..)?)?;
        if line[found] == b'"' {
            *at = found + 1;
            return Some((Span::new(from, found - from), escaped));
        }
        escaped = true;
        // The byte behind it is no end, also where it needs no escape.
        *at = found + 2;
    }
}

fn put(line: &[u8], fields: &mut Fields, id: Span, name: Span, value: Option<Value>) {
    let text = |span: Span| &line[span.start as usize..(span.start + span.len) as usize];
    let key = fields.beside(|more| {
        more.extend_from_slice(b"sd.");
        more.extend_from_slice(text(id));
        if value.is_some() {
            more.push(b'.');
            more.extend_from_slice(text(name));
        }
    });
    match value {
        None => {
            let value = fields.beside(|more| more.extend_from_slice(b"true"));
            fields.put(key, value, true);
        }
        Some((value, false)) => fields.put(key, value, false),
        Some((value, true)) => {
            let value = fields.beside(|more| unescape(text(value), more));
            fields.put(key, value, false);
        }
    }
}

fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', text) {
        out.extend_from_slice(&text[..at]);
        text = &text[at + 1..];
        match text.first() {
            Some(b'"' | b'\\' | b']') => {
                out.push(text[0]);
                text = &text[1..];
            }
            _ => out.push(b'\\'),
        }
    }
    out.extend_from_slice(text);
}
