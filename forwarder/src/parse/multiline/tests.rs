use proptest::prelude::*;

use super::*;

/// Records that `=====` stands between, printed by programs that were made to fail (Go, Java, Python, Rust, JavaScript),
/// or after the languages' documentation (.NET, Ruby).
const TRACES: [(Language, &str); 7] = [
    (Language::Go, include_str!("traces/go.txt")),
    (Language::Java, include_str!("traces/java.txt")),
    (Language::Python, include_str!("traces/python.txt")),
    (Language::Rust, include_str!("traces/rust.txt")),
    (Language::Dotnet, include_str!("traces/dotnet.txt")),
    (Language::Ruby, include_str!("traces/ruby.txt")),
    (Language::Javascript, include_str!("traces/javascript.txt")),
];

fn joined<'a>(grouping: &Grouping, lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let (mut state, mut records) = (State::default(), Vec::<String>::new());
    for line in lines {
        match (grouping.step(&mut state, line.as_bytes()), records.last_mut()) {
            (Step::Continues, Some(last)) => *last = format!("{last}\n{line}"),
            _ => records.push(line.to_owned()),
        }
    }
    records
}

#[test]
fn traces_are_whole_and_nothing_else_is_joined() {
    for (language, text) in TRACES {
        let records: Vec<&str> = text.trim_end().split("\n=====\n").collect();
        let lines = || records.iter().flat_map(|record| record.split('\n'));
        assert!(records.iter().any(|record| record.contains('\n')));
        assert_eq!(joined(&Grouping::traces(&[language]), lines()), records, "{language:?}");
        assert_eq!(joined(&Grouping::traces(&Language::ALL), lines()), records, "{language:?} among all");
    }
}

#[test]
fn a_return_at_the_end_is_none_of_the_line() {
    let grouping = Grouping::traces(&Language::ALL);
    let lines = "panic: x\r|\r|goroutine 1 [running]:\r|main.main()\r|\t/app/x.go:4 +0x25\r|exit status 2\r|next\r";
    assert_eq!(joined(&grouping, lines.split('|')).len(), 2);
}

#[test]
fn patterns_begin_records_or_go_on_with_them() {
    let start = Grouping::Start(Regex::new(r"^\d{4}-").unwrap());
    let lines = ["rest", "2026-01 a", " b", "c", "2026-02 d"];
    assert_eq!(joined(&start, lines.into_iter()), ["rest", "2026-01 a\n b\nc", "2026-02 d"]);
    let continuation = Grouping::Continuation(Regex::new(r"^\s").unwrap());
    assert_eq!(joined(&continuation, lines.into_iter()), ["rest", "2026-01 a\n b", "c", "2026-02 d"]);
}

proptest! {
    /// Whatever comes, each line is there once and in order.
    #[test]
    fn lines_that_belong_to_nothing_stand_alone(words in proptest::collection::vec("[a-z ]{0,12}", 1..20)) {
        let grouping = Grouping::traces(&Language::ALL);
        let records = joined(&grouping, words.iter().map(String::as_str));
        prop_assert_eq!(records, words);
    }
}
