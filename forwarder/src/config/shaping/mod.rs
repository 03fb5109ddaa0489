//! `process`, `routes` and `tests`: raw → resolved.

mod case;
mod condition;
pub(super) mod raw;
#[cfg(test)]
mod tests;
mod values;

pub use case::{Expected, Input};

use std::collections::BTreeMap;

use self::raw::{Case, Deduplicate, Parse, Redact, Route, Sample, Step, Throttle};
use self::values::{Count, KeyPattern, Names, ShapeParse, Templates, Text};
use super::error::Place;
use super::pattern::LinesConfig;
use super::raw::ParseChoice;
use super::resolve::Check;
use super::resolved::DestinationConfig;
use super::template;
use super::value::{Located, Name};
use super::{document, suggest};
use crate::parse::line::LineKind;
use crate::parse::pattern::LinePattern;
use crate::shape::spec::MOST_DESTINATIONS;
use crate::shape::{Condition, Glob, spec};

/// A case of `tests`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseConfig {
    /// Where it stands, for reports.
    pub place: String,
    pub name: String,
    pub origin: String,
    pub parse: ParseChoice,
    pub input: Vec<Input>,
    /// What goes into the ring; `None`: not looked at.
    pub expect: Option<Vec<Expected>>,
    /// What destinations get, by their names.
    pub expect_at: Vec<(String, Vec<Expected>)>,
    pub exact: bool,
}

impl Check<'_> {
    pub(super) fn process(&mut self, raw: Option<&Located<Vec<Located<Step>>>>) -> Vec<spec::Step> {
        let given = raw.map(|list| list.value.as_slice()).unwrap_or_default();
        let mut taken: Option<&Place> = None;
        let mut steps = Vec::new();
        for raw in given {
            if let Some(place) = taken {
                self.add(raw, format!("is never reached: the step at {place} discards all records"), "before that one");
            }
            let step = self.step(raw);
            if step.as_ref().is_some_and(discards_everything) {
                taken = taken.or(Some(&raw.place));
            }
            steps.extend(step);
        }
        steps
    }

    fn step(&mut self, given: &Located<Step>) -> Option<spec::Step> {
        let raw = &given.value;
        let mut actions: Vec<(&'static str, Option<spec::Action>)> = Vec::new();
        if let Some(parse) = &raw.parse {
            actions.push(("parse", self.parse(parse).map(spec::Action::Parse)));
        }
        if let Some(Located { value: Templates(fields), .. }) = &raw.add {
            let expanded = fields.iter().map(|(name, text)| Some((name.clone(), self.template(text)?)));
            actions.push(("add", all(expanded).map(spec::Action::Add)));
        }
        if let Some(patterns) = &raw.remove {
            actions.push(("remove", Some(spec::Action::Remove(self.patterns(patterns)))));
        }
        if let Some(patterns) = &raw.keep {
            actions.push(("keep", Some(spec::Action::Keep(self.patterns(patterns)))));
        }
        if let Some(names) = &raw.rename {
            actions.push(("rename", self.moves(names).map(spec::Action::Rename)));
        }
        if let Some(names) = &raw.copy {
            actions.push(("copy", self.moves(names).map(spec::Action::Copy)));
        }
        if let Some(text) = &raw.prefix {
            actions.push(("prefix", Some(spec::Action::Prefix(text.value.0.clone()))));
        }
        if let Some(types) = &raw.convert {
            let types = types.value.0.iter().map(|(name, wanted)| (Glob::new(name.as_str()), wanted.value.into()));
            actions.push(("convert", Some(spec::Action::Convert(types.collect()))));
        }
        for (name, which, when_it_holds) in [("drop", &raw.drop, true), ("keep_records", &raw.keep_records, false)] {
            if let Some(which) = which {
                let which = which.value.0.clone();
                actions.push((name, Some(spec::Action::Drop { which, when_it_holds })));
            }
        }
        if let Some(sample) = &raw.sample {
            actions.push(("sample", self.sample(sample).map(spec::Action::Sample)));
        }
        if let Some(throttle) = &raw.throttle {
            actions.push(("throttle", self.throttle(throttle).map(spec::Action::Throttle)));
        }
        if let Some(redact) = &raw.redact {
            actions.push(("redact", self.redact(redact).map(spec::Action::Redact)));
        }
        if let Some(deduplicate) = &raw.deduplicate {
            actions.push(("deduplicate", Some(spec::Action::Deduplicate(self.deduplicate(&deduplicate.value)))));
        }
        let known: Vec<&str> = Step::KEYS.iter().copied().filter(|key| *key != "when").collect();
        // What could not be read was reported, and may be what it does.
        let was_wrong = self.problems.0.iter().any(|problem| problem.key.starts_with(&given.key));
        match actions.len() {
            1 => {}
            0 if was_wrong => return None,
            0 => self.add(given, "does nothing", format!("one of {}", suggest::list(&known))),
            _ => {
                let names: Vec<_> = actions.iter().map(|(name, _)| *name).collect();
                self.add(given, format!("does several things: {}", suggest::list(&names)), "a step for each");
            }
        }
        let (name, action) = actions.into_iter().next()?;
        let name = format!("{}.{name}", given.key);
        let when = raw.when.as_ref().map(|when| when.value.0.clone());
        Some(spec::Step { name, when, action: action? })
    }

    /// Names and what they become, where that does not depend on which comes first.
    fn moves(&mut self, given: &Located<Names>) -> Option<Vec<(String, String)>> {
        let before = self.problems.0.len();
        let mut targets = BTreeMap::new();
        for (from, to) in &given.value.0 {
            if *from == to.value.0 {
                self.add(to, format!("`{from}` stays what it is"), "another name");
            } else if given.value.0.iter().any(|(other, _)| *other == to.value.0) {
                self.add(to, format!("`{}` is one of the names on the left, too", to.value.0), "a step for each");
            }
            if let Some(other) = targets.insert(&to.value.0, from) {
                self.add(to, format!("`{}` was to be what `{other}` is", to.value.0), "a step for each");
            }
        }
        let pairs = given.value.0.iter().map(|(from, to)| (from.clone(), to.value.0.clone()));
        (self.problems.0.len() == before).then(|| pairs.collect())
    }

    fn parse(&mut self, given: &Located<Parse>) -> Option<spec::Parse> {
        let raw = &given.value;
        self.required(given, raw.format.as_ref(), "format")?;
        Some(spec::Parse {
            key: raw.key().value.0,
            format: self.format(raw.format.as_ref()?, raw)?,
            prefix: raw.prefix.as_ref().map(|prefix| prefix.value.0.clone()).unwrap_or_default(),
            reserve: raw.reserve().value,
        })
    }

    fn format(&mut self, given: &Located<ShapeParse>, raw: &Parse) -> Option<spec::ParseFormat> {
        let is_regex = given.value == ShapeParse::Regex;
        let lines = self.described(given, is_regex, raw.pattern.as_ref(), raw.time_format.as_ref());
        Some(match given.value {
            ShapeParse::Json => spec::ParseFormat::Json,
            ShapeParse::Logfmt => spec::ParseFormat::Logfmt,
            ShapeParse::Talos => spec::ParseFormat::Line(LineKind::Talos),
            ShapeParse::Detect => spec::ParseFormat::Line(LineKind::Detect),
            ShapeParse::Klog => spec::ParseFormat::Line(LineKind::Klog),
            ShapeParse::Kata => spec::ParseFormat::Line(LineKind::Kata),
            ShapeParse::Syslog => spec::ParseFormat::Line(LineKind::Syslog),
            ShapeParse::Regex => {
                let LinesConfig { pattern, time } = lines?;
                // It holds until the program ends, and so does what is made of it.
                let pattern = Box::leak(Box::new(LinePattern::new(pattern.regex().clone(), time)));
                spec::ParseFormat::Line(LineKind::Pattern(pattern))
            }
        })
    }

    fn sample(&mut self, given: &Located<Sample>) -> Option<spec::Sample> {
        let Count(rate) = self.required(given, given.value.rate.as_ref(), "rate")?;
        Some(spec::Sample { rate, by: given.value.by.as_ref().map(|by| by.value.0.clone()) })
    }

    fn throttle(&mut self, given: &Located<Throttle>) -> Option<spec::Throttle> {
        let raw = &given.value;
        let report = self.period(&raw.report(), "100ms", "1h");
        let Count(rate) = self.required(given, raw.rate.as_ref(), "rate")?;
        Some(spec::Throttle { rate, burst: raw.burst.as_ref().map_or(rate, |burst| burst.value.0), report })
    }

    fn redact(&mut self, given: &Located<Redact>) -> Option<spec::Redact> {
        let raw = &given.value;
        let presets: Vec<_> =
            raw.presets.iter().flat_map(|list| &list.value).map(|preset| preset.value.into()).collect();
        let patterns: Vec<_> =
            raw.patterns.iter().flat_map(|list| &list.value).map(|pattern| pattern.value.clone()).collect();
        let was_wrong = self.problems.0.iter().any(|problem| problem.key.starts_with(&given.key));
        if presets.is_empty() && patterns.is_empty() {
            if !was_wrong {
                self.add(given, "finds nothing", "`presets` or `patterns`");
            }
            return None;
        }
        let fields = raw.fields.as_ref().map(|fields| self.patterns(fields)).unwrap_or_default();
        Some(spec::Redact { presets, patterns, fields, with: raw.with().value.0 })
    }

    fn deduplicate(&mut self, raw: &Deduplicate) -> spec::Deduplicate {
        let by = raw.by.iter().flat_map(|list| &list.value).map(|name| name.value.0.clone()).collect();
        spec::Deduplicate { window: self.period(&raw.window(), "100ms", "1h"), by }
    }

    fn patterns(&mut self, given: &Located<Vec<Located<KeyPattern>>>) -> Vec<Glob> {
        if given.value.is_empty() {
            self.add(given, "is empty", "a name or more");
        }
        given.value.iter().map(|pattern| pattern.value.0.clone()).collect()
    }

    fn template(&mut self, given: &Located<values::Content>) -> Option<crate::shape::Template> {
        match template::pieces(&given.value.0, self.host) {
            Ok(pieces) => Some(crate::shape::Template(pieces)),
            Err(error) => {
                self.add(given, error.what, error.accepted);
                None
            }
        }
    }

    /// A value without which the document means nothing.
    fn required<D, T: Clone>(&mut self, given: &Located<D>, value: Option<&Located<T>>, key: &str) -> Option<T> {
        let full = document::join(&given.key, key);
        if value.is_none() && !self.reported_at(&full) {
            self.add(given, format!("has no `{key}`"), format!("with `{key}`"));
        }
        value.map(|value| value.value.clone())
    }

    fn reported_at(&self, key: &str) -> bool {
        self.problems.0.iter().any(|problem| problem.key == key)
    }

    pub(super) fn routes(
        &mut self,
        raw: Option<&Located<Vec<Located<Route>>>>,
        destinations: &[DestinationConfig],
    ) -> Option<spec::Routes> {
        let given = raw.filter(|list| !list.value.is_empty())?;
        if destinations.len() > MOST_DESTINATIONS {
            let what = format!("there are {} destinations", destinations.len());
            self.add(given, what, format!("at most {MOST_DESTINATIONS} with `routes`"));
            return None;
        }
        let numbers: BTreeMap<&str, u64> =
            (0..).zip(destinations).map(|(number, destination)| (destination.name.as_str(), 1 << number)).collect();
        let mut taken: Option<&Place> = None;
        let (mut routes, mut named) = (Vec::new(), 0u64);
        for route in &given.value {
            if let Some(place) = taken {
                self.add(route, format!("is never reached: the route at {place} takes all records"), "before that one");
            }
            let raw = &route.value;
            let names = self.required(route, raw.to.as_ref(), "to").unwrap_or_default();
            let to = names.iter().fold(0, |to, name| to | self.destination_named(name, &numbers));
            let goes_on = raw.goes_on().value;
            if raw.when.is_none() && !goes_on {
                taken = taken.or(Some(&route.place));
            }
            named |= to;
            routes.push(spec::Route { when: raw.when.as_ref().map(|when| when.value.0.clone()), to, goes_on });
        }
        let all = numbers.values().fold(0, |all, bit| all | bit);
        Some(spec::Routes { routes, otherwise: all & !named })
    }

    fn destination_named(&mut self, name: &Located<Name>, numbers: &BTreeMap<&str, u64>) -> u64 {
        let known: Vec<&str> = numbers.keys().copied().collect();
        match numbers.get(name.value.0.as_str()) {
            Some(bit) => *bit,
            None => {
                let hint = suggest::did_you_mean(&name.value.0, &known);
                self.add(name, format!("no destination is called `{}`{hint}", name.value.0), suggest::list(&known));
                0
            }
        }
    }

    pub(super) fn cases(
        &mut self,
        raw: Option<&Located<Vec<Located<Case>>>>,
        destinations: &[DestinationConfig],
    ) -> Vec<CaseConfig> {
        let given = raw.map(|list| list.value.as_slice()).unwrap_or_default();
        given.iter().filter_map(|case| self.case(case, destinations)).collect()
    }

    fn case(&mut self, given: &Located<Case>, destinations: &[DestinationConfig]) -> Option<CaseConfig> {
        let raw = &given.value;
        let Text(name) = self.required(given, raw.name.as_ref(), "name")?;
        let input = self.required(given, raw.input.as_ref(), "input")?;
        let mut expect = raw.expect.as_ref().map(|list| values_of(&list.value));
        if raw.parse().value == ParseChoice::Regex {
            self.add(&raw.parse(), "a case has no `pattern`", "a step that parses by one, in `process`");
        } else if raw.parse().value == ParseChoice::JournalExport {
            self.add(&raw.parse(), "a case is one line, and an entry of a journal is several", "without `parse`");
        }
        let dropped = raw.dropped();
        if dropped.value {
            if raw.expect.is_some() {
                self.add(&dropped, "what is dropped can't be expected as well", "without `expect`");
            }
            expect = Some(Vec::new());
        }
        let expect_at = raw.expect_at.as_ref().map(|at| at.value.0.clone()).unwrap_or_default();
        let known: Vec<&str> = destinations.iter().map(|destination| destination.name.as_str()).collect();
        for (entry, _) in expect_at.iter().filter(|(entry, _)| !known.contains(&&*entry.key)) {
            let what = format!("no destination is called `{}`{}", entry.key, suggest::did_you_mean(&entry.key, &known));
            self.problems.add(&entry.place, &format!("{}.expect_at", given.key), what, suggest::list(&known));
        }
        if expect.is_none() && expect_at.is_empty() && !self.reported_at(&format!("{}.expect", given.key)) {
            self.add(given, "expects nothing", "`expect`, `expect_at` or `dropped: true`");
        }
        Some(CaseConfig {
            place: given.place.to_string(),
            name,
            origin: raw.origin().value.0,
            parse: raw.parse().value,
            input: values_of(&input),
            expect,
            expect_at: expect_at.into_iter().map(|(entry, list)| (entry.key, list)).collect(),
            exact: raw.exact().value,
        })
    }
}

fn values_of<T: Clone>(list: &[Located<T>]) -> Vec<T> {
    list.iter().map(|item| item.value.clone()).collect()
}

/// Whether nothing but reports of losses comes to the steps behind it.
fn discards_everything(step: &spec::Step) -> bool {
    let all = Condition::All(Vec::new());
    let drops = matches!(&step.action, spec::Action::Drop { which, when_it_holds: true } if *which == all);
    drops && step.when.as_ref().is_none_or(|when| *when == all)
}

/// All or none, after every one was looked at.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    items.collect::<Vec<_>>().into_iter().collect()
}
