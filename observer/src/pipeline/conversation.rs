//! What a session needs of a protocol: its decoder and its correlator as one.

use observer_ebpf::Protocol;

use crate::correlate::Body;
use crate::correlate::http::AbortReason;
use crate::decode::{Decoder, Fed, Lost, Side};
use crate::reassemble::Input;
use crate::time::Timestamp;

/// Where a conversation puts what it has to say.
pub type Emit<'a> = &'a mut dyn FnMut(Body);

/// One connection's decoder and correlator.
pub trait Conversation: Send {
    /// Takes the next stretch of one direction.
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed;

    /// Bytes that wait inside the decoder, of both directions.
    fn held(&self) -> u64;

    /// One direction ended in order.
    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>);

    /// The connection is over: what is in flight will have no answer.
    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>);
}

/// A correlator, as the pipeline drives it.
pub trait Correlate: Send {
    /// The decoder whose messages it pairs.
    type Decoder: Decoder + Send;

    /// A message passed.
    fn on(&mut self, message: <Self::Decoder as Decoder>::Message<'_>, emit: Emit<'_>);

    /// The decoder gave up bytes of one direction, before it yields what follows them.
    fn lost(&mut self, side: Side, lost: Lost, stamp: Timestamp, emit: Emit<'_>);

    /// The connection is over.
    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>);
}

/// A decoder with its correlator.
pub struct Paired<C: Correlate> {
    decoder: C::Decoder,
    correlator: C,
}

impl<C: Correlate> Paired<C> {
    /// Joins the two.
    pub const fn new(decoder: C::Decoder, correlator: C) -> Self {
        Self {
            decoder,
            correlator,
        }
    }
}

impl<C: Correlate> Conversation for Paired<C> {
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let correlator = &mut self.correlator;
        let fed = self.decoder.feed(side, stamp, input, &mut |message| {
            correlator.on(message, emit);
        });
        if let Some((lost, _)) = fed.lost {
            correlator.lost(side, lost, stamp, emit);
        }
        fed
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>) {
        let correlator = &mut self.correlator;
        self.decoder.finish(side, stamp, &mut |message| {
            correlator.on(message, emit);
        });
    }

    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.correlator.end(reason, stamp, emit);
    }
}

/// What a connection's bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// Too few bytes to tell.
    Undecided,
    /// No message of a protocol we know begins here.
    Nothing,
    /// This protocol, and who of it sent these bytes; `None` where both send such.
    Protocol(Protocol, Option<Side>),
}

/// How a conversation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Which protocol; one that is decoded.
    pub protocol: Protocol,
    /// The end that is seen.
    pub vantage: Side,
    /// The first bytes are not the connection's first.
    pub joined: bool,
}

/// The protocols there are.
pub trait Protocols: Send {
    /// What begins with these bytes: the first of a direction, or the first of a turn.
    fn detect(&self, bytes: &[u8]) -> Detected;

    /// A decoder and a correlator for a connection; `None` for a protocol that is not decoded.
    fn open(&self, opening: Opening) -> Option<Box<dyn Conversation>>;
}
