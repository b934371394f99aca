//! Columns of text.

use std::fmt::Write as _;

use observer_tests::account::Line;

/// The first column is text, the others are figures.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        let head = heads.get(column).map_or(0, |head| head.chars().count());
        longest.max(head)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (column, (cell, &width)) in cells.zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    };
    line(&mut heads.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Sent beside counted, with a mark where they differ.
pub(crate) fn accounts(title: &str, lines: &[Line]) -> String {
    let mut rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let mark = if line.agrees() { "" } else { "<- differs" };
            vec![
                line.what.clone(),
                line.sent.to_string(),
                line.counted.to_string(),
                mark.into(),
            ]
        })
        .collect();
    let sum = |figure: fn(&Line) -> u64| lines.iter().map(figure).sum::<u64>().to_string();
    let (sent, counted) = (sum(|line| line.sent), sum(|line| line.counted));
    rows.push(vec!["all".into(), sent, counted, String::new()]);
    table(&[title, "sent", "counted", ""], &rows)
}

/// Seconds as a person reads them: `730 µs`, `12.3 ms`, `1.20 s`.
pub(crate) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(s) if s.is_infinite() => "> 10 s".into(),
        Some(s) if s < 0.001 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.1} ms", s * 1e3),
        Some(s) => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "1".into()],
            vec!["bcd".into(), "1000".into()],
        ];
        assert_eq!(
            table(&["x", "n"], &rows),
            "  x       n\n  a       1\n  bcd  1000\n"
        );
    }

    #[test]
    fn times_read_well() {
        let cases = [
            (None, "-"),
            (Some(0.000_73), "730 µs"),
            (Some(0.0123), "12.3 ms"),
            (Some(1.2), "1.20 s"),
            (Some(f64::INFINITY), "> 10 s"),
        ];
        for (seconds, text) in cases {
            assert_eq!(time(seconds), text);
        }
    }
}
