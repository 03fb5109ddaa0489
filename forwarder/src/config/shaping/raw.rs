//! The schema of `process`, `routes` and `tests`. Doc comments are the user's documentation, as in [`crate::config::raw`].

use super::case::{Expected, ExpectedAt, Input};
use super::condition::Condition;
use super::values::{Conversions, Count, KeyPattern, Names, PresetChoice, ShapeParse, Templates, Text};
use crate::config::document::document;
use crate::config::pattern::{Pattern, TimeText};
use crate::config::raw::ParseChoice;
use crate::config::units::Period;
use crate::config::value::{Located, Name};

document! {
    /// A step: one thing that it does, and for which records.
    pub struct Step {
        /// For which records it is: `{ field: NAME, equals: TEXT }`, or with `one_of: [TEXT]`, `matches: REGEX`,
        /// `exists: true`, `at_least: LEVEL`; `{ origin: GLOB }`; and `all: […]`, `any: […]`, `not: {…}` of such. See
        /// `docs/shaping.md`.
        when: Condition => "all records",

        /// Read a field by a parser, and put what it finds among the fields.
        parse: Parse,

        /// Set fields. `${field:NAME}` stands for what the record has, `${hostname}` and the others of tags for what they are
        /// when Ringward starts. `msg` is the record's text.
        add: Templates => "none",

        /// Leave out fields, by their names; `*` stands for any characters. A name with dots also stands for a member of an
        /// object: `kubernetes.labels.*`.
        remove: Vec<Located<KeyPattern>> => "none",

        /// Leave out all fields but these. `msg`, the time, the level and whose it is always stay.
        keep: Vec<Located<KeyPattern>> => "none",

        /// Give fields other names, from old to new. What had the new name is replaced.
        rename: Names => "none",

        /// Set fields to what others have, from those to these.
        copy: Names => "none",

        /// Put this before the names of all fields.
        prefix: Text => "none",

        /// Make `int`, `float`, `bool` or `string` of fields. A value that can't be converted stays as it is, and the
        /// record has its field's name in `unconverted`.
        convert: Conversions => "none",

        /// Discard records for which this holds; with `true`, all for which the step is.
        drop: Condition => "none",

        /// Discard records for which this does not hold.
        keep_records: Condition => "none",

        /// Let through one record of so many.
        sample: Sample,

        /// Let through so many records a second, of each origin. What is discarded is reported by a record.
        throttle: Throttle,

        /// Put something else in place of what must not be sent on.
        redact: Redact,

        /// Let through the first of records that are the same, and one that says how often they came again.
        deduplicate: Deduplicate,
    }
}

document! {
    /// How a field is read.
    pub struct Parse {
        /// The field; `msg` is the record's text.
        key: Text = "msg",

        /// What it is: `json`, an object; `logfmt`, `key=value` pairs; or as lines are read where they come in: `talos`,
        /// `detect`, `klog`, `kata`, `syslog`, and `regex` by `pattern`. `time` (else `ts`) becomes the record's time,
        /// `level` its severity, `msg` its text. What is none of the format stays, and the record is marked
        /// `"unparsed":true`.
        format: ShapeParse => "required",

        /// With `format: regex`: what it looks like. Groups with names, as `(?<user>.*)`, become fields.
        pattern: Pattern => "required with `format: regex`",

        /// How `time` is written, by strptime(3).
        time_format: TimeText => "RFC 3339, ISO 8601, or seconds since 1970",

        /// What stands before the names of what was found. With it, `msg` is a field, too.
        prefix: Text => "none",

        /// Keep what was parsed as well.
        reserve: bool = "false",
    }
}

document! {
    /// Which records are let through.
    pub struct Sample {
        /// One of so many.
        rate: Count => "required",

        /// Records with the same value of this field go the same way, on every machine.
        by: Text => "none: each so-manieth",
    }
}

document! {
    /// How many records are let through.
    pub struct Throttle {
        /// Records a second, of each origin.
        rate: Count => "required",

        /// Records that may come at once after silence.
        burst: Count => "`rate`",

        /// How often what was discarded is reported, at most.
        report: Period = "10s",
    }
}

document! {
    /// What is replaced, and by what.
    pub struct Redact {
        /// `tokens`: credentials, keys and what follows `password=` and its like; `email`: addresses; `cards`: numbers of
        /// payment cards, where their check digit is right.
        presets: Vec<Located<PresetChoice>> => "none",

        /// Regular expressions; of one with groups, only the first group is replaced.
        patterns: Vec<Located<Pattern>> => "none",

        /// Only in these fields, by patterns of their names; `msg` is the record's text.
        fields: Vec<Located<KeyPattern>> => "the text and all fields",

        /// What stands in its place.
        with: Text = "[redacted]",
    }
}

document! {
    /// Which records are the same, and for how long.
    pub struct Deduplicate {
        /// How long after the first one.
        window: Period = "10s",

        /// The fields that make records the same, besides their origin and level.
        by: Vec<Located<Text>> => "the record's text",
    }
}

document! {
    /// A route.
    pub struct Route {
        /// Which records take it, as in `process`.
        when: Condition => "all records",

        /// The destinations that get them, by their names; none: nobody gets them.
        to: Vec<Located<Name>> => "required",

        /// Whether routes behind it are looked at, too.
        goes_on as "continue": bool = "false",
    }
}

document! {
    /// A case.
    pub struct Case {
        /// What it shows.
        name: Text => "required",

        /// Whose the input is.
        origin: Text = "test",

        /// What lines of the input are taken for, as by a listener.
        parse: ParseChoice = "text",

        /// Lines; or records, as mappings from names to text, with `msg`, `level` and `time` as their own.
        input: Vec<Located<Input>> => "required",

        /// What is sent of it, one behind the other: mappings with the members that are looked at, or objects in JSON, of which
        /// also the types are.
        expect: Vec<Located<Expected>> => "not looked at",

        /// The same, by destination: what is routed there.
        expect_at: ExpectedAt => "not looked at",

        /// Nothing is sent of it.
        dropped: bool = "false",

        /// No members but the expected ones are there, besides `talos-time`.
        exact: bool = "false",
    }
}
