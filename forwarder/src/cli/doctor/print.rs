//! The doctor's report as a table.

use clap::builder::styling::AnsiColor;

use super::{DoctorItem, Status};
use crate::cli::paint::Paint;

/// Columns: status, name, what was found; the advice below, indented. A last line counts.
pub fn table(items: &[DoctorItem], paint: Paint) -> String {
    let width = items.iter().map(|item| item.name.chars().count()).max().unwrap_or_default();
    let mut out = String::new();
    for item in items {
        // Padded before it is coloured: escapes have no width.
        let status = format!("{:<8}", word(item.status));
        let status = match item.status {
            Status::Ok => paint.colour(status, AnsiColor::Green),
            Status::Note => paint.dim(status),
            Status::Degraded => paint.colour(status, AnsiColor::Yellow),
            Status::Missing => paint.colour(status, AnsiColor::Red),
        };
        out.push_str(&format!("{status}  {:<width$}  {}\n", item.name, item.found));
        if let Some(advice) = &item.advice {
            for line in wrap(advice, 100) {
                out.push_str(&format!("{:10}{}\n", "", paint.dim(line)));
            }
        }
    }
    let count = |status| items.iter().filter(|item| item.status == status).count();
    let verdict = match (count(Status::Missing), count(Status::Degraded)) {
        (0, 0) => "Nothing is missing.".to_owned(),
        (missing, degraded) => format!("{missing} missing, {degraded} degraded."),
    };
    out.push_str(&format!("\n{}\n", paint.bold(verdict)));
    out
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Note => "note",
        Status::Degraded => "degraded",
        Status::Missing => "missing",
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_advice_is_wrapped() {
        let items = [
            DoctorItem::ok("kernel", "Linux 6.1"),
            DoctorItem::missing("btf of the kernel", "not there", "word ".repeat(30)),
        ];
        let table = table(&items, Paint::stdout());
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "ok        kernel             Linux 6.1");
        assert_eq!(lines[1], "missing   btf of the kernel  not there");
        assert!(
            lines[2].starts_with("          word") && lines[2].len() <= 110 && lines[3].contains("word"),
            "{table}"
        );
        assert_eq!(lines.last(), Some(&"1 missing, 0 degraded."));
    }
}
