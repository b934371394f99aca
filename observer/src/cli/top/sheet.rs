//! A view, sorted, filtered and fitted into some columns of text.

use std::cmp::Ordering;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::View;
use super::views::{Cell, Column, Kind, Period};
use crate::export::figures;

/// Columns of text a label takes at most.
const LABEL: usize = 14;
/// Columns of text a name takes at least, whatever else has no room then.
const NAME: usize = 12;

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    /// The index of the column.
    pub(super) column: usize,
    /// Figures begin with the largest, texts with the first; or not.
    pub(super) reversed: bool,
}

/// The text of a view.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) head: String,
    pub(super) rows: Vec<String>,
    /// What all rows have in common, and so is in no column.
    pub(super) common: Vec<String>,
}

/// Fits a view into `width` columns of text.
pub(super) fn sheet(
    period: &Period<'_>,
    view: View,
    sort: Sort,
    filter: &str,
    width: usize,
) -> Sheet {
    let columns = view.columns();
    let mut rows = period.rows(view);
    let needle = filter.to_lowercase();
    rows.retain(|row| needle.is_empty() || row.iter().any(|cell| cell.holds(&needle)));
    rows.sort_by(|a, b| order(a, b, sort));
    let mut common = Vec::new();
    let mut shown: Vec<(usize, &Column)> = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        match same(&rows, place).filter(|_| column.kind == Kind::Label) {
            Some(value) => common.push(format!("{} {value}", column.head)),
            None => shown.push((place, column)),
        }
    }
    let widths = widths(&shown, &rows, width);
    let heads = shown.iter().map(|(place, column)| {
        let mark = match (sort.column == *place, sort.reversed) {
            (false, _) => "",
            (true, false) => "▼",
            (true, true) => "▲",
        };
        column.head.to_uppercase() + mark
    });
    let lines = rows.iter().map(|row| {
        let cells = shown.iter().map(|(place, column)| {
            let cell = row.get(*place);
            cell.map_or_else(String::new, |cell| cell.text(column.kind))
        });
        line(&shown, &widths, cells)
    });
    Sheet {
        rows: lines.collect(),
        head: line(&shown, &widths, heads),
        common,
    }
}

/// The value that all of several rows have there.
fn same(rows: &[Vec<Cell>], place: usize) -> Option<&str> {
    let mut values = rows.iter().map(|row| match row.get(place) {
        Some(Cell::Text(text)) => text.as_str(),
        _ => "",
    });
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn order(a: &[Cell], b: &[Cell], sort: Sort) -> Ordering {
    let pair = a.get(sort.column).zip(b.get(sort.column));
    let by_column = pair.map_or(Ordering::Equal, |(a, b)| match (a, b) {
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        _ => b.value().total_cmp(&a.value()),
    });
    let by_column = if sort.reversed {
        by_column.reverse()
    } else {
        by_column
    };
    // Names keep rows of the same value from changing places.
    by_column.then_with(|| names(a).cmp(names(b)))
}

fn names(row: &[Cell]) -> impl Iterator<Item = &str> {
    row.iter().filter_map(|cell| match cell {
        Cell::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// Columns of text for each: the name has what the others leave.
fn widths(shown: &[(usize, &Column)], rows: &[Vec<Cell>], width: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = shown
        .iter()
        .map(|(place, column)| {
            // The mark of the sorting needs a place.
            let head = column.head.len() + 1;
            match column.kind {
                Kind::Name => 0,
                Kind::Label => {
                    let longest = rows.iter().filter_map(|row| match row.get(*place) {
                        Some(Cell::Text(text)) => Some(text.width()),
                        _ => None,
                    });
                    longest.max().unwrap_or(0).min(LABEL).max(head)
                }
                Kind::Amount => head.max(8),
                Kind::Share | Kind::Time => head.max(7),
            }
        })
        .collect();
    let taken: usize = widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
    let longest = rows.iter().filter_map(|row| match row.first() {
        Some(Cell::Text(text)) => Some(text.width()),
        _ => None,
    });
    let wanted = longest.max().unwrap_or(0).max(NAME);
    if let Some(name) = widths.first_mut() {
        *name = width.saturating_sub(taken).clamp(NAME, wanted);
    }
    widths
}

fn line(
    shown: &[(usize, &Column)],
    widths: &[usize],
    cells: impl Iterator<Item = String>,
) -> String {
    let mut text = String::new();
    for (((_, column), width), cell) in shown.iter().zip(widths).zip(cells) {
        if !text.is_empty() {
            text.push(' ');
        }
        let cell = cut(&cell, *width);
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        match column.kind {
            Kind::Name | Kind::Label => text.extend([cell, blanks]),
            Kind::Amount | Kind::Share | Kind::Time => text.extend([blanks, cell]),
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The text in at most so many columns, without its middle where it is longer; characters that
/// would move a terminal's cursor are shown as what they are not.
///
/// ```text
///   GET /v1/shops/{shop_id}/products/{product_id}   ─▶   GET /v1/shops/{…s/{product_id}
/// ```
pub(super) fn cut(text: &str, columns: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.width() <= columns {
        return text;
    }
    let room = columns.saturating_sub(1);
    let head = fitting(text.chars(), room.div_ceil(2));
    let left = room.saturating_sub(head.width());
    let tail: String = fitting(text.chars().rev(), left).chars().rev().collect();
    format!("{head}…{tail}")
}

fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut taken = 0;
    characters
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken <= columns
        })
        .collect()
}

impl Cell {
    fn value(&self) -> f64 {
        match self {
            // What is not known comes after zero.
            Self::Number(value) | Self::Time(value, _) => value.unwrap_or(-1.0),
            #[expect(clippy::cast_precision_loss, reason = "to be compared only")]
            Self::Count(count) => *count as f64,
            Self::Bytes(bytes) => *bytes,
            Self::Text(_) => -1.0,
        }
    }

    fn holds(&self, needle: &str) -> bool {
        matches!(self, Self::Text(text) if text.to_lowercase().contains(needle))
    }

    fn text(&self, kind: Kind) -> String {
        match (self, kind) {
            (Self::Text(text), _) => text.clone(),
            (Self::Time(seconds, most), _) => figures::time(*seconds, *most),
            (Self::Number(None), _) => "-".into(),
            (Self::Count(count), _) => figures::count(*count),
            (Self::Number(Some(share)), Kind::Share) => figures::share(*share, 1.0),
            (Self::Number(Some(amount)), _) => figures::rate(*amount),
            (Self::Bytes(bytes), _) => figures::bytes(*bytes),
        }
    }
}
