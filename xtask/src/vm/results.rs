//! What a boot printed, as a table for people and a row for the summary.

use std::collections::BTreeMap;
use std::path::Path;

use super::plan::{Boot, Lockdown};
use super::qemu::Ended;
use crate::report::Row;
use crate::ui::{self, Colour, paint};

/// What stands in a rung's place where Ringward is started as an image starts it (`early_boot.rs`).
const IMAGE: &str = "image";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Fail,
    Denied,
}

/// One `RESULT` line.
struct Outcome<'a> {
    rung: &'a str,
    scenario: &'a str,
    verdict: Verdict,
    text: &'a str,
}

fn parse(line: &str) -> Option<Outcome<'_>> {
    let mut words = line.strip_prefix("RESULT ")?.splitn(4, ' ');
    let (rung, scenario) = (words.next()?, words.next()?);
    let verdict = match words.next()? {
        "ok" => Verdict::Ok,
        "denied" => Verdict::Denied,
        _ => Verdict::Fail,
    };
    Some(Outcome { rung, scenario, verdict, text: words.next().unwrap_or_default() })
}

/// Prints the table and adds it up. A rung that lockdown denies passes where lockdown may deny it, and only there.
pub fn row(boot: &Boot, ended: &Ended) -> Row {
    let outcomes = ended.lines.iter().filter_map(|line| parse(line)).collect::<Vec<_>>();
    print_table(boot, &outcomes);
    let mut row = Row { name: boot.name(), took: ended.took, ..Row::default() };
    // A rung that does not start says the same for each of its scenarios: one note for all of them.
    let mut notes = BTreeMap::<(&str, &str, &str), Vec<&str>>::new();
    for outcome in &outcomes {
        let may_be_denied = boot.lockdown == Lockdown::Confidentiality;
        let word = match outcome.verdict {
            Verdict::Ok => {
                row.passed += 1;
                continue;
            }
            Verdict::Denied if may_be_denied => {
                row.passed += 1;
                "denied"
            }
            Verdict::Denied => {
                row.failed += 1;
                "failed: denied"
            }
            Verdict::Fail => {
                row.failed += 1;
                "failed"
            }
        };
        notes.entry((word, outcome.rung, outcome.text)).or_default().push(outcome.scenario);
    }
    row.notes.extend(notes.iter().map(|((word, rung, text), scenarios)| match scenarios.as_slice() {
        [scenario] => format!("{word}: {rung} {scenario}: {text}"),
        more => format!("{word}: {rung}, {} scenarios: {text}", more.len()),
    }));
    let console = ended.console.display();
    if ended.timed_out {
        fail(&mut row, format!("failed: the machine did not end in time; its console: {console}"));
    } else if !ended.lines.iter().any(|line| line == "END") {
        let last = last_words(&ended.console);
        fail(&mut row, format!("failed: the machine ended before its tests did; its console: {console}{last}"));
    }
    // A filter may have chosen what is run once for all rungs.
    let of_image = |part: &String| outcomes.iter().any(|o| o.rung == IMAGE && o.scenario.contains(part.as_str()));
    let only_of_image = !boot.scenarios.is_empty() && boot.scenarios.iter().all(of_image);
    for rung in &boot.rungs {
        if !only_of_image && !outcomes.iter().any(|outcome| outcome.rung == rung) {
            fail(&mut row, format!("failed: {rung}: no result at all; the machine's console: {console}"));
        }
    }
    row
}

/// Why the kernel died, where it says so: the console itself is seldom at hand where CI ran.
fn last_words(console: &Path) -> String {
    const SAYS_WHY: [&str; 5] = ["Oops", "BUG", "RIP: 0010:", "Kernel panic", "vm-init: "];
    let text = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let words: Vec<_> = text.lines().filter(|line| SAYS_WHY.iter().any(|word| line.contains(word))).collect();
    words[words.len().saturating_sub(6)..].iter().map(|line| format!("\n        {line}")).collect()
}

fn fail(row: &mut Row, note: String) {
    row.failed += 1;
    ui::error(&note);
    row.notes.push(note);
}

fn print_table(boot: &Boot, outcomes: &[Outcome<'_>]) {
    ui::heading(&boot.name());
    let mut scenarios = Vec::new();
    for outcome in outcomes {
        if !scenarios.contains(&outcome.scenario) {
            scenarios.push(outcome.scenario);
        }
    }
    scenarios
        .retain(|scenario| outcomes.iter().any(|o| o.scenario == *scenario && boot.rungs.contains(&o.rung.to_owned())));
    let header = boot.rungs.iter().map(|rung| format!("{rung:<16}")).collect::<String>();
    eprintln!("  {:<24}{header}", "");
    for scenario in scenarios {
        let cells = boot.rungs.iter().map(|rung| {
            let outcome = outcomes.iter().find(|outcome| outcome.rung == rung && outcome.scenario == scenario);
            match outcome.map(|outcome| outcome.verdict) {
                Some(Verdict::Ok) => paint(Colour::Green, &format!("{:<16}", "ok")),
                Some(Verdict::Fail) => paint(Colour::Red, &format!("{:<16}", "FAIL")),
                Some(Verdict::Denied) => paint(Colour::Yellow, &format!("{:<16}", "denied")),
                None => format!("{:<16}", "-"),
            }
        });
        eprintln!("  {scenario:<24}{}", cells.collect::<String>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn row_of(lockdown: Lockdown, lines: &[&str]) -> Row {
        row_with(lockdown, &[], lines)
    }

    fn row_with(lockdown: Lockdown, scenarios: &[&str], lines: &[&str]) -> Row {
        let boot = Boot {
            kernel: "6.1".to_owned(),
            cgroup: super::super::plan::Cgroup::V2,
            lockdown,
            rungs: vec!["fexit".to_owned()],
            scenarios: scenarios.iter().map(|part| (*part).to_owned()).collect(),
        };
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        row(&boot, &Ended { lines, timed_out: false, console: "console".into(), took: Duration::ZERO })
    }

    #[test]
    fn denied_passes_under_confidentiality_only() {
        let lines = ["RESULT fexit binary denied lockdown says no", "END"];
        let row = row_of(Lockdown::Confidentiality, &lines);
        assert_eq!((row.passed, row.failed), (1, 0));
        assert_eq!(row.notes, ["denied: fexit binary: lockdown says no"]);
        assert_eq!(row_of(Lockdown::Integrity, &lines).failed, 1);
    }

    #[test]
    fn a_machine_that_stops_halfway_fails() {
        assert_eq!(row_of(Lockdown::None, &["RESULT fexit binary ok"]).failed, 1);
        assert_eq!(row_of(Lockdown::None, &["END"]).failed, 1);
        assert_eq!(row_of(Lockdown::None, &["RESULT fexit binary ok", "END"]).failed, 0);
    }

    #[test]
    fn what_is_run_once_for_all_rungs_is_enough_where_nothing_else_was_asked_for() {
        let lines = ["RESULT image early-boot ok", "END"];
        assert_eq!(row_with(Lockdown::None, &["early"], &lines).failed, 0);
        assert_eq!(row_with(Lockdown::None, &["early", "binary"], &lines).failed, 1);
        assert_eq!(row_with(Lockdown::None, &[], &lines).failed, 1);
        assert_eq!(row_with(Lockdown::None, &["early"], &["END"]).failed, 1);
    }
}
