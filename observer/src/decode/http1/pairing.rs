//! Which request the next response answers.

use std::collections::VecDeque;
use std::ops::Range;

use super::head::Method;

/// Requests of a connection that may wait for their responses. What goes beyond hides them all:
/// no longer to know one method is to lose the extent, hence the place, of every later response.
pub const IN_FLIGHT_LIMIT: usize = 1024;

/// Requests in flight, numbered from 0 in the order of their heads.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    queue: VecDeque<Method>,
    /// Number of the queue's front.
    first: u64,
    /// Nothing is in flight but what the queue holds; so a server out of step may begin anew.
    pub(super) healed: bool,
    /// A request was seen to begin a turn while another was in flight: this client does not wait
    /// for its answers, so after a gap nothing tells which answer is whose, for good.
    pub(super) overlapped: bool,
}

impl Pairing {
    /// Adds a request; its number, or `None` where there is no room.
    pub(super) fn push(&mut self, method: Method) -> Option<u64> {
        if self.queue.len() >= IN_FLIGHT_LIMIT {
            return None;
        }
        self.queue.push_back(method);
        Some(self.next() - 1)
    }

    /// The oldest request in flight.
    pub(super) fn front(&self) -> Option<(u64, Method)> {
        Some((self.first, *self.queue.front()?))
    }

    /// The oldest request has its response.
    pub(super) fn pop(&mut self) {
        if self.queue.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Forgets all requests in flight; their numbers.
    pub(super) fn clear(&mut self) -> Range<u64> {
        let numbers = self.first..self.next();
        self.first = numbers.end;
        self.queue.clear();
        numbers
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }
}
