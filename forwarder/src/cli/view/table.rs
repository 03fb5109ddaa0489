//! Tables as `talosctl` writes them: columns as wide as their widest cell and three spaces, the last as it is.

const PADDING: usize = 3;

/// The table's text. A row may have any cells; what would break a line is a space.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let clean = |cell: &str| cell.replace(|c: char| c.is_control(), " ");
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| clean(cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + PADDING;
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let fill = if column + 1 == N { 0 } else { widths[column] - cell.chars().count() };
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', fill));
        }
        text.push('\n');
    }
    text
}

/// A time that has passed, as Go writes a duration that is rounded to seconds: `1h0m5s`.
pub(super) fn go_duration(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["NODE", "ID"], ["é", "a\nb"], ["", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "NODE   ID\né      a b\n       \n");
    }

    #[test]
    fn durations_are_gos() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (100_000, "27h46m40s")] {
            assert_eq!(go_duration(seconds), text);
        }
    }
}
