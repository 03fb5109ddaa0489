//! Reads a field, or the record's text, by one of the parsers, and puts what is found there among the fields.
//!
//! - `time`, else `ts`, becomes the record's time and goes; `level` its severity, and stays a field, too, as it is written;
//!   `msg` its text, and with a prefix a field, too. (Talos' and syslog's own rules say more, see [`crate::parse`].)
//! - What was parsed goes, unless it is reserved.
//! - What does not parse stays as it is, and the record is marked: `"unparsed":true`.

use super::Context;
use crate::parse::json::{JsonParser, Names};
use crate::parse::line::{LineKind, LineParser};
use crate::parse::logfmt::LogfmtParser;
use crate::parse::pattern::level_of;
use crate::parse::{Time, TimeReader};
use crate::record::{FieldSpan, Level, Span};
use crate::shape::draft::Draft;
use crate::shape::spec::{Parse, ParseFormat};
use crate::shape::subject::{MSG, OfDraft, Subject};

/// Comparisons of names that are worth it to have each once: the last of equal ones is sent in any case.
const MOST_COMPARED: usize = 100_000;

/// The mark of what does not parse.
const UNPARSED: &[u8] = b"unparsed";

pub(super) struct Parsing {
    parse: Parse,
    json: JsonParser,
    logfmt: LogfmtParser,
    lines: LineParser,
    times: TimeReader,
    /// What was found, as spans of the draft.
    found: Vec<FieldSpan>,
    line: Vec<u8>,
}

/// What was found besides fields.
#[derive(Default)]
struct Named {
    time_ns: Option<i64>,
    level: Option<Level>,
    msg: Option<Span>,
}

/// What is parsed.
#[derive(Clone, Copy)]
enum Source {
    Text,
    Field(usize),
    /// A member of a field, of which a copy was made.
    Member,
}

impl Parsing {
    pub(super) fn new(parse: &Parse) -> Self {
        Self {
            parse: parse.clone(),
            json: JsonParser::default(),
            logfmt: LogfmtParser::default(),
            lines: LineParser::new(jiff::tz::TimeZone::system()),
            times: TimeReader::default(),
            found: Vec::new(),
            line: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, draft: &mut Draft, context: &mut Context<'_>) {
        let Some((source, line)) = self.source(draft, context) else { return };
        self.found.clear();
        let named = match self.parse.format {
            ParseFormat::Json => self.object(draft, line),
            ParseFormat::Logfmt => self.pairs(draft, line),
            ParseFormat::Line(kind) => self.line(kind, draft, line),
        };
        let count = self.found.len();
        let more = line.len as usize + count * self.parse.prefix.len();
        let Some(named) = named.filter(|_| draft.has_room(count, more)) else {
            // Text is what this finds, too.
            if self.parse.format == ParseFormat::Line(LineKind::Detect) {
                return;
            }
            *context.failed += 1;
            if let Some(yes) = draft.make(|made| made.extend_from_slice(b"true")) {
                draft.set(UNPARSED, yes, true);
            }
            return;
        };
        self.take(named, source, draft);
    }

    /// Where it lies what is to be parsed.
    fn source(&self, draft: &mut Draft, context: &Context<'_>) -> Option<(Source, Span)> {
        let key = &*self.parse.key;
        if key == MSG {
            return Some((Source::Text, draft.body));
        }
        if let Some(index) = draft.find(key.as_bytes()) {
            return Some((Source::Field(index), draft.fields[index].value));
        }
        let subject = OfDraft { draft, whose: context.whose };
        let text = subject.inside(key.as_bytes())?.to_text().to_vec();
        Some((Source::Member, draft.make(|made| made.extend_from_slice(&text))?))
    }

    fn object(&mut self, draft: &mut Draft, line: Span) -> Option<Named> {
        let text = draft.bytes(line);
        if !self.json.read(text, 0) {
            return None;
        }
        let names = self.json.names(text);
        let beside = draft.make(|made| made.extend_from_slice(self.json.beside_line()))?;
        Some(sort_out(self.json.spans(), &names, line, beside, self.keeps(), draft, &mut self.times, &mut self.found))
    }

    fn pairs(&mut self, draft: &mut Draft, line: Span) -> Option<Named> {
        let text = draft.bytes(line);
        if !self.logfmt.read_pairs(text) {
            return None;
        }
        let names = self.logfmt.names(text);
        let beside = draft.make(|made| made.extend_from_slice(self.logfmt.more()))?;
        Some(sort_out(self.logfmt.pairs(), &names, line, beside, self.keeps(), draft, &mut self.times, &mut self.found))
    }

    /// Whether the text that is found stays a field, too.
    fn keeps(&self) -> bool {
        !self.parse.prefix.is_empty()
    }

    /// By a parser of whole lines, which has rules of its own for what is a time, a level and a text.
    fn line(&mut self, kind: LineKind, draft: &mut Draft, line: Span) -> Option<Named> {
        self.line.clear();
        self.line.extend_from_slice(draft.bytes(line));
        let parsed = self.lines.parse(kind, &self.line, draft.meta().time_ns)?;
        let has = |name: &[u8]| parsed.parts.fields.iter().any(|field| parsed.parts.bytes(field.key) == name);
        let is_found = match kind {
            LineKind::Talos => parsed.is_object,
            // What looks like nothing is text.
            LineKind::Detect => parsed.is_object || !parsed.parts.fields.is_empty() || parsed.time_ns.is_some(),
            _ => !has(UNPARSED),
        };
        if !is_found {
            return None;
        }
        let beside = draft.make(|made| made.extend_from_slice(parsed.parts.more))?;
        self.found.extend(parsed.parts.fields.iter().map(|field| moved(*field, line, beside)));
        let msg = moved_span(parsed.parts.body, line, beside);
        // Where no part of it is the text, all of it is: of a field that is not the record's.
        let (is_all, is_text) = (msg == line, self.parse.key == MSG);
        let msg_of_record = Some(msg).filter(|_| is_text || !is_all);
        // Where it has none, the record's own one stays.
        let has_none = matches!(kind, LineKind::Pattern(_) | LineKind::Detect) && parsed.level == Level::Info;
        let level = Some(parsed.level).filter(|_| !has_none);
        let named = Named { time_ns: parsed.time_ns, level, msg: msg_of_record };
        if !self.parse.prefix.is_empty() && !is_all {
            let key = draft.make(|made| made.extend_from_slice(MSG.as_bytes()))?;
            self.found.push(FieldSpan { key, value: msg, is_json: false });
        }
        Some(named)
    }

    fn take(&mut self, named: Named, source: Source, draft: &mut Draft) {
        if let Some(time_ns) = named.time_ns {
            draft.set_time(time_ns);
        }
        if let Some(level) = named.level {
            draft.set_level(level);
        }
        match source {
            Source::Field(index) if !self.parse.reserve => {
                draft.fields.remove(index);
                draft.changed = true;
            }
            _ => {}
        }
        let is_text = matches!(source, Source::Text);
        let replaces = if is_text { !self.parse.reserve } else { self.parse.prefix.is_empty() };
        match named.msg {
            Some(msg) if replaces => draft.set_body(msg),
            None if is_text && replaces => draft.set_body(Span { len: 0, ..draft.body }),
            _ => {}
        }
        draft.changed = true;
        if draft.fields.is_empty() && self.parse.prefix.is_empty() {
            draft.set_fields(&self.found);
            return;
        }
        // What was found has each name once: only those that were there before may be the same.
        let before = draft.fields.len();
        let compared = if before * self.found.len() < MOST_COMPARED { before } else { 0 };
        let prefix = match self.parse.prefix.as_str() {
            "" => None,
            text => draft.make(|made| made.extend_from_slice(text.as_bytes())),
        };
        for field in &self.found {
            let key = prefix.and_then(|prefix| draft.make_from(&[prefix, field.key])).unwrap_or(field.key);
            match draft.find_among(compared, draft.bytes(key)) {
                Some(index) => {
                    draft.fields[index] = FieldSpan { key, ..*field };
                    draft.hide();
                }
                None => drop(draft.push(FieldSpan { key, ..*field })),
            }
        }
    }
}

/// Takes time, level and text out of what a parser found; the rest becomes `found`, as spans of the draft. With `keeps`
/// the text stays there, too.
#[expect(clippy::too_many_arguments, reason = "what it needs is in two structures, of which each caller lends parts")]
fn sort_out(
    spans: impl Iterator<Item = FieldSpan> + Clone,
    names: &Names,
    line: Span,
    beside: Span,
    keeps: bool,
    draft: &Draft,
    times: &mut TimeReader,
    found: &mut Vec<FieldSpan>,
) -> Named {
    let field = |index: usize| spans.clone().nth(index).map(|field| moved(field, line, beside));
    let (mut named, mut gone) = (Named::default(), [usize::MAX; 2]);
    for index in [names.time, names.ts].into_iter().flatten() {
        let Some(field) = field(index) else { continue };
        let value = draft.bytes(field.value);
        let time = match field.is_json {
            true => std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).and_then(Time::of_number),
            false => times.rfc3339(value),
        };
        if let Some(time_ns) = time.and_then(Time::ns) {
            named.time_ns = Some(time_ns);
            gone[0] = index;
            break;
        }
    }
    if let Some(level) = names.level.and_then(field).filter(|field| !field.is_json) {
        named.level = level_of(draft.bytes(level.value));
    }
    if let Some(msg) = names.msg {
        named.msg = field(msg).map(|field| field.value);
        gone[1] = if keeps { usize::MAX } else { msg };
    }
    let left = spans.enumerate().filter(|(index, _)| !gone.contains(index));
    found.extend(left.map(|(_, field)| moved(field, line, beside)));
    named
}

/// A span over a line and what is beside it, as one of the draft, where the two lie elsewhere.
#[inline]
fn moved_span(span: Span, line: Span, beside: Span) -> Span {
    let start = match span.start.checked_sub(line.len) {
        None => line.start + span.start,
        Some(start) => beside.start + start,
    };
    Span { start, ..span }
}

#[inline]
fn moved(field: FieldSpan, line: Span, beside: Span) -> FieldSpan {
    FieldSpan { key: moved_span(field.key, line, beside), value: moved_span(field.value, line, beside), ..field }
}
