//! The table at the end of `cargo xtask test` and `cargo xtask vm`, and its closing line.

use std::process::ExitCode;
use std::time::Duration;

use crate::ui::{Colour, heading, paint};

/// One step: how many tests it held, and what there is to say about those that did not pass.
#[derive(Default)]
pub struct Row {
    pub name: String,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// One line each: a failed test, or a skipped one with its reason.
    pub notes: Vec<String>,
    pub took: Duration,
}

impl Row {
    /// A step that failed as a whole, or could not even be carried out.
    pub fn failure(name: &str, why: String) -> Self {
        crate::ui::error(&why);
        Self { name: name.to_owned(), failed: 1, notes: vec![format!("failed: {why}")], ..Self::default() }
    }
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub fn extend(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    /// Prints the table and the closing line; the exit code is a failure when anything failed.
    pub fn finish(&self) -> ExitCode {
        heading("Summary");
        eprintln!("  {:<48} {:>7} {:>7} {:>7} {:>8}", "", "passed", "failed", "skipped", "seconds");
        for row in &self.rows {
            let failed = match row.failed {
                0 => format!("{:>7}", 0),
                count => paint(Colour::Red, &format!("{count:>7}")),
            };
            let seconds = row.took.as_secs_f64();
            eprintln!("  {:<48} {:>7} {failed} {:>7} {seconds:>8.1}", row.name, row.passed, row.skipped);
            for note in &row.notes {
                eprintln!("      {note}");
            }
        }
        println!("{}", self.closing_line());
        if self.sum(|row| row.failed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn closing_line(&self) -> String {
        let [passed, failed, skipped] =
            [|row: &Row| row.passed, |row: &Row| row.failed, |row: &Row| row.skipped].map(|of| self.sum(of));
        match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        }
    }

    fn sum(&self, of: impl Fn(&Row) -> usize) -> usize {
        self.rows.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_adds_up() {
        let mut report = Report::default();
        report.push(Row { passed: 3, ..Row::default() });
        assert_eq!(report.closing_line(), "3 passed, 0 failed");
        report.push(Row { passed: 1, failed: 2, skipped: 1, ..Row::default() });
        assert_eq!(report.closing_line(), "4 passed, 2 failed, 1 skipped");
    }
}
