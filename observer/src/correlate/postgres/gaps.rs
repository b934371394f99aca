//! What can still be said of requests whose answers were hidden.
//!
//! The requests are known, and that the server is done with them. If the last thing it said before
//! `ReadyForQuery` is a tag, no error came: all of them ran. If not, one that ran alone has run,
//! and so has the first one left, whose answer had begun; of the others an error may have skipped
//! some, and nothing is said.

use std::sync::Arc;

use smallvec::SmallVec;

use super::control::Control;
use super::pairing::{Correlator, Emit, Request};
use super::texts::Text;
use super::{Outcome, SqlState};
use crate::correlate::Body;
use crate::decode::postgres::Status;
use crate::time::Timestamp;

/// The last answer seen since answers were hidden.
#[derive(Debug, Default)]
pub(super) enum Last {
    /// None.
    #[default]
    Hidden,
    /// A tag.
    Tag(SmallVec<[u8; 32]>),
    /// An error: its SQLSTATE, and whether it ended the connection.
    Error(Option<[u8; 5]>, bool),
}

impl Correlator {
    /// The server is in step again, and done with all that was sent before.
    pub(super) fn realigned(&mut self, status: Option<Status>, stamp: Timestamp, emit: Emit<'_>) {
        self.answers_hidden = None;
        self.settle(Last::Hidden, stamp, emit);
        // The last boundary stays; what was sent behind it is not told from what was answered.
        if self.queue.len() > 1 {
            self.doubt(emit);
        }
        self.queue.clear();
        self.overflow = None;
        self.session_ready(None, status, stamp, emit);
    }

    /// Accounts for every request up to the last boundary, which stays in the queue.
    pub(super) fn settle(&mut self, last: Last, stamp: Timestamp, emit: Emit<'_>) {
        let mut alone = true;
        loop {
            let boundary = self.queue.iter().position(Request::is_boundary);
            let Some(boundary) = boundary else {
                // What was answered was hidden too, and may have ended the transaction.
                self.doubt(emit);
                self.block.doubt();
                break;
            };
            if self.queue.get(boundary).is_some_and(Request::is_cut) {
                self.doubt(emit);
                self.block.doubt();
            }
            let after = boundary.saturating_add(1);
            let more = self.queue.iter().skip(after).any(Request::is_boundary);
            if !more {
                self.settle_unit(last, boundary, alone, stamp, emit);
                break;
            }
            alone = false;
            self.settle_unit(Last::Hidden, boundary, alone, stamp, emit);
            self.queue.pop_front();
            if !self.block.in_block() {
                // It ended there, and how was hidden.
                self.doubt(emit);
            }
        }
    }

    /// Accounts for the requests before the queue's first boundary, and for it, if it runs. What
    /// ran alone ended at `stamp`; when each of several did is not known.
    fn settle_unit(
        &mut self,
        last: Last,
        boundary: usize,
        alone: bool,
        stamp: Timestamp,
        emit: Emit<'_>,
    ) {
        let hidden: usize = self
            .queue
            .iter()
            .take(boundary.saturating_add(1))
            .map(executions)
            .sum();
        let mut first = self.running();
        let mut left = hidden;
        loop {
            match self.queue.front() {
                Some(Request::Parse { name, prepared }) => {
                    if let Some(name) = name {
                        // Had it failed, what follows would not have run.
                        self.statements.insert(name, Arc::clone(prepared));
                    }
                    self.queue.pop_front();
                }
                Some(Request::Bind { .. }) => self.bound(emit),
                Some(Request::CloseStatement(_) | Request::ClosePortal(_)) => self.closed(emit),
                Some(Request::DescribeStatement(_) | Request::DescribePortal(_)) => {
                    self.queue.pop_front();
                }
                Some(request) if executions(request) > 0 => {
                    self.settle_execution(&last, hidden, left, first, stamp, emit);
                    if !alone || hidden > 1 {
                        self.untimed();
                    }
                    left = left.saturating_sub(1);
                    first = false;
                }
                _ => break,
            }
        }
        // An error with nothing left that could have failed: at Parse, Bind or the commit.
        if let (Last::Error(state, fatal), 0) = (last, hidden) {
            self.failed(state, fatal, stamp, emit);
        }
    }

    fn settle_execution(
        &mut self,
        last: &Last,
        hidden: usize,
        left: usize,
        first: bool,
        stamp: Timestamp,
        emit: Emit<'_>,
    ) {
        // What ended before is measured, and not the last before `ReadyForQuery`.
        self.release(None, emit);
        if self.was_told() {
            // Its rows may be hidden as well.
            emit(Body::SqlHidden);
        }
        match last {
            Last::Tag(tag) if hidden == 1 => self.tagged(tag, stamp, emit),
            // When each began and ended was hidden, not that it ran.
            Last::Tag(tag) if left == 1 => {
                self.tagged(tag, stamp, emit);
                if let Some(finished) = &mut self.finished {
                    finished.execution.outcome = Outcome::Unknown;
                }
            }
            Last::Error(state, fatal) if hidden == 1 || left == 1 => {
                if hidden == 1 {
                    self.failed(*state, *fatal, stamp, emit);
                } else {
                    self.forget_front();
                    emit(Body::SqlError(state.map_or(SqlState::UNKNOWN, SqlState)));
                    self.block.error();
                }
            }
            _ => {
                if self.rest(stamp, emit) {
                    return;
                }
                let ran = hidden == 1 || first || matches!(last, Last::Tag(_));
                let text = if ran {
                    self.ended(Outcome::Unknown, &[], stamp, emit)
                } else {
                    self.forget_front()
                };
                let control = text.as_ref().and_then(|text| text.control.as_ref());
                let ends = control.is_some_and(Control::ends);
                if !ran && control.is_none_or(Control::steers) {
                    self.doubt(emit);
                }
                // Where the end of it all was seen, nothing else can have come between.
                if text.is_some() && !ends && !matches!(last, Last::Hidden) {
                    self.block.completed(Some(&Control::Other), &[]);
                    return;
                }
                if ends {
                    self.portals_gone(emit);
                }
                let outcome = self.block.hide(ends);
                match &mut self.finished {
                    Some(finished) if ran => finished.transaction = outcome,
                    _ => {
                        if let Some(outcome) = outcome {
                            emit(Body::SqlTransaction(outcome));
                        }
                    }
                }
            }
        }
    }

    /// Something was hidden that may have undone a part of the transaction.
    pub(super) fn doubt(&mut self, emit: Emit<'_>) {
        self.release(None, emit);
        emit(Body::SqlHidden);
    }

    /// Takes a statement off the queue of which nothing can be said but its text.
    fn forget_front(&mut self) -> Option<Arc<Text>> {
        match self.queue.front_mut() {
            Some(Request::Query {
                texts, answered, ..
            }) => {
                let text = texts.get(*answered).cloned().flatten();
                *answered = answered.saturating_add(1);
                text
            }
            Some(Request::FunctionCall { answered, .. }) => {
                *answered = true;
                None
            }
            Some(Request::Execute { portal, .. }) => {
                let name = portal.take();
                self.queue.pop_front();
                name.and_then(|name| self.portals.get_mut(&name))
                    .and_then(|portal| portal.prepared.text().cloned())
            }
            _ => None,
        }
    }
}

/// How many statements a request still has to run.
fn executions(request: &Request) -> usize {
    match request {
        Request::Query {
            texts, answered, ..
        } => texts.len().saturating_sub(*answered),
        Request::FunctionCall { answered, .. } => usize::from(!answered),
        Request::Execute { .. } => 1,
        _ => 0,
    }
}
