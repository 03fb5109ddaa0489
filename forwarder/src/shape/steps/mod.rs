//! The steps, a file each. A step takes the record at hand and changes it, or says that it is discarded.

mod cards;
mod convert;
mod deduplicate;
mod fields;
mod parse;
mod redact;
mod sample;
mod throttle;

use std::time::Duration;

use self::convert::convert;
use self::deduplicate::Deduplicating;
use self::fields::{add, copy, keep, prefix, remove, rename};
use self::parse::Parsing;
use self::redact::Redacting;
use self::sample::Sampling;
use self::throttle::Throttling;
use super::draft::{Draft, value_of};
use super::spec::{Action, Step};
use super::subject::{OfDraft, Whose};
use crate::record::{BatchBuilder, OriginHandle, RecordMeta};

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Goes,
    Discarded,
}

/// A record that a step makes by itself: a report of what it discarded.
pub(super) struct Report {
    pub(super) origin: OriginHandle,
    pub(super) meta: RecordMeta,
    pub(super) body: Vec<u8>,
    pub(super) fields: Vec<(&'static str, Vec<u8>, bool)>,
}

impl Report {
    /// As a batch, for the steps behind the one that made it.
    pub(super) fn push(&self, builder: &mut BatchBuilder) {
        let fields = self.fields.iter().map(|(key, text, is_json)| (key.as_bytes(), value_of(*is_json, text)));
        builder.push_pieces(&self.origin, self.meta, &self.body, fields);
    }
}

/// What a step needs besides the record.
pub(super) struct Context<'a> {
    pub(super) whose: &'a Whose,
    /// Reports that go before the record at hand.
    pub(super) reports: &'a mut Vec<Report>,
    /// Records of which a part could not be done: not parsed, not converted, not added.
    pub(super) failed: &'a mut u64,
    pub(super) scratch: &'a mut Vec<u8>,
}

/// A step at work, in one thread.
pub(super) struct Running {
    step: Step,
    state: State,
}

enum State {
    Nothing,
    Parse(Box<Parsing>),
    Sample(Sampling),
    Throttle(Throttling),
    Redact(Redacting),
    Deduplicate(Deduplicating),
}

impl Running {
    pub(super) fn new(step: &Step) -> Self {
        let state = match &step.action {
            Action::Parse(parse) => State::Parse(Box::new(Parsing::new(parse))),
            Action::Sample(sample) => State::Sample(Sampling::new(sample)),
            Action::Throttle(throttle) => State::Throttle(Throttling::new(throttle)),
            Action::Redact(redact) => State::Redact(Redacting::new(redact)),
            Action::Deduplicate(deduplicate) => State::Deduplicate(Deduplicating::new(deduplicate)),
            _ => State::Nothing,
        };
        Self { step: step.clone(), state }
    }

    #[inline]
    pub(super) fn run(&mut self, draft: &mut Draft, context: &mut Context<'_>) -> Verdict {
        let subject = OfDraft { draft, whose: context.whose };
        if self.step.when.as_ref().is_some_and(|when| !when.holds(&subject)) {
            return Verdict::Goes;
        }
        match (&self.step.action, &mut self.state) {
            (Action::Add(fields), _) => add(fields, draft, context),
            (Action::Remove(patterns), _) => remove(patterns, draft),
            (Action::Keep(patterns), _) => keep(patterns, draft),
            (Action::Rename(names), _) => rename(names, draft, context),
            (Action::Copy(names), _) => copy(names, draft, context),
            (Action::Prefix(text), _) => prefix(text, draft, context),
            (Action::Convert(types), _) => convert(types, draft, context),
            (Action::Drop { which, when_it_holds }, _)
                if !draft.is_report() && which.holds(&subject) == *when_it_holds =>
            {
                return Verdict::Discarded;
            }
            (_, State::Parse(parsing)) => parsing.run(draft, context),
            (_, State::Redact(redacting)) => redacting.run(draft, context),
            // A report of a loss is never lost itself.
            (_, State::Sample(sampling)) if !draft.is_report() => return sampling.run(&subject),
            (_, State::Throttle(throttling)) if !draft.is_report() => return throttling.run(draft, context),
            (_, State::Deduplicate(deduplicating)) if !draft.is_report() => return deduplicating.run(draft, context),
            _ => {}
        }
        Verdict::Goes
    }

    /// Whether it has something to report that waits for time to pass.
    pub(super) fn is_waiting(&self) -> bool {
        match &self.state {
            State::Throttle(throttling) => throttling.is_waiting(),
            State::Deduplicate(deduplicating) => deduplicating.is_waiting(),
            _ => false,
        }
    }

    /// How long after the last record it has something to report, though nothing more comes; `None` where it has nothing.
    pub(super) fn due_in(&self) -> Option<Duration> {
        match &self.state {
            State::Throttle(throttling) => throttling.due_in(),
            State::Deduplicate(deduplicating) => deduplicating.due_in(),
            _ => None,
        }
    }

    /// What it has to report when nothing has come for so long; everything, where that is not said.
    pub(super) fn flush(&mut self, silent: Option<Duration>, reports: &mut Vec<Report>) {
        match &mut self.state {
            State::Throttle(throttling) => throttling.flush(reports),
            State::Deduplicate(deduplicating) => deduplicating.flush(silent, reports),
            _ => {}
        }
    }
}

/// RFC 3339, as reports of losses have it.
fn time_text(ns: i64) -> Vec<u8> {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_string().into_bytes()
}
