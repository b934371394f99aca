//! Requests, in the order in which they wait for their answers.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::portals::{Name, Portal, Portals};
use super::statements::{Prepared, Statements};
use super::texts::{Shared, Text};
use super::transaction::Block;
use super::values::{self, Selection};
use super::{Cell, Execution, Outcome, Session, Transaction, split};
use crate::correlate::Body;
use crate::decode::postgres::{self as wire, Bind, Message, Target};
use crate::decode::{Side, Span};
use crate::time::Timestamp;

/// Requests that may wait on one connection; beyond it their texts are not known.
const QUEUE_LIMIT: usize = 8192;
/// Bytes that they may hold beside their places in the queue; beyond it likewise.
const QUEUE_BYTES: usize = 1 << 20;
/// A queue that grew beyond this is given back once it is empty.
const QUEUE_RETAINED: usize = 64;
/// Types kept of one statement's parameters.
const TYPES: usize = 256;

/// Where results go.
pub(super) type Emit<'e> = &'e mut dyn FnMut(Body);

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) enum Request {
    /// A simple query, until its `ReadyForQuery`.
    Query {
        /// Its statements.
        texts: SmallVec<[Option<Arc<Text>>; 1]>,
        /// How many of them were answered.
        answered: usize,
        began: Timestamp,
    },
    /// A function call, until its `ReadyForQuery`.
    FunctionCall {
        began: Timestamp,
        answered: bool,
    },
    Parse {
        name: Option<Box<[u8]>>,
        prepared: Arc<Prepared>,
    },
    Bind {
        portal: Option<Name>,
        /// The statement's name, where another statement may have it once the server binds it.
        statement: Option<Box<[u8]>>,
        made: Box<Portal>,
    },
    DescribeStatement(Option<Box<[u8]>>),
    DescribePortal(Option<Name>),
    CloseStatement(Option<Box<[u8]>>),
    ClosePortal(Option<Name>),
    Execute {
        portal: Option<Name>,
        began: Timestamp,
    },
    Sync {
        began: Timestamp,
    },
}

impl Request {
    pub(super) fn is_parse(&self) -> bool {
        matches!(self, Self::Parse { .. })
    }

    /// Bytes of what a peer decides how many there are.
    fn bytes(&self) -> usize {
        match self {
            Self::Query { texts, .. } => size_of_val(&**texts),
            Self::Bind { made, .. } => made.formats.as_deref().map_or(0, <[bool]>::len),
            _ => 0,
        }
    }

    /// Whether its text is cut, so that it may have more statements than are known.
    pub(super) fn is_cut(&self) -> bool {
        let cut = |text: &Option<Arc<Text>>| text.as_ref().is_none_or(|text| text.statement.cut);
        matches!(self, Self::Query { texts, .. } if texts.last().is_none_or(cut))
    }

    /// Whether a `ReadyForQuery` answers it.
    pub(super) fn is_boundary(&self) -> bool {
        matches!(
            self,
            Self::Query { .. } | Self::FunctionCall { .. } | Self::Sync { .. }
        )
    }
}

/// What has come of the answer to the request at the head.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Rows since the last tag or suspension.
    pub(super) rows: u64,
    pub(super) selection: Selection,
    pub(super) columns: Vec<Cell>,
    /// Whether the selection is that of the portal at the head.
    pub(super) begun: bool,
}

/// An execution that ended, held until it is known to be the last before its `ReadyForQuery`.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) execution: Box<Execution>,
    /// The transaction that its tag ended.
    pub(super) transaction: Option<Transaction>,
}

/// Requests beyond the queue's bound, behind those in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overflow {
    /// The `ReadyForQuery`s they wait for.
    pub(super) boundaries: u32,
    /// Whether more of them follow the last of those.
    pub(super) open: bool,
}

/// Pairs one connection's requests and answers.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what is hidden of either side: each may be with or without the others"
)]
pub struct Correlator {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: VecDeque<Request>,
    /// Bytes that further requests may hold; more, once the queue is looked through again.
    room: usize,
    pub(super) statements: Statements,
    pub(super) portals: Portals,
    pub(super) block: Block,
    pub(super) answer: Answer,
    pub(super) finished: Option<Finished>,
    /// Asked for and not decided on yet.
    pub(super) session: Option<Box<Session>>,
    /// The last byte of the last tag, error or `ReadyForQuery`.
    pub(super) answered: Timestamp,
    /// The first byte of the request that is being sent.
    request: Option<Timestamp>,
    /// An error came in the extended protocol whose `Sync` was not seen yet.
    pub(super) skipping: bool,
    /// The server takes COPY data and ignores `Sync`.
    pub(super) copying: bool,
    /// Requests were hidden behind those in the queue.
    pub(super) requests_hidden: bool,
    /// Requests were hidden, and nothing sent after them was answered yet.
    pub(super) requests_doubted: bool,
    /// Requests were hidden of a client that sends ahead: which answer is whose is not sure.
    pub(super) ahead: bool,
    /// Requests that found no room in the queue.
    pub(super) overflow: Option<Overflow>,
    /// Answers were hidden; the last that was seen since.
    pub(super) answers_hidden: Option<super::gaps::Last>,
}

impl Correlator {
    /// For a connection of which nothing was seen yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            queue: VecDeque::new(),
            room: QUEUE_BYTES,
            statements: Statements::new(Arc::clone(&shared)),
            portals: Portals::default(),
            block: Block::default(),
            answer: Answer::default(),
            finished: None,
            session: None,
            answered: Timestamp::default(),
            request: None,
            skipping: false,
            copying: false,
            requests_hidden: false,
            requests_doubted: false,
            ahead: false,
            overflow: None,
            answers_hidden: None,
            shared,
        }
    }

    /// Takes the next message of either side.
    pub fn on(&mut self, message: &Message<'_>, emit: Emit<'_>) {
        match message.side {
            Side::Client => self.request(message.span, &message.body, emit),
            Side::Server => self.response(message.span, &message.body, emit),
        }
    }

    /// The connection is over, or forgotten: what runs will have no end.
    pub fn end(&mut self, stamp: Timestamp, emit: Emit<'_>) {
        if self.running() && !self.was_told() {
            self.ended(Outcome::Unknown, &[], stamp, emit);
            self.untimed();
        }
        self.release(None, emit);
        self.portals.clear(&mut |ran| emit(Body::Sql(ran)));
        if let Some(outcome) = self.block.end() {
            emit(Body::SqlTransaction(outcome));
        }
        self.queue = VecDeque::new();
        self.statements.clear();
    }

    /// The parameters of a `Bind` that rules read, counted from 0; to be asked before it is taken.
    #[must_use]
    pub fn parameters_read(&mut self, bind: &Bind<'_>) -> SmallVec<[usize; 2]> {
        let (prepared, _) = self.prepared(bind);
        let wanted = prepared.wanted();
        let numbers = wanted.iter().flat_map(|wanted| &wanted.parameters);
        numbers
            .filter_map(|number| usize::from(*number).checked_sub(1))
            .collect()
    }

    /// The columns of the last row that rules read, counted from 0.
    #[must_use]
    pub fn columns_read(&self) -> SmallVec<[usize; 2]> {
        self.answer.selection.fields().collect()
    }

    /// Whether the request at the head is a statement that the server runs.
    pub(super) fn running(&self) -> bool {
        match self.queue.front() {
            Some(Request::Query {
                texts, answered, ..
            }) => *answered < texts.len(),
            Some(Request::FunctionCall { answered, .. }) => !answered,
            Some(Request::Execute { .. }) => true,
            _ => false,
        }
    }

    fn request(&mut self, span: Span, body: &wire::Body<'_>, emit: Emit<'_>) {
        if let wire::Body::Gap(_) = body {
            self.requests_hidden = true;
            self.request = None;
            self.requests_doubted = true;
            // Their answers may be hidden as well.
            self.doubt(emit);
            return;
        }
        if self.queue.is_empty() {
            self.ahead = false;
        }
        if self.requests_hidden {
            // In step again, a client's turn begins when all before it is answered, unless it sends
            // ahead of the answers.
            self.ahead = !self.queue.is_empty();
            self.requests_hidden = false;
            self.queue.clear();
            self.skipping = false;
            self.copying = false;
        }
        let began = span.began;
        match body {
            wire::Body::Startup(startup) => {
                let database = [startup.database, startup.user]
                    .into_iter()
                    .find(|name| !name.is_empty());
                self.session = database.map(|database| {
                    Box::new(Session {
                        database: String::from_utf8_lossy(database).into_owned(),
                        accepted: false,
                    })
                });
            }
            wire::Body::Query(text) => {
                let texts = self.query_texts(*text);
                self.push(Request::Query {
                    texts,
                    answered: 0,
                    began,
                });
                self.request = None;
            }
            wire::Body::FunctionCall => {
                self.push(Request::FunctionCall {
                    began,
                    answered: false,
                });
                self.request = None;
            }
            wire::Body::Parse { name, text, types } => {
                self.request.get_or_insert(began);
                let prepared = self.parse(*name, *text, types.clone());
                self.push(Request::Parse {
                    name: name.map(Into::into),
                    prepared,
                });
            }
            wire::Body::Bind(bind) => {
                self.request.get_or_insert(began);
                let request = self.bind(bind);
                self.push(request);
            }
            wire::Body::Describe(target) => {
                self.request.get_or_insert(began);
                self.push(match target {
                    Target::Statement(name) => Request::DescribeStatement(name.map(Into::into)),
                    Target::Portal(name) => Request::DescribePortal(name.map(Name::from_slice)),
                });
            }
            wire::Body::Close(target) => {
                self.request.get_or_insert(began);
                self.push(match target {
                    Target::Statement(name) => Request::CloseStatement(name.map(Into::into)),
                    Target::Portal(name) => Request::ClosePortal(name.map(Name::from_slice)),
                });
            }
            wire::Body::Execute { portal } => {
                let began = self.request.take().unwrap_or(began);
                self.push(Request::Execute {
                    portal: portal.map(Name::from_slice),
                    began,
                });
            }
            wire::Body::Sync => {
                self.request = None;
                if self.copying {
                    return;
                }
                self.skipping = false;
                self.push(Request::Sync { began });
            }
            wire::Body::CopyEnd => self.copying = false,
            // Sent with a Flush, an answer comes before the rest of the request.
            _ => self.request = None,
        }
    }

    fn push(&mut self, request: Request) {
        if self.skipping {
            return;
        }
        if self.overflow.is_none() && self.queue.len() < QUEUE_LIMIT && self.has_room(&request) {
            self.queue.push_back(request);
            return;
        }
        let hidden = self.overflow.get_or_insert_default();
        hidden.open = !request.is_boundary();
        hidden.boundaries = hidden
            .boundaries
            .saturating_add(u32::from(request.is_boundary()));
    }

    /// Takes the room for what a request holds, if there is as much.
    fn has_room(&mut self, request: &Request) -> bool {
        let bytes = request.bytes();
        if bytes > self.room {
            let held: usize = self.queue.iter().map(Request::bytes).sum();
            self.room = QUEUE_BYTES.saturating_sub(held);
        }
        match self.room.checked_sub(bytes) {
            Some(left) => self.room = left,
            None => return false,
        }
        true
    }

    /// The queue is empty and will stay so for a while: an idle connection holds little.
    pub(super) fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_RETAINED {
            self.queue = VecDeque::new();
        }
    }

    fn query_texts(&mut self, text: wire::Text<'_>) -> SmallVec<[Option<Arc<Text>>; 1]> {
        let mut texts = SmallVec::new();
        // Most queries are one statement, whose text needs no second look.
        let split = memchr::memchr(b';', text.bytes)
            .and_then(|_| std::str::from_utf8(text.bytes).ok())
            .map(split::statements);
        match split {
            Some(parts) if parts.len() > 1 => {
                for (place, part) in parts.iter().enumerate() {
                    let cut = text.cut && place + 1 == parts.len();
                    texts.push(self.shared.text(part.as_bytes(), cut));
                }
            }
            _ => texts.push(self.shared.text(text.bytes, text.cut)),
        }
        texts
    }

    fn parse(
        &mut self,
        name: Option<&[u8]>,
        text: wire::Text<'_>,
        types: wire::Types<'_>,
    ) -> Arc<Prepared> {
        let interned = self.shared.text(text.bytes, text.cut);
        if let (Some(name), Some(interned), false) = (name, &interned, text.cut) {
            self.shared.learn(name, text.bytes, interned);
        }
        let prepared = Prepared::of(interned);
        if prepared.wanted().is_some_and(|w| !w.parameters.is_empty()) {
            let types: Box<[u32]> = types.take(TYPES).collect();
            // What the client leaves open, the server will tell.
            if !types.is_empty() && types.iter().all(|oid| *oid != 0) {
                let _ = prepared.types.set(types);
            }
        }
        Arc::new(prepared)
    }

    fn bind(&mut self, bind: &Bind<'_>) -> Request {
        let (prepared, early) = self.prepared(bind);
        let sure = prepared.text().is_some() && !early;
        let mut made = Box::new(Portal::default());
        if let Some(wanted) = prepared.wanted() {
            made.parameters = values::take_parameters(bind, &wanted);
            if !wanted.columns.is_empty() {
                made.formats = bind.results().map(|formats| formats.iter().collect());
            }
            made.wanted = Some(wanted);
        }
        made.prepared = prepared;
        Request::Bind {
            portal: bind.portal.map(Name::from_slice),
            statement: bind.statement.filter(|_| !sure).map(Into::into),
            made,
        }
    }

    /// What a `Bind` makes a portal of, and whether the server has yet to prepare that.
    fn prepared(&mut self, bind: &Bind<'_>) -> (Arc<Prepared>, bool) {
        let Some(name) = bind.statement else {
            return (Arc::default(), false);
        };
        match self.pending(name) {
            Some(pending) => (pending, true),
            None => (self.statements.resolve(name), false),
        }
    }

    /// The statement of this name that the server has yet to prepare.
    fn pending(&self, name: &[u8]) -> Option<Arc<Prepared>> {
        // Only what was sent since the last answers: mostly nothing, or a Parse right before.
        let mut newest = self.queue.iter().rev().take(PENDING_LOOK);
        newest.find_map(|request| match request {
            Request::Parse {
                name: Some(parsed),
                prepared,
            } if **parsed == *name => Some(Arc::clone(prepared)),
            _ => None,
        })
    }
}

/// How far back a `Bind` looks for the `Parse` of its statement before asking what is prepared.
const PENDING_LOOK: usize = 64;
