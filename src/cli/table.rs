//! Tables and times for people. What comes from printers and the cloud cannot steer the terminal: control characters
//! are shown as `?`.

use jiff::{SignedDuration, Timestamp};

/// Longest cell that others stand behind, characters. JSON has what is clipped as a whole.
const MAX_CELL: usize = 72;

/// A table with a head; columns are as wide as their widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| plain(&cell)).collect();
        let last = cells.len().saturating_sub(1);
        cells.iter_mut().take(last).for_each(clip);
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    pub(super) fn render(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            cells.join("  ").trim_end().to_owned() + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// Cuts what would make a column wider than a terminal.
fn clip(cell: &mut String) {
    if let Some((end, _)) = cell.char_indices().nth(MAX_CELL) {
        let keep = cell.get(..end).unwrap_or_default().chars().take(MAX_CELL - 1);
        *cell = keep.chain(['…']).collect();
    }
}

/// The text without anything that steers a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_format(c) { '?' } else { c }).collect()
}

/// Characters that change the direction or the look of what stands beside them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// How long ago, coarsely: `12 s`, `4 min`, `3 h`, `2 d`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.duration_since(at)))
}

/// A duration, coarsely.
pub(super) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time, to the second.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Octets, coarsely.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..=1_023 => format!("{count} B"),
        1_024..=1_048_575 => format!("{} KiB", count / 1_024),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// The text, or a dash.
pub(super) fn or_dash(text: Option<impl ToString>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_and_no_cell_steers_the_terminal() {
        let mut table = Table::new(&["A", "LONGER"]);
        assert!(table.is_empty());
        table.row(["wide cell".to_owned(), "\u{1b}[31mred\u{202e}".to_owned()]);
        assert_eq!(table.render(), "A          LONGER\nwide cell  ?[31mred?\n");
    }

    #[test]
    fn a_long_cell_is_clipped_where_others_stand_behind_it() {
        let mut table = Table::new(&["URI", "SEEN"]);
        table.row(["ü".repeat(500), "z".repeat(100)]);
        table.row(["x".repeat(MAX_CELL), "now".to_owned()]);
        let lines: Vec<String> = table.render().lines().map(str::to_owned).collect();
        assert_eq!(lines[1], format!("{}…  {}", "ü".repeat(MAX_CELL - 1), "z".repeat(100)));
        assert_eq!(lines[2], format!("{}  now", "x".repeat(MAX_CELL)));
    }

    #[test]
    fn times_are_coarse() {
        let at = |s| Timestamp::from_second(s).unwrap();
        assert_eq!(ago(at(0), at(119)), "119 s ago");
        assert_eq!(ago(at(0), at(7_000)), "116 min ago");
        assert_eq!(ago(at(0), at(100_000)), "27 h ago");
        assert_eq!(ago(at(0), at(200_000)), "2 d ago");
        assert_eq!(ago(at(10), at(0)), "0 s ago");
        assert_eq!(time(at(1_800_000_000)), "2027-01-15T08:00:00Z");
        assert_eq!((bytes(5), bytes(2_048), bytes(3 << 19)), ("5 B".into(), "2 KiB".into(), "1.5 MiB".into()));
    }
}
