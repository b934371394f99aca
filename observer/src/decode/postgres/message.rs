//! What both sides say, as messages that borrow.

use std::fmt;

use super::fields::{Bind, Columns, Types, Values};
use crate::decode::{Lost, Side, Span};

/// A message, or what is to be known between two.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Who sent it.
    pub side: Side,
    /// When.
    pub span: Span,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says. An `Option` is `None` where it was not captured.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// The client asks for TLS.
    SslRequest,
    /// The client asks for GSSAPI encryption.
    GssEncRequest,
    /// The client asks to cancel what another connection runs.
    CancelRequest,
    /// The client opens a session.
    Startup(Startup<'a>),
    /// A simple query: any number of statements.
    Query(Text<'a>),
    /// A statement to prepare.
    Parse {
        /// Its name; empty is the unnamed one.
        name: Option<&'a [u8]>,
        /// Its text.
        text: Text<'a>,
        /// The parameters' types, as far as the client says them; 0 is left open.
        types: Types<'a>,
    },
    /// A portal to make.
    Bind(Bind<'a>),
    /// A description is asked for.
    Describe(Target<'a>),
    /// A portal to run.
    Execute {
        /// Its name; empty is the unnamed one.
        portal: Option<&'a [u8]>,
    },
    /// A statement or portal to forget.
    Close(Target<'a>),
    /// The end of a request in the extended protocol.
    Sync,
    /// A function to call by its OID.
    FunctionCall,
    /// The client's end of a COPY, or its giving up.
    CopyEnd,
    /// The client says good-bye.
    Terminate,
    /// The statement is prepared.
    ParseComplete,
    /// The portal is made.
    BindComplete,
    /// Closed.
    CloseComplete,
    /// Types of a statement's parameters.
    ParameterDescription(Types<'a>),
    /// Columns of a result.
    RowDescription(Columns<'a>),
    /// There will be no rows.
    NoData,
    /// A row.
    DataRow(Values<'a>),
    /// A statement ended; its tag.
    CommandComplete(Option<&'a [u8]>),
    /// The query held no statement.
    EmptyQueryResponse,
    /// The portal has more rows than were asked for.
    PortalSuspended,
    /// The server waits for the client's COPY data.
    CopyIn,
    /// COPY data will follow.
    CopyOut,
    /// A replication stream begins.
    CopyBoth,
    /// The function's result.
    FunctionCallResponse,
    /// An error.
    Error {
        /// Its SQLSTATE.
        state: Option<[u8; 5]>,
        /// Whether it ends the connection.
        fatal: bool,
    },
    /// The server is done with a request.
    ReadyForQuery(Option<Status>),
    /// Anything that neither asks nor answers: authentication, COPY data, notices, parameters.
    Aside,
    /// This side is out of step from here.
    Gap(Lost),
    /// The server is in step again, without its answers: every request sent so far is done with.
    Realigned(Option<Status>),
}

/// A statement's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// At most [`super::TEXT_LIMIT`] bytes of it.
    pub bytes: &'a [u8],
    /// Whether there was more.
    pub cut: bool,
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("bytes", &self.bytes.len())
            .field("cut", &self.cut)
            .finish()
    }
}

/// What a `Describe` or `Close` is about, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A prepared statement.
    Statement(Option<&'a [u8]>),
    /// A portal.
    Portal(Option<&'a [u8]>),
}

/// What the startup message says; empty where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Startup<'a> {
    /// The role.
    pub user: &'a [u8],
    /// The database; the role's name stands in for it.
    pub database: &'a [u8],
    /// Whether it asks for a replication stream, which is not decoded.
    pub replication: bool,
}

/// Where the session stands at a `ReadyForQuery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In no transaction block.
    Idle,
    /// In a block.
    Block,
    /// In a block that failed.
    Failed,
}

impl Status {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Block),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}
