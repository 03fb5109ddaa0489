//! A picture for people of what a line costs: one group of bars a way, one bar a forwarder, or a number of files,
//! destinations or containers.

use std::fmt::Write;

use super::outcome::{Outcome, Table};
use super::paths::{CPU, is_peer};

const WIDTH: usize = 820;
const LEFT: usize = 180;
const BAR: usize = 18;
const HEADING: usize = 34;

/// The chart as an SVG document; without bars where no path was measured.
pub fn bars(outcome: &Outcome) -> String {
    let groups = outcome.tables.iter().filter(|table| table.columns.first() == Some(&CPU)).collect::<Vec<_>>();
    let height = 40 + groups.iter().map(|table| HEADING + BAR * table.rows.len()).sum::<usize>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"22\" font-size=\"14\">CPU time of the forwarder a line, in microseconds: less is better</text>\n"
    );
    let mut y = 40;
    for table in groups {
        group(table, &mut y, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn group(table: &Table, y: &mut usize, svg: &mut String) {
    let most = table.rows.iter().map(|(_, values)| values[0]).fold(f64::MIN_POSITIVE, f64::max);
    let _ = writeln!(svg, "<text x=\"8\" y=\"{}\" font-weight=\"bold\">{}</text>", *y + 20, escaped(&table.title));
    *y += HEADING - 6;
    for (name, values) in &table.rows {
        let length = (values[0] / most * (WIDTH - LEFT - 80) as f64).max(1.0);
        let colour = if is_peer(name) { "#95a5a6" } else { "#c0392b" };
        let middle = *y + BAR - 5;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{}\" \
             width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{middle}\">{:.2}</text>",
            LEFT - 6,
            escaped(name),
            *y + 2,
            BAR - 4,
            LEFT as f64 + length + 5.0,
            values[0],
        );
        *y += BAR;
    }
    *y += 6;
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_value() {
        let mut outcome = Outcome::default();
        let rows = vec![
            ("ringward".to_owned(), vec![1.0]),
            ("5 <files>".to_owned(), vec![4.0]),
            ("rsyslog".to_owned(), vec![2.0]),
        ];
        outcome.push_table(Table { title: "a & b".into(), columns: vec![CPU], rows });
        let svg = bars(&outcome);
        assert!(svg.contains("width=\"140.0\"") && svg.contains("width=\"560.0\""), "{svg}");
        assert!(svg.contains("5 &lt;files>") && svg.contains("a &amp; b"));
        assert_eq!(svg.matches("#c0392b").count(), 2, "peers are grey");
    }
}
