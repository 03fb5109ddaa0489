//! Pairs of which several may have one key.

use super::json::{Members, put_quoted, put_valid};
use crate::record::{FieldSpan, Span, bytes};

/// Makes one of the pairs with one key, with an array of their values: nothing is lost. The pairs are in order.
pub(super) fn join_equal(pairs: &mut Members, line: &[u8], more: &mut Vec<u8>) {
    if has_equal(pairs, line, more) {
        join(pairs, line, more);
    }
}

/// Whether several of the pairs, which are in order, have one key.
pub(super) fn has_equal(pairs: &Members, line: &[u8], more: &[u8]) -> bool {
    pairs.list.windows(2).any(|two| two[0].has_key_of(&two[1], line, more))
}

#[cold]
fn join(pairs: &mut Members, line: &[u8], more: &mut Vec<u8>) {
    let (mut kept, mut at) = (0, 0);
    while let Some(&first) = pairs.list.get(at) {
        let same = |pair: &&_| first.has_key_of(pair, line, more);
        let count = pairs.list[at..].iter().take_while(same).count();
        pairs.list[kept] = first;
        if count > 1 {
            let values = pairs.list[at..at + count].iter().map(|pair| pair.field).collect();
            let field = &mut pairs.list[kept].field;
            (field.value, field.is_json) = (array(line, more, values), true);
        }
        kept += 1;
        at += count;
    }
    pairs.list.truncate(kept);
}

/// The values of fields as one of JSON.
fn array(line: &[u8], more: &mut Vec<u8>, fields: Vec<FieldSpan>) -> Span {
    let (mut text, mut array) = (Vec::new(), vec![b'[']);
    for field in fields {
        let value = bytes(line, more, field.value);
        if field.is_json {
            array.extend_from_slice(value);
        } else {
            text.clear();
            put_valid(value, &mut text);
            put_quoted(&text, &mut array);
        }
        array.push(b',');
    }
    array.pop();
    array.push(b']');
    let start = more.len();
    more.extend_from_slice(&array);
    Span::new(line.len() + start, array.len())
}
