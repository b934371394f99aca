//! Pairs the messages of one connection.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{AbortReason, Aborted, BODY_LIMIT, Exchange, HEADER_LIMIT, Request, Wants};
use crate::correlate::Body;
use crate::decode::Span;
use crate::decode::http1::{Message, Piece, RequestHead, ResponseHead};
use crate::time::Timestamp;

/// Bytes of text and bodies kept for the requests in flight of one connection. Past it a request
/// keeps no body, no query and no text of 128 bytes or more (a cut path would be another path), so
/// that a peer that pipelines makes the agent remember about three times this at most.
pub const KEPT_LIMIT: usize = 256 * 1024;

const TEXT_FLOOR: usize = 128;
const METHOD_LIMIT: usize = 32;
const PATH_LIMIT: usize = 4096;
const HOST_LIMIT: usize = 255;

/// Slots for requests in flight that a connection keeps once it has none.
const IDLE_SLOTS: usize = 8;

/// One connection's requests in flight.
///
/// Messages name the request they belong to, so nothing is counted here: gaps have been healed by
/// the decoder, which says of each response that will not come that it is hidden.
pub struct Correlator {
    wants: Arc<dyn Wants + Sync>,
    /// By number, without gaps.
    pending: VecDeque<Pending>,
    /// Bytes of text and bodies in `pending`.
    kept: usize,
    /// Last byte of the last response that was whole.
    previous: Timestamp,
}

/// A request in flight.
struct Pending {
    number: u64,
    request: Request,
    /// Its first byte.
    first: Timestamp,
    status: u16,
    /// Bytes of JSON bodies that may still be kept: the request's, the response's.
    room: [usize; 2],
    response_body: Vec<u8>,
}

impl Correlator {
    /// A correlator that asks `wants` at each request's head what of it to keep.
    #[must_use]
    pub fn new(wants: Arc<dyn Wants + Sync>) -> Self {
        Self {
            wants,
            pending: VecDeque::new(),
            kept: 0,
            previous: Timestamp::default(),
        }
    }

    /// Takes the decoder's next message. Every [`Body::HttpBegan`] is balanced by one
    /// [`Body::Http`] or [`Body::HttpAborted`], at the latest by [`Self::end`].
    pub fn on(&mut self, message: Message<'_>, emit: &mut dyn FnMut(Body)) {
        match message {
            Message::Request {
                number, span, head, ..
            } => {
                self.request(number, span, &head);
                emit(Body::HttpBegan);
            }
            Message::RequestBody { number, piece } => self.request_body(number, piece),
            Message::RequestEnd { number, size, .. } => {
                if let Some(pending) = self.find(number) {
                    pending.request.size = size;
                }
            }
            Message::Response { number, head, .. } => self.response(number, head),
            Message::ResponseBody { number, piece } => self.response_body(number, piece),
            Message::ResponseEnd { number, span, size } => {
                self.response_end(number, span.ended, size, emit);
            }
            Message::Hidden { number, stamp } => {
                if let Some(pending) = self.take(number) {
                    emit(aborted(pending, AbortReason::Lost, stamp));
                }
            }
        }
    }

    /// The connection is over: no request in flight will have its response.
    pub fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: &mut dyn FnMut(Body)) {
        self.kept = 0;
        for pending in std::mem::take(&mut self.pending) {
            emit(aborted(pending, reason, stamp));
        }
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    fn request(&mut self, number: u64, span: Span, head: &RequestHead<'_>) {
        let ample = self.kept < KEPT_LIMIT;
        let text = |bytes: &[u8], limit| match bytes.len() {
            TEXT_FLOOR.. if !ample => String::new(),
            _ => text(bytes, limit),
        };
        let mut request = Request {
            method: text(head.method, METHOD_LIMIT),
            path: text(head.path, PATH_LIMIT),
            query: text(head.query, if ample { PATH_LIMIT } else { 0 }),
            host: text(head.host, HOST_LIMIT),
            forwarded_host: text(head.forwarded_host, HOST_LIMIT),
            shop_subdomain: text(head.shop_subdomain, HOST_LIMIT),
            size: head.size,
            ..Request::default()
        };
        let parts = self.wants.parts(&request.method, &request.path);
        for name in parts.headers {
            let value = head.field(&name);
            if !value.is_empty() && value.len() <= HEADER_LIMIT {
                request.headers.push((name, text(value, HEADER_LIMIT)));
            }
        }
        let room = |wanted: bool| if wanted && ample { BODY_LIMIT } else { 0 };
        let pending = Pending {
            number,
            first: span.began,
            status: 0,
            room: [room(parts.request && head.json), room(parts.response)],
            response_body: Vec::new(),
            request,
        };
        self.kept += pending.kept();
        self.pending.push_back(pending);
    }

    fn request_body(&mut self, number: u64, piece: Piece<'_>) {
        let budget = KEPT_LIMIT.saturating_sub(self.kept);
        if let Some(pending) = self.find(number) {
            let length = length(piece);
            pending.request.size = pending.request.size.saturating_add(length);
            let [room, _] = &mut pending.room;
            self.kept += keep(&mut pending.request.body, room, piece, budget);
        }
    }

    fn response(&mut self, number: u64, head: ResponseHead) {
        if let Some(pending) = self.find(number).filter(|_| !head.interim()) {
            pending.status = head.status;
            if !head.json {
                let [_, room] = &mut pending.room;
                *room = 0;
            }
        }
    }

    fn response_body(&mut self, number: u64, piece: Piece<'_>) {
        let budget = KEPT_LIMIT.saturating_sub(self.kept);
        if let Some(pending) = self.find(number) {
            let [_, room] = &mut pending.room;
            self.kept += keep(&mut pending.response_body, room, piece, budget);
        }
    }

    fn response_end(
        &mut self,
        number: u64,
        ended: Timestamp,
        size: u64,
        emit: &mut dyn FnMut(Body),
    ) {
        let Some(pending) = self.take(number) else {
            return;
        };
        let began = pending.first.max(self.previous);
        self.previous = ended;
        emit(Body::Http(Box::new(Exchange {
            waited: began.seconds_since(pending.first),
            request: pending.request,
            status: pending.status,
            began,
            ended,
            response_size: size,
            response_body: pending.response_body,
        })));
    }

    fn find(&mut self, number: u64) -> Option<&mut Pending> {
        let first = self.pending.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.pending.get_mut(index)
    }

    /// Removes the oldest request in flight if it is this one: responses come and are hidden in
    /// the order of their requests.
    fn take(&mut self, number: u64) -> Option<Pending> {
        let pending = self
            .pending
            .pop_front_if(|pending| pending.number == number)?;
        self.kept -= pending.kept().min(self.kept);
        if self.pending.is_empty() {
            self.pending.shrink_to(IDLE_SLOTS);
        }
        Some(pending)
    }
}

impl Pending {
    fn kept(&self) -> usize {
        let request = &self.request;
        request.method.len()
            + request.path.len()
            + request.query.len()
            + request.host.len()
            + request.forwarded_host.len()
            + request.shop_subdomain.len()
            + request
                .headers
                .iter()
                .map(|(_, value)| value.len())
                .sum::<usize>()
            + request.body.len()
            + self.response_body.len()
    }
}

fn aborted(pending: Pending, reason: AbortReason, ended: Timestamp) -> Body {
    Body::HttpAborted(Box::new(Aborted {
        request: pending.request,
        reason,
        ended,
    }))
}

/// Adds to a body as far as there is room; the number of bytes added. What lies behind a hole
/// would not be the beginning of a body any more.
fn keep(body: &mut Vec<u8>, room: &mut usize, piece: Piece<'_>, budget: usize) -> usize {
    match piece {
        Piece::Bytes(bytes) => {
            let kept = bytes.get(..(*room).min(budget)).unwrap_or(bytes);
            body.extend_from_slice(kept);
            *room = if kept.len() < bytes.len() {
                0
            } else {
                *room - kept.len()
            };
            kept.len()
        }
        Piece::Aside(_) => 0,
        Piece::Hole(_) => {
            *room = 0;
            0
        }
    }
}

fn length(piece: Piece<'_>) -> u64 {
    match piece {
        Piece::Bytes(bytes) => bytes.len() as u64,
        Piece::Aside(_) => 0,
        Piece::Hole(length) => length,
    }
}

/// Text from the wire: its first `limit` bytes, invalid UTF-8 replaced.
fn text(bytes: &[u8], limit: usize) -> String {
    let cut = bytes.get(..limit).unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(cut) {
        return text.to_owned();
    }
    let mut text = String::from_utf8_lossy(cut).into_owned();
    // A replacement is longer than what it replaces.
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    text
}
