//! Bodies of HTTP messages: overwritten as they pass, or as a whole where rules read some of them.

use std::collections::VecDeque;

use super::http::Asked;
use super::json::{self, Read};
use super::walk::{Raw, hide};
use crate::correlate::http::BODY_LIMIT;
use crate::decode::Side;

/// Bodies that are read, of one connection.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// By the number of their request.
    requests: VecDeque<Open>,
    responses: VecDeque<Open>,
}

/// A body that is read.
#[derive(Debug)]
struct Open {
    number: u64,
    read: Read,
    /// Where its payload lies, and how much.
    pieces: Vec<(u64, usize)>,
    size: usize,
}

impl Open {
    fn new(number: u64, read: Read) -> Self {
        Self {
            number,
            read,
            pieces: Vec::new(),
            size: 0,
        }
    }

    /// Overwrites what came of it.
    fn overwrite(&self, raw: &mut Raw) {
        let mut body = Vec::with_capacity(self.size);
        for (at, size) in &self.pieces {
            if let Some(piece) = raw.place(*at, *size as u64) {
                body.extend_from_slice(piece);
            }
        }
        let end = body.len().min(BODY_LIMIT);
        let (read, beyond) = body.split_at_mut(end);
        json::overwrite(read, &self.read);
        hide(beyond);
        let mut rest = body.as_slice();
        for (at, size) in &self.pieces {
            if let Some(piece) = raw.place(*at, *size as u64)
                && let Some((overwritten, after)) = rest.split_at_checked(piece.len())
            {
                piece.copy_from_slice(overwritten);
                rest = after;
            }
        }
    }
}

impl Bodies {
    fn of(&mut self, side: Side) -> &mut VecDeque<Open> {
        match side {
            Side::Client => &mut self.requests,
            Side::Server => &mut self.responses,
        }
    }

    /// A request began; `json` says what its body is.
    pub(super) fn asked(&mut self, number: u64, asked: Asked, json: bool) {
        let request = asked.request.filter(|_| json);
        self.requests
            .extend(request.map(|read| Open::new(number, read)));
        self.responses
            .extend(asked.response.map(|read| Open::new(number, read)));
    }

    /// The next of a body's payload.
    pub(super) fn piece(&mut self, side: Side, number: u64, at: u64, length: usize, raw: &mut Raw) {
        let open = self.of(side).iter_mut().find(|open| open.number == number);
        match open {
            Some(open) => {
                open.pieces.push((at, length));
                open.size += length;
                if open.size > BODY_LIMIT {
                    self.over(side, number, raw);
                }
            }
            None => hide(raw.place(at, length as u64).unwrap_or_default()),
        }
    }

    /// No more of a body is read; nor of those before it.
    pub(super) fn over(&mut self, side: Side, number: u64, raw: &mut Raw) {
        let bodies = self.of(side);
        while let Some(open) = bodies.pop_front_if(|open| open.number <= number) {
            open.overwrite(raw);
        }
    }

    /// No more of any body is read.
    pub(super) fn over_all(&mut self, side: Side, raw: &mut Raw) {
        self.over(side, u64::MAX, raw);
    }

    /// Where the first body begins that has yet to be overwritten.
    pub(super) fn open(&self, side: Side) -> Option<u64> {
        let bodies = match side {
            Side::Client => &self.requests,
            Side::Server => &self.responses,
        };
        let begun = bodies.iter().filter_map(|open| open.pieces.first());
        begun.map(|(at, _)| *at).min()
    }
}
