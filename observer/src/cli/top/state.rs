//! What the terminal shows, and how keys and answers change it.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::bail;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::View;
use super::sheet::Sort;
use super::views::Period;
use crate::export::status::Status;

/// Seconds over which rates are taken.
const WINDOW: f64 = 10.0;
/// Seconds between two answers that are kept for it.
const APART: f64 = 1.0;

/// Rows that a page key scrolls.
const PAGE: usize = 10;
/// Bytes a filter may have.
const FILTER: usize = 40;

/// Everything there is to draw.
#[derive(Debug)]
pub(super) struct State {
    pub(super) view: View,
    sorts: [Sort; View::ALL.len()],
    pub(super) filter: String,
    /// Whether keys go into the filter.
    pub(super) typing: bool,
    pub(super) paused: bool,
    /// Totals since the start rather than rates.
    pub(super) totals: bool,
    /// Rows that are scrolled past.
    pub(super) offset: usize,
    latest: Status,
    /// Answers of the last [`WINDOW`], the oldest first.
    answers: VecDeque<Status>,
    /// Since when the agent does not answer, and why.
    pub(super) stale: Option<(Instant, String)>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Quit,
}

impl State {
    /// Shows `view` first, sorted by its column `sort`.
    ///
    /// # Errors
    /// When the view has no such column.
    pub(super) fn new(view: View, sort: Option<&str>) -> anyhow::Result<Self> {
        let mut state = Self {
            view,
            sorts: View::ALL.map(|view| Sort {
                column: view.amount(),
                reversed: false,
            }),
            filter: String::new(),
            typing: false,
            paused: false,
            totals: false,
            offset: 0,
            latest: Status::default(),
            answers: VecDeque::new(),
            stale: None,
        };
        if let Some(sort) = sort {
            let mut columns = view.columns().iter();
            let Some(column) = columns.position(|column| column.head.eq_ignore_ascii_case(sort))
            else {
                let heads: Vec<&str> = view.columns().iter().map(|column| column.head).collect();
                bail!(
                    "there is no column {sort:?} in that view; there are {}",
                    heads.join(", ")
                );
            };
            state.sort_mut().column = column;
        }
        Ok(state)
    }

    /// The agent has answered.
    pub(super) fn take(&mut self, status: Status) {
        self.stale = None;
        if self.paused {
            return;
        }
        let is_another =
            self.latest.start_time_seconds.to_bits() != status.start_time_seconds.to_bits();
        if is_another {
            self.answers.clear();
        }
        let age = |old: &Status| status.uptime_seconds - old.uptime_seconds;
        while self.answers.get(1).is_some_and(|next| age(next) >= WINDOW) {
            self.answers.pop_front();
        }
        if self.answers.back().is_none_or(|last| age(last) >= APART) {
            self.answers.push_back(status.clone());
        }
        self.latest = status;
    }

    /// The agent has not answered.
    pub(super) fn miss(&mut self, why: String, now: Instant) {
        let since = self.stale.as_ref().map_or(now, |(since, _)| *since);
        self.stale = Some((since, why));
    }

    /// What is shown.
    pub(super) fn latest(&self) -> &Status {
        &self.latest
    }

    /// The time amounts are taken over: the last ten seconds, or, where there was but one answer,
    /// all since the start.
    pub(super) fn period(&self) -> Period<'_> {
        let now = &self.latest;
        let uptime = now.uptime_seconds;
        let before = self
            .answers
            .front()
            .filter(|old| old.uptime_seconds < uptime);
        match before {
            _ if self.totals => Period {
                now,
                before: None,
                seconds: None,
            },
            Some(old) => Period {
                now,
                before,
                seconds: Some(uptime - old.uptime_seconds),
            },
            None => Period {
                now,
                before: None,
                seconds: Some(uptime.max(f64::MIN_POSITIVE)),
            },
        }
    }

    /// How the view is sorted.
    #[expect(clippy::indexing_slicing, reason = "there is a sorting for each view")]
    pub(super) fn sort(&self) -> Sort {
        self.sorts[self.view as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "there is a sorting for each view")]
    fn sort_mut(&mut self) -> &mut Sort {
        &mut self.sorts[self.view as usize]
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Flow {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Flow::Quit,
                _ => Flow::Continue,
            };
        }
        if self.typing {
            self.type_key(key.code);
            return Flow::Continue;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Flow::Quit,
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(View::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='6') => self.show(digit as usize - '1' as usize),
            KeyCode::Char('s' | '>') => self.resort(1),
            KeyCode::Char('<') => self.resort(self.view.columns().len() - 1),
            KeyCode::Char('r') => {
                let sort = self.sort_mut();
                sort.reversed = !sort.reversed;
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('t') => self.totals = !self.totals,
            KeyCode::Down => self.offset += 1,
            KeyCode::Up => self.offset = self.offset.saturating_sub(1),
            KeyCode::PageDown => self.offset += PAGE,
            KeyCode::PageUp => self.offset = self.offset.saturating_sub(PAGE),
            KeyCode::Home => self.offset = 0,
            _ => {}
        }
        Flow::Continue
    }

    fn type_key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(character) if self.filter.len() < FILTER => self.filter.push(character),
            _ => {}
        }
        self.offset = 0;
    }

    fn turn(&mut self, by: usize) {
        self.show((self.view as usize + by) % View::ALL.len());
    }

    fn show(&mut self, place: usize) {
        if let Some(view) = View::ALL.get(place) {
            self.view = *view;
            self.offset = 0;
        }
    }

    fn resort(&mut self, by: usize) {
        let columns = self.view.columns().len();
        let sort = self.sort_mut();
        sort.column = (sort.column + by) % columns;
        self.offset = 0;
    }
}
