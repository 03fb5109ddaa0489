//! What is wrong with `process`, `routes` and `tests` is said, with its place.

use crate::config::from_text;

/// All that is said of a text.
fn said(text: &str) -> String {
    match from_text("t.yaml", text) {
        Ok(config) => panic!("{text} holds: {:?} {:?}", config.process, config.routes),
        Err(problems) => problems.to_string(),
    }
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let said = said(text);
    assert!(said.contains(why), "{text}\n{said}");
    assert_eq!(said.lines().count(), 1, "{text}\n{said}");
}

#[test]
fn steps_that_mean_nothing() {
    let step = |step: &str, why: &str| refused(&format!("process:\n  - {step}"), why);
    step(
        "{add: {a: b}, drop: true}",
        "t.yaml:2:5: process[0]: does several things: `add`, `drop`; accepted: a step for each",
    );
    step("{when: {origin: a}}", "t.yaml:2:5: process[0]: does nothing; accepted: one of `parse`, `add`");
    step("{ad: {a: b}}", "process[0].ad: unknown key (did you mean `add`?)");
    step("{parse: {key: msg}}", "process[0].parse: has no `format`");
    step("{parse: {format: regex}}", "process[0].parse.format: has no `pattern` beside it");
    step("{parse: {format: regex, pattern: '(a)'}}", "process[0].parse.pattern: has no named group");
    step(
        "{parse: {format: json, pattern: a}}",
        "process[0].parse.pattern: nothing is taken for it; accepted: with `format: regex`",
    );
    step("{parse: {format: jsn}}", "process[0].parse.format: `jsn` is unknown (did you mean `json`?)");
    step(
        "{add: {a: '${hostnam}'}}",
        "t.yaml:2:15: process[0].add.a: `${hostnam}` is unknown (did you mean `hostname`?)",
    );
    step("{add: {}}", "process[0].add: is empty");
    step("{add: [a]}", "process[0].add: is a list; accepted: a mapping from names to text");
    step("{remove: []}", "process[0].remove: is empty");
    step("{convert: {a: number}}", "process[0].convert.a: `number` is unknown");
    step("{rename: {a: b, b: c}}", "t.yaml:2:18: process[0].rename.a: `b` is one of the names on the left, too");
    step("{rename: {a: c, b: c}}", "process[0].rename.b: `c` was to be what `a` is; accepted: a step for each");
    step("{copy: {a: a}}", "process[0].copy.a: `a` stays what it is; accepted: another name");
    step(
        "{drop: true}\n  - {prefix: x}",
        "t.yaml:3:5: process[1]: is never reached: the step at t.yaml:2:5 discards all records",
    );
    step("{sample: {by: x}}", "process[0].sample: has no `rate`");
    step("{sample: {rate: 0}}", "process[0].sample.rate: `0` is no such number");
    step("{throttle: {rate: 1, report: 1ms}}", "process[0].throttle.report: `1ms` is too small");
    step("{redact: {with: x}}", "process[0].redact: finds nothing");
    step(
        "{redact: {patterns: ['(']}}",
        "t.yaml:2:26: process[0].redact.patterns[0]: `(` does not compile: unclosed group",
    );
    step("{redact: {patterns: ['a{1000}{1000}']}}", "is too large when compiled");
    step("{deduplicate: {window: 2h}}", "process[0].deduplicate.window: `2h` is too large");
}

#[test]
fn conditions_that_mean_nothing() {
    let condition = |condition: &str, why: &str| refused(&format!("process: [{{drop: {condition}}}]"), why);
    condition("{}", "process[0].drop: says nothing; accepted: one of `all`, `any`, `not`, `origin`, `field`");
    condition("false", "process[0].drop: is a single value; accepted: a condition");
    condition("{field: a}", "process[0].drop.field: is asked nothing");
    condition("{equals: a}", "process[0].drop: says nothing");
    condition("{origin: a, equals: b}", "process[0].drop.equals: asks something of no field");
    condition("{origin: a, field: b, equals: c}", "process[0].drop: says several things");
    condition("{field: a, at_least: loud}", "process[0].drop.at_least: `loud` is no level");
    condition(
        "{field: a, matches: '*'}",
        "process[0].drop.matches: `*` does not compile: repetition operator missing expression",
    );
    condition("{field: a, mathces: b}", "process[0].drop.mathces: unknown key (did you mean `matches`?)");
    condition(
        "{field: a, exists: false, equals: b}",
        "process[0].drop.field: never holds: what is not there is nothing else",
    );
    condition("{field: a, one_of: []}", "process[0].drop.one_of: is empty");
    condition("{all: []}", "process[0].drop.all: is empty");
    condition(
        "{any: [{not: {field: a, exists: maybe}}]}",
        "process[0].drop.any[0].not.exists: `maybe` is neither true nor false",
    );
}

#[test]
fn routes_that_lead_nowhere() {
    let routes = |routes: &str, why: &str| {
        let destinations = "destinations: [{name: archive, endpoint: 'udp://h:1'}]";
        refused(&format!("{destinations}\nroutes:\n{routes}"), why);
    };
    routes(
        "- {to: [archiv]}",
        "t.yaml:3:9: routes[0].to[0]: no destination is called `archiv` (did you mean `archive`?); accepted: `archive`",
    );
    routes("- {when: {origin: a}}", "routes[0]: has no `to`");
    routes(
        "- {to: [archive]}\n- {to: []}",
        "t.yaml:4:3: routes[1]: is never reached: the route at t.yaml:3:3 takes all records",
    );
    let many: String =
        (0..65).map(|number| format!("- {{name: d{number}, endpoint: 'udp://h:{}'}}\n", number + 1)).collect();
    refused(&format!("destinations:\n{many}routes: [{{to: [d1]}}]"), "there are 65 destinations; accepted: at most 64");
}

#[test]
fn cases_that_show_nothing() {
    let case = |case: &str, why: &str| refused(&format!("tests:\n- {case}"), why);
    case("{input: [a], expect: []}", "tests[0]: has no `name`");
    case("{name: a, expect: []}", "tests[0]: has no `input`");
    case("{name: a, input: [a]}", "tests[0]: expects nothing");
    case("{name: a, input: [a], expect: ['[1]']}", "tests[0].expect[0]: is no object");
    case("{name: a, input: [a], expect: ['{a}']}", "tests[0].expect[0]: is no JSON");
    case("{name: a, input: [a], expect: [{b: c}], dropped: true}", "what is dropped can't be expected as well");
    case("{name: a, parse: regex, input: [a], expect: []}", "tests[0].parse: a case has no `pattern`");
    case("{name: a, input: [a], expect_at: {b: []}}", "no destination is called `b`; accepted: `stdout:`");
}

#[test]
fn files_add_steps_to_each_other() {
    let config = from_text("t.yaml", "process: [{drop: {origin: a}}]\n---\nprocess: [{prefix: b}]\n").unwrap();
    let names: Vec<_> = config.process.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["process[0].drop", "process[0].prefix"]);
    assert!(config.routes.is_none() && config.tests.is_empty());
}
