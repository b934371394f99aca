//! Each answer meets the request at the queue's head.

use std::sync::Arc;

use smallvec::SmallVec;

use super::control::Control;
use super::gaps::Last;
use super::pairing::{Correlator, Emit, Request};
use super::values::{self, Selection};
use super::{Execution, Outcome, SqlState};
use crate::correlate::Body;
use crate::decode::postgres::{self as wire, Columns, Status, Types, Values};
use crate::decode::{Lost, Span};
use crate::time::Timestamp;

/// Types kept of one statement's parameters.
const TYPES: usize = 256;
/// Tags of what undoes a part of a transaction, or parts it from what follows; the end of all ends
/// the portals too.
const STEER: [&[u8]; 4] = [
    b"SAVEPOINT",
    b"RELEASE",
    b"ROLLBACK",
    b"PREPARE TRANSACTION",
];

impl Correlator {
    pub(super) fn response(&mut self, span: Span, body: &wire::Body<'_>, emit: Emit<'_>) {
        let stamp = span.ended;
        match body {
            wire::Body::DataRow(values) => self.row(values.clone()),
            wire::Body::CommandComplete(tag) => {
                self.completed(tag.unwrap_or_default(), stamp, emit);
            }
            wire::Body::ReadyForQuery(status) => self.ready(*status, stamp, emit),
            wire::Body::BindComplete => self.bound(emit),
            wire::Body::ParseComplete => self.parsed(),
            wire::Body::CloseComplete => self.closed(emit),
            wire::Body::ParameterDescription(types) => self.parameters_described(types.clone()),
            wire::Body::RowDescription(columns) => self.columns_described(columns.clone()),
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
            wire::Body::Gap(why) => {
                self.answers_hidden = Some(Last::default());
                self.answer = super::pairing::Answer::default();
                // Where records are lost, a request may be whose loss has not shown yet.
                if self.requests_doubted || *why != Lost::Budget {
                    self.doubt(emit);
                }
                if self.requests_doubted {
                    self.block.doubt();
                }
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
        if !self.answer.selection.is_empty() {
            let answer = &mut self.answer;
            values::take_row(values, &answer.selection, answer.rows, &mut answer.columns);
        }
        self.answer.rows = self.answer.rows.saturating_add(1);
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
                    wanted: known.wanted(),
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
                self.answer.selection = text.map_or_else(Selection::default, |text| {
                    values::select(columns, text.wanted())
                });
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
                    && let Some(wanted) = portal.wanted.clone()
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
        } else {
            // Of a request that was hidden, and it may have been anything.
            self.doubt(emit);
            self.ahead = true;
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
        self.overtake(tag, emit);
        if self.rest(stamp, emit) {
            return;
        }
        let text = self.ended(Outcome::Completed, tag, stamp, emit);
        let control = text.as_deref().and_then(|text| text.control.as_ref());
        match (tag, control) {
            (b"DEALLOCATE", Some(Control::Deallocate(name))) => {
                self.statements.remove(name.as_bytes());
            }
            (b"DEALLOCATE" | b"DEALLOCATE ALL" | b"DISCARD ALL", _) => self.statements.clear(),
            _ => {}
        }
        let outcome = self.block.completed(control, tag);
        if control.is_some_and(|control| !control.fits(tag)) {
            self.ahead = true;
            emit(Body::SqlHidden);
        }
        if outcome.is_some() {
            self.portals_gone(emit);
        }
        if let Some(finished) = &mut self.finished {
            finished.transaction = outcome;
        }
    }

    fn suspended(&mut self, stamp: Timestamp, emit: Emit<'_>) {
        let Some(Request::Execute { portal, .. }) = self.queue.front() else {
            return;
        };
        let name = portal.clone();
        self.overtake(&[], emit);
        if self.rest(stamp, emit) {
            return;
        }
        self.release(None, emit);
        let rows = self.answer.rows;
        let (mut execution, _) = self.execution(Outcome::Completed, stamp);
        execution.rows = Some(execution.rows.unwrap_or(0).saturating_add(rows));
        match name.and_then(|name| self.portals.get_mut(&name)) {
            Some(portal) => {
                if let Some(tag) = portal.tag() {
                    tag.clone_into(&mut execution.tag);
                }
                portal.suspended = Some(execution);
            }
            None => emit(Body::Sql(execution)),
        }
        self.block.completed(Some(&Control::Other), &[]);
    }

    /// What ran of other portals and comes before what ends now is handed on.
    fn overtake(&mut self, tag: &[u8], emit: Emit<'_>) {
        self.release(None, emit);
        let head = match self.queue.front() {
            Some(Request::Execute { portal, .. }) => portal.as_ref(),
            _ => None,
        };
        let mut each = |ran| emit(Body::Sql(ran));
        self.portals.overtake(head, STEER.contains(&tag), &mut each);
    }

    /// Whether the portal at the head was told of before its last row was fetched.
    pub(super) fn was_told(&mut self) -> bool {
        self.portal_at_head().is_some_and(|portal| portal.told)
    }

    /// The rest of a portal that was told of came: it is no execution of its own.
    pub(super) fn rest(&mut self, stamp: Timestamp, emit: Emit<'_>) -> bool {
        if !self.was_told() {
            return false;
        }
        self.release(None, emit);
        let rows = std::mem::take(&mut self.answer).rows;
        let portal = self.portal_at_head();
        if rows > 0 && portal.is_some_and(|portal| portal.is_read() && portal.writes()) {
            // Of rows that were changed before what overtook them, and may be undone since.
            emit(Body::SqlHidden);
        }
        self.queue.pop_front();
        self.answered = stamp;
        self.block.completed(Some(&Control::Other), &[]);
        true
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
        if let Some(session) = self.session.take() {
            emit(Body::SqlSession(session));
        }
        let state = state.map_or(SqlState::UNKNOWN, SqlState);
        let execution = (self.expects_tag() && !self.was_told())
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
        self.ahead |= self.queue.is_empty() && self.requests_doubted && !self.requests_hidden;
        let asked = self.boundary();
        self.requests_doubted &= asked.is_none() || self.requests_hidden;
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
        if let Some(hidden) = &mut self.overflow {
            hidden.boundaries = hidden.boundaries.saturating_sub(1);
        }
        self.overflow = self
            .overflow
            .filter(|hidden| hidden.boundaries > 0 || hidden.open);
        None
    }

    pub(super) fn session_ready(
        &mut self,
        asked: Option<Timestamp>,
        status: Option<Status>,
        stamp: Timestamp,
        emit: Emit<'_>,
    ) {
        if let Some(mut session) = self.session.take() {
            session.accepted = true;
            emit(Body::SqlSession(session));
        }
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
            self.transaction(outcome, emit);
        }
        self.shrink();
    }
}
