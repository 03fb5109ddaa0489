//! Makes numbers, truth values and texts of fields.
//!
//! What can't be converted stays as it is, and the record is marked with the field's name: `"unconverted":"pid"`.

use super::Context;
use crate::parse::json::JsonParser;
use crate::shape::draft::Draft;
use crate::shape::glob::Glob;
use crate::shape::spec::Type;

/// The mark of what can't be converted.
const UNCONVERTED: &str = "unconverted";
/// No number is longer.
const LONGEST_NUMBER: usize = 400;

pub(super) fn convert(types: &[(Glob, Type)], draft: &mut Draft, context: &mut Context<'_>) {
    let fields = draft.fields.len();
    for index in 0..fields {
        let field = draft.fields[index];
        let key = draft.bytes(field.key);
        let Some((_, wanted)) = types.iter().find(|(glob, _)| glob.matches(key)) else { continue };
        let value = draft.bytes(field.value);
        match converted(*wanted, value, field.is_json) {
            Some(None) => {}
            Some(Some((bytes, is_json))) => {
                if let Some(value) = draft.make(|made| made.extend_from_slice(&bytes)) {
                    (draft.fields[index].value, draft.fields[index].is_json) = (value, is_json);
                    draft.changed = true;
                }
            }
            None => {
                *context.failed += 1;
                let name = String::from_utf8_lossy(draft.bytes(field.key)).into_owned();
                draft.mark(UNCONVERTED, &name);
            }
        }
    }
}

/// What a value becomes, and whether that is JSON; nothing inside where it is that already.
#[expect(clippy::option_option, reason = "can't be converted, need not be, is")]
fn converted(wanted: Type, value: &[u8], is_json: bool) -> Option<Option<(Vec<u8>, bool)>> {
    let text = std::str::from_utf8(value).ok();
    match wanted {
        Type::Text if !is_json => Some(None),
        // A number as it is written; an object stays the text that it is in JSON.
        Type::Text => Some(Some((value.to_vec(), false))),
        Type::Bool => {
            let meant = match value.to_ascii_lowercase().as_slice() {
                b"true" | b"yes" | b"on" | b"1" => &b"true"[..],
                b"false" | b"no" | b"off" | b"0" => b"false",
                _ => return None,
            };
            Some(if is_json && value == meant { None } else { Some((meant.to_vec(), true)) })
        }
        Type::Int => {
            let number: i64 = text?.trim().parse().ok()?;
            let number = number.to_string().into_bytes();
            Some(if is_json && value == number { None } else { Some((number, true)) })
        }
        Type::Float => {
            let number: f64 = text.filter(|text| text.len() <= LONGEST_NUMBER)?.trim().parse().ok()?;
            if !number.is_finite() {
                return None;
            }
            let number = canonical(number)?;
            Some(if is_json && value == number { None } else { Some((number, true)) })
        }
    }
}

/// A number as a record carries it: written by the parser that reads numbers of JSON.
fn canonical(number: f64) -> Option<Vec<u8>> {
    let (mut json, object) = (JsonParser::default(), format!("{{\"n\":{number:?}}}"));
    if !json.read(object.as_bytes(), 0) {
        return None;
    }
    json.members(object.as_bytes()).next().map(|(_, value, _)| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_they_mean() {
        let to = |wanted, value: &str| {
            converted(wanted, value.as_bytes(), false)
                .map(|made| made.map(|(bytes, _)| String::from_utf8(bytes).unwrap()))
        };
        let is = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(to(Type::Int, "007"), is("7"));
        assert_eq!(to(Type::Int, " -5 "), is("-5"));
        assert_eq!(to(Type::Float, "1.50"), is("1.5"));
        assert_eq!(to(Type::Float, "1e3"), is("1000"));
        assert_eq!(to(Type::Bool, "Yes"), is("true"));
        assert_eq!(to(Type::Bool, "0"), is("false"));
        assert_eq!(to(Type::Text, "x"), Some(None));
        for (wanted, value) in [
            (Type::Int, ""),
            (Type::Int, "1.5"),
            (Type::Int, "99999999999999999999"),
            (Type::Float, "inf"),
            (Type::Float, "NaN"),
            (Type::Float, "x"),
            (Type::Bool, "2"),
        ] {
            assert_eq!(to(wanted, value), None, "{wanted:?} {value}");
        }
        assert_eq!(converted(Type::Int, b"5", true), Some(None));
        assert_eq!(converted(Type::Text, b"5", true), Some(Some((b"5".to_vec(), false))));
    }
}
