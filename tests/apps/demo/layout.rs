//! Tables side by side under each other, cut to what the terminal has.
//!
//! Every part keeps its heading; the rows that are left are dealt out by weight, and a heading
//! whose part is cut says so: `SQL (5 of 19)`.

use std::fmt::Write as _;

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// A table: a first column of text, further ones of figures.
#[derive(Debug)]
pub(crate) struct Part {
    title: &'static str,
    heads: &'static [&'static str],
    rows: Vec<Vec<String>>,
    weight: usize,
}

/// A line, and whether it is a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    text: String,
    heading: bool,
}

/// Columns of a figure, the blanks before it included.
const FIGURE: usize = 8;
/// Blanks before a line.
const MARGIN: &str = "  ";
/// Rows from which there is room for empty lines between the parts.
const AIRY: usize = 34;

/// The whole of it, in at most `size.rows` lines of at most `size.columns`.
pub(crate) fn picture(title: &str, parts: &[Part], rest: &[String], size: Size) -> Vec<Line> {
    let gap = usize::from(size.rows >= AIRY);
    let top = if title.is_empty() { 0 } else { 1 + gap };
    let fixed = top + parts.len() * (1 + gap) + rest.len();
    let shown = deal(parts, size.rows.saturating_sub(fixed));
    let mut lines = Vec::new();
    if !title.is_empty() {
        lines.push(Line::heading(title.to_owned()));
        lines.extend((0..gap).map(|_| Line::text(String::new())));
    }
    let width = width(parts, size.columns);
    for (part, shown) in parts.iter().zip(shown) {
        lines.extend(part.lines(shown, width));
        lines.extend((0..gap).map(|_| Line::text(String::new())));
    }
    let rest = rest.iter().map(|text| format!("{MARGIN}{text}"));
    lines.extend(rest.map(|text| Line::text(cut(&text, size.columns))));
    lines.truncate(size.rows);
    lines
}

/// Columns of the names: as many as the longest needs, so that a wide terminal does not tear names
/// and figures apart, and the same in every part, so that they line up.
fn width(parts: &[Part], columns: usize) -> usize {
    let most = |count: &mut dyn Iterator<Item = usize>| count.max().unwrap_or(0);
    let names = parts.iter().flat_map(|part| &part.rows);
    let longest = most(&mut names.filter_map(|row| Some(row.first()?.chars().count())));
    let titles = most(&mut parts.iter().map(|part| part.title.len() + CUT));
    let figures = most(&mut parts.iter().map(|part| part.heads.len())) * FIGURE;
    let room = columns.saturating_sub(MARGIN.len() + figures);
    longest.min(room).max(titles)
}

/// Columns of ` (99 of 99)` behind a title.
const CUT: usize = 11;

/// How many rows each part shows, of `room` together.
fn deal(parts: &[Part], room: usize) -> Vec<usize> {
    let mut shown = vec![0; parts.len()];
    for _ in 0..room {
        // The one that has least for its weight; the first of equals.
        let next = parts
            .iter()
            .zip(&mut shown)
            .filter(|(part, shown)| **shown < part.rows.len())
            .min_by_key(|(part, shown)| (**shown + 1) * 60 / part.weight);
        match next {
            Some((_, shown)) => *shown += 1,
            None => break,
        }
    }
    shown
}

/// The text in at most so many columns.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(columns.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The same; of a route the end tells more than the beginning, which many share.
///
/// ```text
///   GET /v1/shops/{shop_id}/products/{product_id}   ─▶   GET …/products/{product_id}
/// ```
pub(crate) fn name(text: &str, columns: usize) -> String {
    let route = text.split_once(" /").filter(|_| text.len() > columns);
    let Some((method, path)) = route else {
        return cut(text, columns);
    };
    let fits = path
        .match_indices('/')
        .filter_map(|(at, _)| path.get(at..))
        .map(|end| format!("{method} …{end}"))
        .find(|name| name.chars().count() <= columns);
    fits.unwrap_or_else(|| cut(text, columns))
}

// === impl Part ===

impl Part {
    pub(crate) fn new(
        title: &'static str,
        heads: &'static [&'static str],
        rows: Vec<Vec<String>>,
    ) -> Self {
        Self {
            title,
            heads,
            rows,
            weight: 1,
        }
    }

    /// Gets so many rows where others get one.
    pub(crate) fn weighing(self, weight: usize) -> Self {
        Self { weight, ..self }
    }

    fn lines(&self, shown: usize, width: usize) -> Vec<Line> {
        let all = self.rows.len();
        let title = if shown < all {
            format!("{} ({shown} of {all})", self.title)
        } else {
            self.title.to_owned()
        };
        let mut lines = vec![Line::heading(row(
            &title,
            self.heads.iter().copied(),
            width,
        ))];
        for cells in self.rows.iter().take(shown) {
            let mut cells = cells.iter().map(String::as_str);
            let first = name(cells.next().unwrap_or_default(), width);
            lines.push(Line::text(row(&first, cells, width)));
        }
        lines
    }
}

fn row<'a>(first: &str, figures: impl Iterator<Item = &'a str>, width: usize) -> String {
    let mut text = format!("{MARGIN}{first:<width$}");
    for figure in figures {
        // Writing to a string cannot fail.
        let _ = write!(text, "{figure:>FIGURE$}");
    }
    text
}

// === impl Line ===

impl Line {
    fn heading(text: String) -> Self {
        Self {
            text,
            heading: true,
        }
    }

    fn text(text: String) -> Self {
        Self {
            text,
            heading: false,
        }
    }

    pub(crate) fn plain(&self) -> &str {
        &self.text
    }

    /// Headings are bold.
    pub(crate) fn styled(&self) -> String {
        if self.heading {
            format!("\x1b[1m{}\x1b[m", self.text)
        } else {
            self.text.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(title: &'static str, rows: usize) -> Part {
        let row = vec!["GET /v1/shops/{shop_id}/products/{product_id}".to_owned()];
        Part::new(title, &["per s", "p50"], vec![row; rows])
    }

    #[test]
    fn a_picture_fits_the_terminal() {
        let parts = [
            part("HTTP", 21).weighing(3),
            part("SQL", 19).weighing(2),
            part("Redis", 2),
            part("Shops", 6),
        ];
        let rest = ["the ledger of bytes closes ".repeat(9)];
        for rows in [1, 5, 24, 40, 100] {
            for columns in [10, 80, 200] {
                let lines = picture("title", &parts, &rest, Size { columns, rows });
                assert!(lines.len() <= rows, "{rows}: {}", lines.len());
                if columns >= 80 {
                    let longest = lines.iter().map(|line| line.text.chars().count()).max();
                    assert!(longest <= Some(columns), "{columns}: {longest:?}");
                }
            }
        }
    }

    #[test]
    fn rows_are_dealt_by_weight_and_none_is_left_over() {
        let parts = [part("a", 20).weighing(3), part("b", 20), part("c", 1)];
        assert_eq!(deal(&parts, 9), [6, 2, 1]);
        assert_eq!(deal(&parts, 100), [20, 20, 1]);
        assert_eq!(deal(&parts, 0), [0, 0, 0]);
    }

    #[test]
    fn a_cut_part_says_so() {
        let size = Size {
            columns: 80,
            rows: 4,
        };
        let lines = picture("", &[part("SQL", 9)], &[], size);
        assert!(lines[0].text.starts_with("  SQL (3 of 9) "), "{lines:?}");
        assert!(lines[0].styled().starts_with("\x1b[1m"));
    }

    #[test]
    fn names_are_cut_where_they_tell_least() {
        let route = "GET /v1/shops/{shop_id}/products/{product_id}";
        let cases = [
            (route, 45, route),
            (route, 40, "GET …/{shop_id}/products/{product_id}"),
            (route, 30, "GET …/products/{product_id}"),
            (route, 8, "GET /v1…"),
            ("SELECT something FROM somewhere", 10, "SELECT so…"),
        ];
        for (text, columns, expected) in cases {
            assert_eq!(name(text, columns), expected);
        }
    }
}
