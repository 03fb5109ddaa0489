//! What the last lines of a format looked like: where one has the keys of one before, in their order, only its values are
//! read.
//!
//! Programs print a few kinds of lines again and again. What stands between the values of such a line is compared as it
//! is, and with it everything is known that there is to find out about keys: where they are, how they are sorted, which
//! of two equal ones counts.
//!
//! Which values a line may have so that it can be read this way, its format says ([`Values`]); every other line is read from
//! the beginning. Limits: [`KEPT`] layouts, each of at most [`MOST_MEMBERS`] members and [`MOST_BYTES`] bytes between the
//! values.

use super::json::{Member, Members};
use crate::record::{FieldSpan, Span};

/// Layouts that are kept. Each costs a line that has none of them a comparison.
const KEPT: usize = 4;
const MOST_MEMBERS: usize = 32;
const MOST_BYTES: usize = 1024;

/// A line of some format, of which values are read.
pub(super) trait Values {
    /// What is known of a value from the line that was remembered.
    type Kind: Copy;

    fn text(&self) -> &[u8];

    /// What a line like this one is to have in this place; `None` where such a value is not read this way.
    fn kind(&self, field: &FieldSpan) -> Option<Self::Kind>;

    /// Where the value ends that begins at `start`, if it is one of this kind.
    fn end(&self, kind: Self::Kind, start: usize) -> Option<usize>;

    /// Whether a value is JSON and not text.
    fn is_json(&self, kind: Self::Kind, value: Span) -> bool;
}

pub(super) struct Layouts<K> {
    kept: Vec<Layout<K>>,
    /// The one that was right last.
    latest: usize,
    /// The one that goes next.
    oldest: usize,
    /// The values of the line at hand, in its order.
    values: [Span; MOST_MEMBERS],
    /// Numbers of members, needed while a layout is made.
    order: Vec<usize>,
}

impl<K> Default for Layouts<K> {
    fn default() -> Self {
        Self { kept: Vec::new(), latest: 0, oldest: 0, values: Default::default(), order: Vec::new() }
    }
}

struct Layout<K> {
    /// What is before, between and behind the values.
    text: Vec<u8>,
    /// In the order of the line.
    values: Vec<Value<K>>,
    /// As they are sorted.
    members: Vec<Known>,
}

struct Value<K> {
    /// What stands before it ends there in [`Layout::text`].
    until: usize,
    kind: K,
}

/// What is known of a member.
struct Known {
    /// Number of its value in the order of the line.
    value: usize,
    /// From the key's begin to the value's.
    before: u32,
    key_len: u32,
    prefix: u64,
}

impl<K: Copy> Layouts<K> {
    /// Reads what begins at `at`, if it is like one of those before and ends the text.
    #[inline]
    pub(super) fn read(&mut self, line: &impl Values<Kind = K>, at: usize, members: &mut Members) -> bool {
        let Some(latest) = self.kept.get(self.latest) else { return false };
        if latest.find_values(line, at, &mut self.values) {
            latest.put_members(line, &self.values, members);
            return true;
        }
        self.read_other(line, at, members)
    }

    #[inline(never)]
    fn read_other(&mut self, line: &impl Values<Kind = K>, at: usize, members: &mut Members) -> bool {
        let (latest, values) = (self.latest, &mut self.values);
        let mut others = self.kept.iter().enumerate().filter(|(number, _)| *number != latest);
        let Some((number, layout)) = others.find(|(_, layout)| layout.find_values(line, at, values)) else {
            return false;
        };
        layout.put_members(line, values, members);
        self.latest = number;
        true
    }

    /// Remembers what stands in the text from `start` to the end, and has `members`, in order and each key once.
    #[inline(never)]
    pub(super) fn learn(&mut self, line: &impl Values<Kind = K>, start: usize, members: &[Member]) {
        let text = line.text();
        let stands_there = |span: Span| (span.start as usize) < text.len();
        let is_plain = |Member { field, .. }: &Member| stands_there(field.key) && line.kind(field).is_some();
        let value_bytes: usize = members.iter().map(|member| member.field.value.len as usize).sum();
        let fits = (1..=MOST_MEMBERS).contains(&members.len()) && text.len() - start <= MOST_BYTES + value_bytes;
        if !fits || !members.iter().all(is_plain) {
            return;
        }
        if self.kept.len() < KEPT {
            self.kept.push(Layout { text: Vec::new(), values: Vec::new(), members: Vec::new() });
        }
        self.latest = self.oldest;
        self.oldest = (self.oldest + 1) % KEPT;
        self.order.clear();
        self.order.extend(0..members.len());
        self.order.sort_unstable_by_key(|number| members[*number].field.value.start);
        self.kept[self.latest].set(line, start, members, &self.order);
    }
}

impl<K: Copy> Layout<K> {
    /// Makes it that of the text from `start` on. `order`: the numbers of `members` as their values follow each other.
    fn set(&mut self, line: &impl Values<Kind = K>, start: usize, members: &[Member], order: &[usize]) {
        let text = line.text();
        self.text.clear();
        self.values.clear();
        let mut at = start;
        for number in order {
            let field = &members[*number].field;
            let Some(kind) = line.kind(field) else { continue };
            self.text.extend_from_slice(&text[at..field.value.start as usize]);
            self.values.push(Value { until: self.text.len(), kind });
            at = field.value.end() as usize;
        }
        self.text.extend_from_slice(&text[at..]);
        self.members.clear();
        self.members.extend(members.iter().map(|Member { prefix, field }| Known {
            value: 0,
            before: field.value.start - field.key.start,
            key_len: field.key.len,
            prefix: *prefix,
        }));
        for (value, number) in order.iter().enumerate() {
            self.members[*number].value = value;
        }
    }

    /// Whether a line of this layout begins at `at`, and where its values are.
    #[inline]
    fn find_values(&self, line: &impl Values<Kind = K>, mut at: usize, values: &mut [Span; MOST_MEMBERS]) -> bool {
        let mut from = 0;
        for (Value { until, kind }, value) in self.values.iter().zip(values) {
            let before = &self.text[from..*until];
            let Some(start) = behind(line.text(), at, before) else { return false };
            let Some(end) = line.end(*kind, start) else { return false };
            // A text that is looked into is far shorter than 4 GiB.
            *value = Span { start: start as u32, len: (end - start) as u32 };
            (at, from) = (end, *until);
        }
        behind(line.text(), at, &self.text[from..]) == Some(line.text().len())
    }

    #[inline]
    fn put_members(&self, line: &impl Values<Kind = K>, values: &[Span; MOST_MEMBERS], members: &mut Members) {
        members.list.extend(self.members.iter().map(|known| {
            let value = values[known.value];
            let key = Span { start: value.start - known.before, len: known.key_len };
            let is_json = line.is_json(self.values[known.value].kind, value);
            Member { prefix: known.prefix, field: FieldSpan { key, value, is_json } }
        }));
    }
}

/// Where `part` ends in a text, if it begins at `at`.
#[inline]
fn behind(text: &[u8], at: usize, part: &[u8]) -> Option<usize> {
    let end = at + part.len();
    (text.get(at..end)? == part).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::parse::json::JsonParser;
    use crate::parse::logfmt::LogfmtParser;
    use crate::record::bytes;

    type Owned = Vec<(Vec<u8>, Vec<u8>, bool)>;

    fn read(parser: &mut JsonParser, line: &[u8]) -> Option<Owned> {
        let found = parser.read(line, 0);
        let members = parser.members(line).map(|(key, value, is_json)| (key.to_vec(), value.to_vec(), is_json));
        found.then(|| members.collect())
    }

    fn read_pairs(parser: &mut LogfmtParser, line: &[u8]) -> Option<Owned> {
        let found = parser.read_pairs(line);
        let text = |span| bytes(line, parser.more(), span).to_vec();
        let pairs = parser.pairs().map(|pair| (text(pair.key), text(pair.value), pair.is_json));
        found.then(|| pairs.collect())
    }

    /// Members of few kinds, so that lines are often like one before, or nearly.
    fn line() -> impl Strategy<Value = String> {
        let key = prop_oneof![Just("a"), Just("b"), Just("a longer key"), Just("c\\u0061"), Just("é"), Just("")];
        let value = prop_oneof![
            4 => "\"[a-z ]{0,40}\"",
            3 => "[0-9]{1,17}",
            1 => Just("\"an \\\"escape\\\"\"".to_owned()),
            1 => Just("\"é\"".to_owned()),
            1 => Just("{\"y\":1,\"x\":[true]}".to_owned()),
            1 => Just("-1.50".to_owned()),
            1 => Just("null".to_owned()),
            1 => Just("\"not closed".to_owned()),
        ];
        let member = (key, value, prop_oneof![5 => Just(","), 1 => Just(" , ")]);
        let end = prop_oneof![8 => Just("}"), 1 => Just("} "), 1 => Just("}x"), 1 => Just("")];
        (prop::collection::vec(member, 0..5), end).prop_map(|(members, end)| {
            let mut text = String::from("{");
            for (number, (key, value, comma)) in members.iter().enumerate() {
                text += if number == 0 { "" } else { comma };
                text += &format!("\"{key}\":{value}");
            }
            text + end
        })
    }

    /// The same of pairs.
    fn line_of_pairs() -> impl Strategy<Value = String> {
        let key = prop_oneof![Just("a"), Just("b"), Just("a.longer/key"), Just("msg"), Just("é")];
        let value = prop_oneof![
            4 => "=\"[a-z =]{0,40}\"",
            4 => "=[a-z0-9=.é]{0,20}",
            2 => "=[0-9]{1,17}",
            1 => Just("=true".to_owned()),
            1 => Just("=-1.5".to_owned()),
            1 => Just("=\"an \\\"escape\\\"\"".to_owned()),
            1 => Just("=\"not closed".to_owned()),
            1 => Just(String::new()),
        ];
        let pair = (key, value, prop_oneof![6 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("")]);
        prop::collection::vec(pair, 0..5)
            .prop_map(|pairs| pairs.into_iter().map(|(key, value, space)| format!("{key}{value}{space}")).collect())
    }

    proptest! {
        #[test]
        fn what_was_read_before_changes_nothing_in_pairs(
            kinds in prop::collection::vec(line_of_pairs(), 1..4),
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::option::of(any::<u8>())), 1..40),
        ) {
            let mut parser = LogfmtParser::default();
            for (kind, at, byte) in picks {
                let mut line = kinds[kind.index(kinds.len())].clone().into_bytes();
                if let Some(byte) = byte && !line.is_empty() {
                    let at = at.index(line.len());
                    line[at] = byte;
                }
                prop_assert_eq!(
                    read_pairs(&mut parser, &line),
                    read_pairs(&mut LogfmtParser::default(), &line),
                    "{}", String::from_utf8_lossy(&line)
                );
            }
        }

        #[test]
        fn what_was_read_before_changes_nothing(
            kinds in prop::collection::vec(line(), 1..4),
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::option::of(any::<u8>())), 1..40),
        ) {
            let mut parser = JsonParser::default();
            for (kind, at, byte) in picks {
                let mut line = kinds[kind.index(kinds.len())].clone().into_bytes();
                if let Some(byte) = byte {
                    let at = at.index(line.len());
                    line[at] = byte;
                }
                prop_assert_eq!(
                    read(&mut parser, &line),
                    read(&mut JsonParser::default(), &line),
                    "{}", String::from_utf8_lossy(&line)
                );
            }
        }
    }

    #[test]
    fn values_that_the_layout_does_not_know_are_read_anew() {
        let mut parser = JsonParser::default();
        let lines = [
            r#"{"b":"text","a":1}"#,
            r#"{"b":"","a":123456789012345}"#,
            r#"{"b":"text","a":1234567890123456}"#,
            r#"{"b":"text","a":01}"#,
            r#"{"b":"text","a":1.0}"#,
            r#"{"b":"text","a":}"#,
            r#"{"b":"te\"xt","a":1}"#,
            r#"{"b":"tëxt","a":1}"#,
            r#"{"b":"text","a":1}}"#,
            r#"{"b":"text","a":1"#,
            r#"{"b":"text"#,
            r#"{"a":"first","b":"text","a":"second"}"#,
            r#"{"a":"first","b":"other","a":"third"}"#,
            r#"{"a":"1st","b":"other","a":"third"}"#,
        ];
        for line in lines.iter().chain(lines.iter().rev()) {
            let line = line.as_bytes();
            assert_eq!(read(&mut parser, line), read(&mut JsonParser::default(), line));
        }
    }

    #[test]
    fn pairs_that_the_layout_does_not_know_are_read_anew() {
        let mut parser = LogfmtParser::default();
        let lines = [
            "b=text a=1 c=\"in quotes\"",
            "b= a=x c=\"\"",
            "b=text a=\"1\" c=\"in quotes\"",
            "b=text a=1 c=\"in \\\"quotes\"",
            "b=text a=1 c=\"in quotes\" ",
            "b=text a=1 c=\"in quotes\"x",
            "b=text a=1 c=\"in quotes",
            "b=te\"xt a=1 c=\"in quotes\"",
            "b=te\txt a=1 c=\"in quotes\"",
            "b=text a=true c=\"in quotes\"",
            "b=text a=007 c=\"in quotes\"",
            "b=text b=1 c=\"in quotes\"",
            "b=text a c=\"in quotes\"",
            "b=",
            "b=x",
        ];
        for line in lines.iter().chain(lines.iter().rev()) {
            let line = line.as_bytes();
            assert_eq!(read_pairs(&mut parser, line), read_pairs(&mut LogfmtParser::default(), line));
        }
    }
}
