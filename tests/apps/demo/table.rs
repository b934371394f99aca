//! Sent beside counted.

use std::fmt::Write as _;

use observer_tests::account::Line;

use crate::layout::name;

/// What stands right of a name: two figures, a mark and the blanks between.
const FIGURES: usize = 2 + 2 + 8 + 2 + 8 + 2 + 10;

/// One table of all sections in that many columns, lined up, with a mark where the two differ.
pub(crate) fn accounts(sections: &[(&str, Vec<Line>)], columns: usize) -> String {
    let names = sections
        .iter()
        .flat_map(|(title, lines)| lines.iter().map(|line| line.what.as_str()).chain([*title]));
    let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    let width = longest.min(columns.saturating_sub(FIGURES));
    let mut text = String::new();
    for (title, lines) in sections {
        let mut row = |what: &str, sent: &str, counted: &str, mark: &str| {
            let what = name(what, width);
            let line = format!("  {what:<width$}  {sent:>8}  {counted:>8}  {mark}");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
        };
        row("", "", "", "");
        row(title, "sent", "counted", "");
        for line in lines {
            let mark = if line.agrees() { "" } else { "<- differs" };
            let (sent, counted) = (line.sent.to_string(), line.counted.to_string());
            row(&line.what, &sent, &counted, mark);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_line_up_and_differences_are_marked() {
        let line = |what: &str, sent, counted| Line {
            what: what.into(),
            sent,
            counted,
        };
        let sections = [
            ("HTTP", vec![line("GET / 200", 1000, 1000)]),
            ("Redis", vec![line("get", 2, 1)]),
        ];
        assert_eq!(
            accounts(&sections, 80),
            "
  HTTP           sent   counted
  GET / 200      1000      1000

  Redis          sent   counted
  get               2         1  <- differs
"
        );
    }
}
