//! PostgreSQL: executions, errors and transactions, by the server's own tags.
//!
//! Requests queue in the order they were sent; each answer meets the request at the queue's head.
//! What an answer means is decided then, in the server's order: a statement is mapped once its
//! `ParseComplete` came, a portal once its `BindComplete` came, and after an error nothing counts
//! until the next `Sync`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::time::Timestamp;

mod answers;
mod control;
mod executions;
mod gaps;
mod pairing;
mod portals;
mod split;
mod statements;
#[cfg(test)]
mod tests;
mod texts;
mod transaction;
mod values;

pub use control::Control;
pub use pairing::Correlator;
pub use texts::Shared;

/// Five characters of an SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// An error whose code was not captured.
    pub const UNKNOWN: Self = Self(*b"?????");
}

/// A statement's text, shared by all its executions. Its `Debug` shows no text.
#[derive(PartialEq, Eq, Hash)]
pub struct Statement {
    /// Unique for the agent's life; [`crate::interpret`] caches what it learnt about a text by it.
    pub id: u64,
    /// The text, at most 16 KiB of it; lossy UTF-8. It may hold literals: never a label.
    pub text: String,
    /// Whether the text is cut.
    pub cut: bool,
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("id", &self.id)
            .field("bytes", &self.text.len())
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

/// Which statement ran.
#[derive(Clone, Debug)]
pub enum Which {
    /// Its text was seen.
    Known(Arc<Statement>),
    /// Prepared before the observer could see its text, under this name (at most 63 bytes).
    Named(String),
    /// Nothing is known.
    Unknown,
    /// A `FunctionCall` message.
    FunctionCall,
}

/// A value that a rule asked for, as it passed. Its `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    /// Binary format; else text.
    pub binary: bool,
    /// The type's OID; 0 is unknown.
    pub oid: u32,
    /// The value, at most 256 bytes of it; `None` is NULL.
    pub bytes: Option<SmallVec<[u8; 16]>>,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("binary", &self.binary)
            .field("oid", &self.oid)
            .field("bytes", &self.bytes.as_ref().map(SmallVec::len))
            .finish_non_exhaustive()
    }
}

/// One execution: a statement that the server began to run.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Which.
    pub which: Which,
    /// The later of the request's first byte and the previous response's last byte.
    pub began: Timestamp,
    /// Its tag or error; for the last statement before a Sync, `ReadyForQuery`.
    pub ended: Timestamp,
    /// Seconds it waited behind others on its connection.
    pub waited: f64,
    /// Time the server worked for it, in seconds: `ended - began`, except for a portal fetched by
    /// several Executes, where it is the sum of them. Without meaning where not [`Self::timed`].
    pub seconds: f64,
    /// `false` where its beginning or its end was hidden: it counts, and is in no duration.
    pub timed: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The tag's first words in upper case without its numbers (`INSERT`, `SELECT`, `CREATE
    /// TABLE`); of a portal that was not fetched to its end, the text's first where that is the
    /// tag; empty where unknown.
    pub tag: String,
    /// The tag's number plus rows before each `PortalSuspended`; `None` where unknown or without.
    pub rows: Option<u64>,
    /// What it does to the transaction it runs in, if it succeeds; `None` where its text is not
    /// known.
    pub control: Option<Control>,
    /// What [`Interest`] asked for when its values were kept; `None` where nothing was.
    pub wanted: Option<Arc<Wanted>>,
    /// Values of the parameters that were asked for, in that order.
    pub parameters: SmallVec<[Option<Value>; 2]>,
    /// Values of the columns that were asked for: distinct neighbours only, or row by row where
    /// [`Wanted::rows`] were; a bounded number either way.
    pub columns: Vec<Cell>,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Which of the execution's rows, from 0.
    pub row: u32,
    /// Index into [`Wanted::columns`].
    pub column: u16,
    /// The value.
    pub value: Value,
}

impl Execution {
    /// The same with its values as if these had been asked for; those that were not kept are
    /// missing.
    #[must_use]
    pub fn asked(&self, wanted: &Arc<Wanted>) -> Cow<'_, Self> {
        let Some(before) = self.wanted.as_ref().filter(|before| *before != wanted) else {
            return Cow::Borrowed(self);
        };
        let parameters = wanted.parameters.iter().map(|number| {
            let place = before.parameters.iter().position(|known| known == number)?;
            self.parameters.get(place)?.clone()
        });
        let columns = self.columns.iter().filter_map(|cell| {
            let name = before.columns.get(usize::from(cell.column))?;
            let place = wanted.columns.iter().position(|column| column == name)?;
            Some(Cell {
                column: u16::try_from(place).ok()?,
                ..cell.clone()
            })
        });
        Cow::Owned(Self {
            wanted: Some(Arc::clone(wanted)),
            parameters: parameters.collect(),
            columns: columns.collect(),
            ..self.clone()
        })
    }
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With its tag.
    Completed,
    /// With an error.
    Failed(SqlState),
    /// Its end was not seen.
    Unknown,
}

/// A transaction's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// Committed.
    Commit,
    /// Rolled back on request.
    Rollback,
    /// Rolled back because of an error.
    Failed,
    /// Its end was hidden.
    Unknown,
    /// The connection ended before it.
    Lost,
}

impl Transaction {
    /// As a label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Failed => "failed",
            Self::Unknown | Self::Lost => "unknown",
        }
    }
}

/// What the startup message told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `database`, else `user`, at most 63 bytes.
    pub database: String,
    /// The server let the client in: only then is the name one of a database. Else anyone made it
    /// up, and an error follows.
    pub accepted: bool,
}

/// Which values of a statement the rules read; asked once per text, and again when they change.
pub trait Interest: Send + Sync {
    /// For a text.
    fn wanted(&self, statement: &Statement) -> Arc<Wanted>;
    /// For a statement known by its name alone (pgx names are a hash of the text).
    fn wanted_by_name(&self, name: &str) -> Option<Arc<Wanted>>;
}

/// The values of a statement that the rules read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Parameters, 1-based as in `$1`.
    pub parameters: Vec<u16>,
    /// Result columns by name.
    pub columns: Vec<String>,
    /// Whether values are to be kept row by row.
    pub rows: bool,
}
