//! What the stack traces of languages look like, line by line.
//!
//! A trace is a small automaton: from a state, a line that fits a rule leads to another one; where no rule fits, the
//! trace has ended before the line. State 0 is outside of a trace. A blank line within a trace belongs to it, also where
//! it turns out to be the last: that is not known before the next line.
//!
//! Written from what the languages' run times print (Go 1.26, OpenJDK 17, CPython 3.11, Rust 1.95, .NET 9, Ruby 3.4 and
//! 2.7, Node.js 20) and what their common loggers put before it.

use regex::bytes::Regex;

use super::own_pattern;

/// A language whose traces are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Go,
    Java,
    Python,
    Rust,
    Dotnet,
    Ruby,
    Javascript,
}

impl Language {
    pub const ALL: [Self; 7] =
        [Self::Go, Self::Java, Self::Python, Self::Rust, Self::Dotnet, Self::Ruby, Self::Javascript];
    pub const COUNT: usize = Self::ALL.len();
}

/// A line that fits `pattern` leads from one of the states `from` to the state `to`.
pub(super) struct Rule {
    pub(super) from: &'static [u8],
    pub(super) pattern: &'static str,
    pub(super) to: u8,
}

const fn rule(from: &'static [u8], pattern: &'static str, to: u8) -> Rule {
    Rule { from, pattern, to }
}

/// The automaton of a language.
#[derive(Debug)]
pub(super) struct Trace {
    rules: Vec<(&'static [u8], Regex, u8)>,
}

impl Trace {
    pub(super) fn new(language: Language) -> Self {
        let compiled = |rule: &Rule| (rule.from, own_pattern(rule.pattern), rule.to);
        Self { rules: rules_of(language).iter().map(compiled).collect() }
    }

    /// The state behind `line`; 0 where it is none of the trace.
    pub(super) fn next(&self, state: u8, line: &[u8]) -> u8 {
        let fits = |(from, pattern, _): &&(&[u8], Regex, u8)| from.contains(&state) && pattern.is_match(line);
        self.rules.iter().find(fits).map_or(0, |(_, _, to)| *to)
    }
}

/// The first that fits counts.
pub(super) fn rules_of(language: Language) -> &'static [Rule] {
    match language {
        Language::Go => &GO,
        Language::Java => &JAVA,
        Language::Python => &PYTHON,
        Language::Rust => &RUST,
        Language::Dotnet => &DOTNET,
        Language::Ruby => &RUBY,
        Language::Javascript => &JAVASCRIPT,
    }
}

/// 1: behind what happened. 2: behind a blank line. 3: in a goroutine. 4: in the registers. 5: at the end.
const GO: [Rule; 11] = [
    rule(&[0], r"\bpanic: |\bpanic serving |^fatal error: |^SIG[A-Z]+: |^unexpected fault address ", 1),
    rule(&[0, 1, 2, 3], r"^goroutine [0-9]+ .*\[.*\]:$", 3),
    rule(&[1, 2], r"^\[signal ", 1),
    rule(&[1], r"^runtime: |^\[recovered\]|^[ \t]+\S", 1),
    rule(&[2], r"^runtime stack:$", 3),
    rule(&[1, 3, 4], r"^$", 2),
    rule(&[3], r"^\t|^created by |^[^\s(][^\s(]*\(.*\)$|^[^\s(]+\(\*?[^\s)]+\)\.\S+\(.*\)$|^\.\.\.", 3),
    rule(&[2, 4], r"^[a-z0-9]+ +0x[0-9a-f]+$", 4),
    rule(&[2], r"^created by ", 3),
    rule(&[3], r"^panic: ", 1),
    rule(&[2, 3, 4], r"^exit status [0-9]+$", 5),
];

/// 1: in a trace.
const JAVA: [Rule; 5] = [
    rule(&[0], r"(?:Exception|Error|Throwable)(?::|$)", 1),
    rule(&[1], r"^[ \t]+(?:at |eval at |\.\.\. [0-9]+ (?:more|common frames omitted))", 1),
    rule(&[1], r"^[ \t]*(?:Caused by|Suppressed|Wrapped by): ", 1),
    rule(&[1], r"^[ \t]*nested exception is: ?", 1),
    rule(&[1], r"^[ \t]*\[CIRCULAR REFERENCE: ", 1),
];

/// 1: in the frames. 2: behind the exception. 3, 5: behind a blank line. 4: behind what joins two. 6: in a group.
const PYTHON: [Rule; 8] = [
    rule(&[0], r"\+ Exception Group Traceback \(most recent call last\):$", 6),
    rule(&[0, 5], r"Traceback \(most recent call last\):$", 1),
    rule(&[1], r"^[ \t]+\S", 1),
    rule(&[1], r"^[A-Za-z_][A-Za-z0-9_.]*(?::|$)", 2),
    rule(&[2], r"^$", 3),
    rule(&[3], r"^(?:The above exception was the direct cause|During handling of the above exception)", 4),
    rule(&[4], r"^$", 5),
    rule(&[6], r"^[ \t]+[|+]", 6),
];

/// 1: the message follows. 2: behind it. 3: in the frames. 5: behind an error that `main` gave back. 6: behind a blank
/// line. 7: in its causes or frames.
const RUST: [Rule; 11] = [
    rule(&[0], r"^thread '.*' (?:\([0-9]+\) )?panicked at .*:[0-9]+:[0-9]+:$", 1),
    rule(&[0], r"^thread '.*' (?:\([0-9]+\) )?panicked at '", 2),
    rule(&[0], r"^Error: ", 5),
    rule(&[1], "", 2),
    rule(&[2, 3], r"^stack backtrace:$", 3),
    rule(&[2, 3], r"^note: ", 2),
    rule(&[2], r"^[ \t]+\S", 2),
    rule(&[3], r"^[ \t]+(?:[0-9]+: |at )", 3),
    rule(&[5, 7], r"^$", 6),
    rule(&[6], r"^(?:Caused by|Stack backtrace|Location):$", 7),
    rule(&[7], r"^[ \t]+\S", 7),
];

/// 1: in a trace. 2: in what the console logger prints for one record.
const DOTNET: [Rule; 4] = [
    rule(&[0], r"^(?:trce|dbug|info|warn|fail|crit): \S+\[[0-9]+\]$", 2),
    rule(&[2], r"^ {6}", 2),
    rule(&[0], r"Exception(?::| \(|$)", 1),
    rule(&[1], r"^[ \t]+at |^[ \t]*---> |^[ \t]*--- End of ", 1),
];

/// 1: in a trace. 2: in one that ends with what happened. 3: in one of Rails. 4: what is marked in the source follows.
const RUBY: [Rule; 11] = [
    rule(&[0, 2], r"[0-9]:in [`'].*\([A-Z][A-Za-z0-9_:]*\)$", 1),
    rule(&[0], r"^Traceback \(most recent call last\):$", 2),
    rule(&[2], r"^[ \t]+[0-9]+: from ", 2),
    rule(&[2], r"^[ \t]+\.\.\. ?[0-9]+ levels\.\.\.$", 2),
    rule(&[1], r"^[ \t]+from ", 1),
    rule(&[1], r"^[ \t]+\.\.\. ?[0-9]+ levels\.\.\.$", 1),
    rule(&[1], r"^$", 4),
    rule(&[4], r"\^+[ \t]*$|\S", 1),
    rule(&[1], r"^[ \t]*\^+[ \t]*$", 1),
    rule(&[0], r"^[A-Z][A-Za-z0-9_:]* \(.*\):$", 3),
    rule(&[3], r"^[ \t]*$|^[ \t]*\S+:[0-9]+:in [`']", 3),
];

/// 1: in the frames. 2: in the error's properties. 3: behind them. 4: behind a blank line. 5: at the end. 6: the source's
/// line follows. 7: behind it. 8: behind the mark below it. 9: behind a blank line.
const JAVASCRIPT: [Rule; 13] = [
    rule(&[0, 9], r"(?:Error|Exception)(?:: | \[|:?$)", 1),
    rule(&[9], r"^Uncaught |^\[?[A-Za-z]", 1),
    rule(&[0], r"^(?:(?:file://)?/|node:)\S*:[0-9]+$", 6),
    rule(&[1], r"^[ \t]+at .* \{$", 2),
    rule(&[1], r"^[ \t]+(?:at |\.\.\. )|^Require stack:$|^- /", 1),
    rule(&[1], r"^[ \t]+\[(?:cause|errors)\]: ", 2),
    rule(&[2], r"^[ \t]+\S", 2),
    rule(&[2], r"^[}\]]", 3),
    rule(&[1, 3], r"^$", 4),
    rule(&[4], r"^Node\.js v[0-9]", 5),
    rule(&[6], "", 7),
    rule(&[7], r"^[ \t]*\^+[ \t]*$", 8),
    rule(&[8], r"^$", 9),
];
