//! Draws the state: six lines around as many rows as fit.
//!
//! ```text
//!   observer 0.1.0  127.0.0.1:9464  up 3 h 20 min                        whose, how old
//!   412 HTTP/s  1.93 k SQL/s  830 Redis/s  3.10 MiB/s seen  0 B/s lost   rates
//!    1 Routes  2 Shops  3 Queries  4 Redis  5 Connections  6 Losses      views
//!   21 rows, per second over the last 10 s; workload shop                this view
//!   ROUTE                                 REQ▼     4XX     5XX …
//!   …
//!   tab view  s sort  r reverse  / filter …                              keys
//! ```

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::View;
use super::sheet::{Sheet, cut, sheet};
use super::state::State;
use super::views::Period;
use crate::export::figures::{bytes, count, rate, span};
use crate::export::status::Status;

/// Columns of a table that is printed rather than drawn.
const PRINTED: usize = 100;

const KEYS: &str = "tab view  s sort  r reverse  / filter  t totals  p pause  q quit";

/// Draws all of it; the offset is pulled back to the last row.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, place: &str, now: Instant) {
    let [title, rates, tabs, about, head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let width = usize::from(frame.area().width);
    let sheet = sheet(
        &state.period(),
        state.view,
        state.sort(),
        &state.filter,
        width,
    );
    let height = usize::from(body.height);
    state.offset = state.offset.min(sheet.rows.len().saturating_sub(height));

    let bold = Style::new().add_modifier(Modifier::BOLD);
    let quiet = Style::new().add_modifier(Modifier::DIM);
    put(frame, title, title_line(state, place, width, now));
    put(frame, rates, rates_line(state.latest()));
    put(frame, tabs, tabs_line(state.view));
    put(frame, about, Line::styled(about_text(state, &sheet), quiet));
    put(frame, head, Line::styled(sheet.head, bold));
    // What is old is still to be read, and not to be taken for news.
    let style = if state.stale.is_some() {
        quiet
    } else {
        Style::new()
    };
    let rows = sheet.rows.into_iter().skip(state.offset).zip(body.rows());
    for (row, area) in rows {
        put(frame, area, Line::styled(row, style));
    }
    put(frame, foot, foot_line(state));
}

fn put(frame: &mut Frame<'_>, area: Rect, line: Line<'_>) {
    frame.render_widget(line, area);
}

fn title_line(state: &State, place: &str, width: usize, now: Instant) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let alarm = bold.fg(Color::Red);
    let status = state.latest();
    let end = match (&state.stale, &status.not_ready) {
        (Some((since, why)), _) => {
            let seconds = now.saturating_duration_since(*since).as_secs_f64();
            Span::styled(format!("STALE {}: {why}", span(seconds)), alarm)
        }
        (None, Some(why)) => Span::styled(format!("NOT READY: {why}"), alarm),
        (None, None) if state.paused => Span::styled("PAUSED", bold),
        (None, None) => Span::raw(format!("up {}", span(status.uptime_seconds))),
    };
    let start = format!("observer {}  ", status.version);
    let place = cut(place, (width / 3).max(16));
    let left = width.saturating_sub(start.chars().count() + place.chars().count() + 2);
    let end = Span::styled(cut(&end.content, left), end.style);
    Line::from(vec![
        Span::styled(start, bold),
        Span::raw(place),
        Span::raw("  "),
        end,
    ])
}

fn rates_line(status: &Status) -> Line<'static> {
    let rates = &status.rates;
    let lost = format!("{}/s lost", bytes(rates.lost_bytes));
    let alarm = if rates.lost_bytes > 0.0 {
        Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    };
    Line::from(vec![
        Span::raw(format!(
            "{} HTTP/s  {} SQL/s  {} Redis/s  {}/s seen  ",
            rate(rates.requests),
            rate(rates.executions),
            rate(rates.commands),
            bytes(rates.bytes)
        )),
        Span::styled(lost, alarm),
        Span::raw(format!("  {} connections", count(status.connections))),
    ])
}

fn tabs_line(shown: View) -> Line<'static> {
    let tabs = View::ALL.iter().enumerate().map(|(place, view)| {
        let style = if *view == shown {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        Span::styled(format!(" {} {} ", place + 1, view.title()), style)
    });
    Line::from(tabs.collect::<Vec<_>>())
}

/// How many rows of what.
fn about_text(state: &State, sheet: &Sheet) -> String {
    let rows = match sheet.rows.len() {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    };
    let from = match state.offset {
        0 => String::new(),
        offset => format!(" from {}", offset + 1),
    };
    let period = state.period();
    let over = match (period.seconds, period.before) {
        (None, _) => "in all since the start".to_owned(),
        (Some(seconds), Some(_)) => format!("per second over the last {seconds:.0} s"),
        (Some(_), None) => "per second since the start".to_owned(),
    };
    let common = sheet.common.iter().map(|common| cut(common, 30));
    let parts: Vec<String> = std::iter::once(format!("{rows}{from}, {over}"))
        .chain(common)
        .collect();
    parts.join("; ")
}

fn foot_line(state: &State) -> Line<'static> {
    if state.typing {
        return Line::from(format!("filter: {}▏ enter keep  esc clear", state.filter));
    }
    let quiet = Style::new().add_modifier(Modifier::DIM);
    let mut spans = Vec::new();
    if !state.filter.is_empty() {
        spans.push(Span::raw(format!("filter: {}  ", state.filter)));
    }
    spans.push(Span::styled(KEYS, quiet));
    Line::from(spans)
}

/// The view as a text of totals, for pipes.
pub(super) fn text(state: &State) -> String {
    let period = Period {
        now: state.latest(),
        before: None,
        seconds: None,
    };
    let sheet = sheet(&period, state.view, state.sort(), &state.filter, PRINTED);
    let mut text = format!(
        "{}, in all since the start {} ago",
        state.view.title(),
        span(state.latest().uptime_seconds)
    );
    for common in &sheet.common {
        text.push_str(", ");
        text.push_str(&cut(common, PRINTED));
    }
    text.push('\n');
    for line in std::iter::once(&sheet.head).chain(&sheet.rows) {
        text.push_str(line);
        text.push('\n');
    }
    text
}
