//! An execution is put together from its request, its portal and its answer.

use std::sync::Arc;

use smallvec::SmallVec;

use super::pairing::{Correlator, Emit, Finished, Request};
use super::portals::Name;
use super::texts::Text;
use super::{Cell, Execution, Outcome, Transaction, Which, values};
use crate::correlate::Body;
use crate::time::Timestamp;

impl Correlator {
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
    pub(super) fn execution(
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
            timed: false,
            outcome,
            tag: String::new(),
            rows: None,
            control: None,
            wanted: answer.selection.wanted().cloned(),
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
                    execution.wanted.clone_from(&portal.wanted);
                    if let (Some(wanted), Some(types)) =
                        (&portal.wanted, portal.prepared.types.get())
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
            execution.timed = true;
        }
        execution.control = text.as_ref().and_then(|text| text.control.clone());
        execution.seconds = stamp.seconds_since(execution.began);
        self.answered = stamp;
        if let Some(earlier) = earlier {
            execution.began = earlier.began;
            execution.waited = earlier.waited;
            execution.seconds += earlier.seconds;
            execution.timed &= earlier.timed;
            execution.rows = earlier.rows;
            execution.parameters = earlier.parameters;
            let fetched = u32::try_from(earlier.rows.unwrap_or(0)).unwrap_or(u32::MAX);
            let more = std::mem::replace(&mut execution.columns, earlier.columns);
            execution.columns.extend(more.into_iter().map(|cell| Cell {
                row: cell.row.saturating_add(fetched),
                ..cell
            }));
            execution.columns.truncate(values::CELLS);
        }
        (execution, text)
    }

    /// When the execution that ended last began or ended was hidden.
    pub(super) fn untimed(&mut self) {
        if let Some(finished) = &mut self.finished {
            finished.execution.timed = false;
        }
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
            self.transaction(outcome, emit);
        }
    }

    /// A transaction ended; nothing that it did is sure where answers may be another's.
    pub(super) fn transaction(&self, outcome: Transaction, emit: Emit<'_>) {
        if self.ahead {
            emit(Body::SqlHidden);
        }
        emit(Body::SqlTransaction(outcome));
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
