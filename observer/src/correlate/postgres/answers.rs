//! Each answer meets the request at the queue's head.

use std::sync::Arc;

use smallvec::SmallVec;

use super::gaps::Last;
use super::pairing::{Correlator, Emit, Finished, Request};
use super::portals::Name;
use super::split::Control;
use super::texts::Text;
use super::values::{self, Selection};
use super::{Execution, Outcome, SqlState, Which};
use crate::correlate::Body;
use crate::decode::Span;
use crate::decode::postgres::{self as wire, Columns, Status, Types, Values};
use crate::time::Timestamp;

/// Types kept of one statement's parameters.
const TYPES: usize = 256;
/// Values kept of all the fetches of one portal.
const COLUMNS: usize = 64;

impl Correlator {
    pub(super) fn response(&mut self, span: Span, body: &wire::Body<'_>, emit: Emit<'_>) {
        let stamp = span.ended;
        match body {
            wire::Body::DataRow(values) => self.row(*values),
            wire::Body::CommandComplete(tag) => {
                self.completed(tag.unwrap_or_default(), stamp, emit)
            }
            wire::Body::ReadyForQuery(status) => self.ready(*status, stamp, emit),
            wire::Body::BindComplete => self.bound(emit),
            wire::Body::ParseComplete => self.parsed(),
            wire::Body::CloseComplete => self.closed(emit),
            wire::Body::ParameterDescription(types) => self.parameters_described(*types),
            wire::Body::RowDescription(columns) => self.columns_described(*columns),
            wire::Body::NoData => self.no_columns(),
            wire::Body::PortalSuspended => self.suspended(stamp, emit),
            wire::Body::EmptyQueryResponse => {
                if let Some(Request::Execute { .. }) = self.queue.front() {
                    self.queue.pop_front();
                }
            }
            wire::Body::FunctionCallResponse => {
                if let Some(Request::FunctionCall { .. }) = self.queue.front() {
                    self.ended(Outcome::Completed, &[], stamp, emit);
                    self.block.completed(Some(&Control::Other), &[]);
                }
            }
            wire::Body::Error { state, fatal } => self.error(*state, *fatal, stamp, emit),
            wire::Body::CopyIn => self.copy_in(),
            wire::Body::Gap(_) => {
                self.answers_hidden = Some(Last::default());
                self.answer = super::pairing::Answer::default();
            }
            wire::Body::Realigned(status) => self.realigned(*status, stamp, emit),
            _ => {}
        }
    }

    fn row(&mut self, values: Values<'_>) {
        if !self.answer.begun {
            self.answer.begun = true;
            if let Some(portal) = self.portal_at_head() {
                self.answer.selection = portal.selection();
            }
        }
        self.answer.rows = self.answer.rows.saturating_add(1);
        if !self.answer.selection.is_empty() {
            values::take_row(values, &self.answer.selection, &mut self.answer.columns);
        }
    }

    fn portal_at_head(&mut self) -> Option<&mut super::portals::Portal> {
        match self.queue.front() {
            Some(Request::Execute {
                portal: Some(name), ..
            }) => self.portals.get_mut(name),
            _ => None,
        }
    }

    fn parsed(&mut self) {
        match self.queue.pop_front_if(|request| request.is_parse()) {
            Some(Request::Parse {
                name: Some(name),
                prepared,
            }) => self.statements.insert(&name, prepared),
            // Which statement it is was hidden, so any may have a new text.
            Some(_) => self.statements.clear(),
            None if self.unpaired() => self.statements.clear(),
            None => {}
        }
    }

    pub(super) fn bound(&mut self, emit: Emit<'_>) {
        let is_bind = |request: &mut Request| matches!(request, Request::Bind { .. });
        if let Some(Request::Bind {
            portal,
            statement,
            mut made,
        }) = self.queue.pop_front_if(is_bind)
        {
            if let Some(name) = statement
                && let Some(known) = self.statements.get(&name)
                && !Arc::ptr_eq(known, &made.prepared)
            {
                // The parameters were read for another text.
                *made = super::portals::Portal {
                    prepared: Arc::clone(known),
                    ..super::portals::Portal::default()
                };
            }
            let replaced = self.portals.insert(portal.unwrap_or_default(), made);
            self.fetched(replaced, emit);
        }
    }

    pub(super) fn closed(&mut self, emit: Emit<'_>) {
        let is_close = |request: &mut Request| {
            matches!(
                request,
                Request::CloseStatement(_) | Request::ClosePortal(_)
            )
        };
        match self.queue.pop_front_if(is_close) {
            Some(Request::CloseStatement(Some(name))) => self.statements.remove(&name),
            Some(Request::CloseStatement(None)) => self.statements.clear(),
            Some(Request::ClosePortal(Some(name))) => {
                let ran = self.portals.remove(&name);
                self.fetched(ran, emit);
            }
            _ => {}
        }
    }

    fn parameters_described(&mut self, types: Types<'_>) {
        if let Some(Request::DescribeStatement(Some(name))) = self.queue.front()
            && let Some(prepared) = self.statements.get(name)
            && prepared.wanted().is_some_and(|w| !w.parameters.is_empty())
        {
            let _ = prepared.types.set(types.take(TYPES).collect());
        }
    }

    fn columns_described(&mut self, columns: Columns<'_>) {
        match self.queue.front() {
            Some(Request::Query {
                texts, answered, ..
            }) => {
                let text = texts.get(*answered).and_then(Option::as_ref);
                self.answer.selection =
                    text.map_or_else(Selection::new, |text| values::select(columns, &text.wanted));
                self.answer.begun = true;
            }
            Some(Request::DescribeStatement(name)) => {
                if let Some(prepared) = name.as_ref().and_then(|name| self.statements.get(name))
                    && let Some(wanted) = prepared.wanted()
                {
                    let _ = prepared.selection.set(values::select(columns, wanted));
                }
                self.queue.pop_front();
            }
            Some(Request::DescribePortal(name)) => {
                if let Some(portal) = name.as_ref().and_then(|name| self.portals.get_mut(name))
                    && let Some(wanted) = portal.prepared.wanted()
                {
                    portal.selection = Some(values::select(columns, wanted));
                }
                self.queue.pop_front();
            }
            _ => {}
        }
    }

    fn no_columns(&mut self) {
        self.queue.pop_front_if(|request| {
            matches!(
                request,
                Request::DescribeStatement(_) | Request::DescribePortal(_)
            )
        });
    }

    /// The server reads, and ignores, a `Sync` that was sent behind the COPY statement.
    fn copy_in(&mut self) {
        self.copying = true;
        if let Some(Request::Execute { .. }) = self.queue.front() {
            while let Some(Request::Sync { .. }) = self.queue.get(1) {
                self.queue.remove(1);
            }
        }
    }

    fn completed(&mut self, tag: &[u8], stamp: Timestamp, emit: Emit<'_>) {
        if let Some(last) = &mut self.answers_hidden {
            *last = Last::Tag(SmallVec::from_slice(tag));
            return;
        }
        if self.expects_tag() || self.unpaired() {
            self.tagged(tag, stamp, emit);
        }
    }

    /// Whether a statement's end may come now.
    fn expects_tag(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Request::Query { .. } | Request::Execute { .. })
        )
    }

    /// Whether an answer may belong to a request that was hidden.
    fn unpaired(&self) -> bool {
        self.queue.is_empty() && (self.requests_hidden || self.overflow.is_some())
    }

    /// A statement ended with this tag.
    pub(super) fn tagged(&mut self, tag: &[u8], stamp: Timestamp, emit: Emit<'_>) {
        let text = self.ended(Outcome::Completed, tag, stamp, emit);
        let control = text.as_deref().map(|text| &text.control);
        match (tag, control) {
            (b"DEALLOCATE", Some(Control::Deallocate(name))) => {
                self.statements.remove(name.as_bytes());
            }
            (b"DEALLOCATE" | b"DEALLOCATE ALL" | b"DISCARD ALL", _) => self.statements.clear(),
            _ => {}
        }
        let outcome = self.block.completed(control, tag);
        if outcome.is_some() {
            self.portals_gone(emit);
        }
        if let Some(finished) = &mut self.finished {
            finished.transaction = outcome;
        }
    }

    /// The statement at the head ended; its text is returned, where it is known.
    pub(super) fn ended(
        &mut self,
        outcome: Outcome,
        tag: &[u8],
        stamp: Timestamp,
        emit: Emit<'_>,
    ) -> Option<Arc<Text>> {
        self.release(None, emit);
        let (mut execution, text) = self.execution(outcome, stamp);
        let (words, number) = read_tag(tag);
        execution.tag = words;
        execution.rows = match (number, execution.rows) {
            (Some(number), fetched) => Some(number.saturating_add(fetched.unwrap_or(0))),
            (None, fetched) => fetched,
        };
        self.finished = Some(Finished {
            execution,
            transaction: None,
        });
        text
    }

    /// What the statement at the head has done up to now; earlier fetches of its portal included.
    fn execution(
        &mut self,
        outcome: Outcome,
        stamp: Timestamp,
    ) -> (Box<Execution>, Option<Arc<Text>>) {
        let answer = std::mem::take(&mut self.answer);
        let mut execution = Box::new(Execution {
            which: Which::Unknown,
            began: self.answered.min(stamp),
            ended: stamp,
            waited: 0.0,
            seconds: 0.0,
            outcome,
            tag: String::new(),
            rows: None,
            parameters: SmallVec::new(),
            columns: answer.columns,
        });
        let mut text = None;
        let mut earlier = None;
        let requested = match self.queue.front_mut() {
            Some(Request::Query {
                texts,
                answered,
                began,
            }) => {
                text = texts.get(*answered).cloned().flatten();
                *answered = answered.saturating_add(1);
                if let Some(text) = &text {
                    execution.which = Which::Known(Arc::clone(&text.statement));
                }
                Some(*began)
            }
            Some(Request::FunctionCall { began, answered }) => {
                *answered = true;
                execution.which = Which::FunctionCall;
                Some(*began)
            }
            Some(Request::Execute { portal, began }) => {
                let began = *began;
                let name: Option<Name> = portal.take();
                self.queue.pop_front();
                if let Some(portal) = name.and_then(|name| self.portals.get_mut(&name)) {
                    text = portal.prepared.text().cloned();
                    execution.which = portal.prepared.which();
                    execution.parameters = std::mem::take(&mut portal.parameters);
                    if let (Some(wanted), Some(types)) =
                        (portal.prepared.wanted(), portal.prepared.types.get())
                    {
                        values::name_types(&mut execution.parameters, wanted, types);
                    }
                    earlier = portal.suspended.take();
                }
                Some(began)
            }
            _ => None,
        };
        if let Some(requested) = requested {
            execution.began = requested.max(self.answered).min(stamp);
            execution.waited = execution.began.seconds_since(requested);
        }
        execution.seconds = stamp.seconds_since(execution.began);
        self.answered = stamp;
        if let Some(earlier) = earlier {
            execution.began = earlier.began;
            execution.waited = earlier.waited;
            execution.seconds += earlier.seconds;
            execution.rows = earlier.rows;
            execution.parameters = earlier.parameters;
            let more = std::mem::replace(&mut execution.columns, earlier.columns);
            execution.columns.extend(more);
            execution.columns.truncate(COLUMNS);
        }
        (execution, text)
    }

    fn suspended(&mut self, stamp: Timestamp, emit: Emit<'_>) {
        let Some(Request::Execute { portal, .. }) = self.queue.front() else {
            return;
        };
        let name = portal.clone();
        self.release(None, emit);
        let rows = self.answer.rows;
        let (mut execution, _) = self.execution(Outcome::Completed, stamp);
        execution.rows = Some(execution.rows.unwrap_or(0).saturating_add(rows));
        match name.and_then(|name| self.portals.get_mut(&name)) {
            Some(portal) => portal.suspended = Some(execution),
            None => emit(Body::Sql(execution)),
        }
        self.block.completed(Some(&Control::Other), &[]);
    }

    /// A portal that was fetched in part is gone: that was its one execution.
    fn fetched(&mut self, ran: Option<Box<Execution>>, emit: Emit<'_>) {
        if let Some(ran) = ran {
            self.release(None, emit);
            emit(Body::Sql(ran));
        }
    }

    pub(super) fn portals_gone(&mut self, emit: Emit<'_>) {
        self.portals.clear(&mut |ran| emit(Body::Sql(ran)));
    }

    fn error(&mut self, state: Option<[u8; 5]>, fatal: bool, stamp: Timestamp, emit: Emit<'_>) {
        if let Some(last) = &mut self.answers_hidden {
            *last = Last::Error(state, fatal);
            return;
        }
        self.failed(state, fatal, stamp, emit);
    }

    pub(super) fn failed(
        &mut self,
        state: Option<[u8; 5]>,
        fatal: bool,
        stamp: Timestamp,
        emit: Emit<'_>,
    ) {
        let state = state.map_or(SqlState::UNKNOWN, SqlState);
        let execution = self.expects_tag()
            || matches!(
                self.queue.front(),
                Some(Request::FunctionCall {
                    answered: false,
                    ..
                })
            )
            || (self.unpaired() && self.answer.begun);
        let simple = self.queue.front().is_none_or(Request::is_boundary);
        if execution {
            self.ended(Outcome::Failed(state), &[], stamp, emit);
        } else {
            emit(Body::SqlError(state));
        }
        if fatal {
            self.block.fatal(execution);
        } else {
            self.block.error();
        }
        if simple {
            if let Some(Request::Query {
                texts, answered, ..
            }) = self.queue.front_mut()
            {
                *answered = texts.len();
            }
            return;
        }
        self.answer = super::pairing::Answer::default();
        while self
            .queue
            .pop_front_if(|request| !matches!(request, Request::Sync { .. }))
            .is_some()
        {}
        self.skipping = self.queue.is_empty() && self.overflow.is_none() && !self.requests_hidden;
        self.copying = false;
    }

    fn ready(&mut self, status: Option<Status>, stamp: Timestamp, emit: Emit<'_>) {
        if let Some(last) = self.answers_hidden.take() {
            self.settle(last, stamp, emit);
        }
        let asked = self.boundary();
        self.session_ready(asked, status, stamp, emit);
    }

    /// Takes the request that a `ReadyForQuery` answers off the queue, and what is left before it.
    fn boundary(&mut self) -> Option<Timestamp> {
        while let Some(request) = self.queue.pop_front() {
            match request {
                Request::Sync { began }
                | Request::Query { began, .. }
                | Request::FunctionCall { began, .. } => return Some(began),
                _ => {}
            }
        }
        self.overflow = match self.overflow {
            Some(2..) => self.overflow.map(|hidden| hidden.saturating_sub(1)),
            _ => None,
        };
        None
    }

    pub(super) fn session_ready(
        &mut self,
        asked: Option<Timestamp>,
        status: Option<Status>,
        stamp: Timestamp,
        emit: Emit<'_>,
    ) {
        // A Sync sent only after the tag had come says nothing of the time before it.
        let tag = self.finished.as_ref().map(|f| f.execution.ended);
        let last = asked.zip(tag).is_some_and(|(asked, tag)| asked <= tag);
        self.release(last.then_some(stamp), emit);
        self.answered = stamp;
        self.answer = super::pairing::Answer::default();
        self.copying = false;
        self.skipping = false;
        if status == Some(Status::Idle) {
            self.portals_gone(emit);
        }
        if let Some(outcome) = self.block.ready(status) {
            emit(Body::SqlTransaction(outcome));
        }
        self.shrink();
    }

    /// Hands on the execution that ended last; `ready` where it was the last of its request.
    pub(super) fn release(&mut self, ready: Option<Timestamp>, emit: Emit<'_>) {
        let Some(Finished {
            mut execution,
            transaction,
        }) = self.finished.take()
        else {
            return;
        };
        if let Some(ready) = ready {
            execution.seconds += ready.seconds_since(execution.ended);
            execution.ended = ready;
        }
        emit(Body::Sql(execution));
        if let Some(outcome) = transaction {
            emit(Body::SqlTransaction(outcome));
        }
    }
}

/// A tag's words before its numbers, and its last number.
fn read_tag(tag: &[u8]) -> (String, Option<u64>) {
    let text = std::str::from_utf8(tag).unwrap_or_default();
    let end = text
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(text.len());
    let words = text.get(..end).unwrap_or_default().trim_end();
    let number = text.rsplit(' ').next().and_then(|last| last.parse().ok());
    (words.to_ascii_uppercase(), number)
}
