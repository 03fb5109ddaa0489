//! What was measured: figures, most of them beside a bar, and plain tables.

use serde_json::{Value, json};

use crate::ui::{Colour, paint_out};

#[derive(Default)]
pub struct Outcome {
    figures: Vec<Figure>,
    pub tables: Vec<Table>,
}

/// One number.
pub struct Figure {
    pub part: &'static str,
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// The most that it may be; a figure without one is there to be read.
    pub bar: Option<f64>,
}

/// Numbers that belong beside each other.
pub struct Table {
    pub title: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<(String, Vec<f64>)>,
}

impl Figure {
    fn is_met(&self) -> Option<bool> {
        Some(self.value <= self.bar?)
    }
}

impl Outcome {
    pub fn push(&mut self, part: &'static str, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { part, name: name.into(), value, unit, bar: None });
    }

    /// A figure that may be at most `bar`.
    pub fn push_with_bar(&mut self, part: &'static str, name: &str, value: f64, unit: &'static str, bar: f64) {
        self.figures.push(Figure { part, name: name.to_owned(), value, unit, bar: Some(bar) });
    }

    pub fn push_table(&mut self, table: Table) {
        self.tables.push(table);
    }

    pub fn print(&self) {
        println!("{:<11} {:<44} {:>12} {:<9} {:>10}", "", "", "measured", "", "bar");
        for figure in &self.figures {
            let Figure { part, name, unit, .. } = figure;
            let bar = figure.bar.map(number).unwrap_or_default();
            let verdict = match figure.is_met() {
                None => String::new(),
                Some(true) => paint_out(Colour::Green, "ok"),
                Some(false) => paint_out(Colour::Red, "short"),
            };
            let line = format!("{part:<11} {name:<44} {:>12} {unit:<9} {bar:>10}  {verdict}", number(figure.value));
            println!("{}", line.trim_end());
        }
        for table in &self.tables {
            println!("\n{}", table.title);
            print!("  {:<26}", "");
            table.columns.iter().for_each(|column| print!(" {column:>14}"));
            println!();
            for (name, values) in &table.rows {
                print!("  {name:<26}");
                values.iter().for_each(|value| print!(" {:>14}", number(*value)));
                println!();
            }
        }
        let met = self.figures.iter().filter_map(Figure::is_met).filter(|met| *met).count();
        println!("\n{met} of {} bars met", self.figures.iter().filter(|figure| figure.bar.is_some()).count());
    }

    pub fn print_json(&self) {
        println!("{:#}", self.to_json());
    }

    fn to_json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            let Figure { part, name, value, unit, bar } = figure;
            json!({"part": part, "name": name, "value": value, "unit": unit, "bar": bar, "met": figure.is_met()})
        });
        let tables = self.tables.iter().map(|table| {
            let rows = table.rows.iter().map(|(name, values)| json!({"name": name, "values": values}));
            json!({"title": table.title, "columns": table.columns, "rows": rows.collect::<Vec<_>>()})
        });
        json!({"figures": figures.collect::<Vec<_>>(), "tables": tables.collect::<Vec<_>>()})
    }
}

pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// Three significant digits and a bit: what a measurement is worth.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{value:.3}"),
        size if size < 1000.0 => format!("{value:.1}"),
        _ => grouped(value.round() as i64),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.1234, 12.345, 999.94, 1_234_567.8].map(number);
        assert_eq!(texts, ["0", "0.123", "12.3", "999.9", "1,234,568"]);
    }

    #[test]
    fn a_bar_is_an_upper_bound() {
        let mut outcome = Outcome::default();
        outcome.push_with_bar("part", "at it", 1.0, "ms", 1.0);
        outcome.push_with_bar("part", "above it", 1.1, "ms", 1.0);
        outcome.push("part", "without", 1.0, "ms");
        let json = outcome.to_json();
        let met = [0, 1, 2].map(|index| json["figures"][index]["met"].clone());
        assert_eq!(met, [json!(true), json!(false), Value::Null]);
    }
}
