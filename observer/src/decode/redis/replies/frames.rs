//! Aggregates that are not over, and what comes of them.

use crate::decode::redis::{Aggregate, Answer};

/// An aggregate that is not over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Elements to come; `None` is until the end marker.
    pub(super) left: Option<u64>,
    pub(super) kind: Kind,
    pub(super) begun: bool,
    pub(super) nils: u32,
    pub(super) values: u32,
}

/// What an aggregate is to the one around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An array, a set or a map.
    Plain,
    /// A push that is a message of its own.
    Push,
    /// A push in the midst of a reply: no element of what is around it, unless it acknowledges a
    /// subscription that `EXEC` ran.
    Within,
    /// Attributes: no element of what is around them.
    Aside,
    /// A string in chunks.
    Chunks,
}

/// A value that is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Done {
    Value(Answer),
    Push(Aggregate),
    Aside,
    /// An acknowledgement within a reply of which nobody knows whether it is an element.
    Unknown,
}
