//! A connection's payload: what it speaks, who decodes it, what becomes of its bytes.

use observer_ebpf::{Direction, Opener, Protocol};

use super::super::conversation::Opening;
use super::detecting::{Bounds, Detecting, Told};
use super::settle::settle;
use super::{Context, Session, Spoken, State, likely_vantage};
use crate::correlate::http::AbortReason;
use crate::correlate::vantage::{Observed, decoded_here};
use crate::correlate::{Body, Exchange};
use crate::decode::detect::server_name;
use crate::decode::{Fed, Lost, Side};
use crate::ledger::{Fate, Ledger};
use crate::reassemble::{Cause, ConnectionKey, Event, Input};
use crate::time::Timestamp;

impl Session {
    pub(super) fn data(
        &mut self,
        event: &Event<'_>,
        direction: Direction,
        input: Input<'_>,
        context: &mut Context<'_>,
    ) {
        let (key, time) = (event.connection, event.time);
        if self.identity.is_none() {
            self.ask(event, context);
        }
        if self.generation != context.generation {
            self.catch_up(key, time, context);
        }
        match &mut self.state {
            State::Spoken(_) => self.spoken(event, direction, input, context),
            State::Settled(fate) => {
                if counts(&input) {
                    context.ledger.settle(*fate, input.length());
                }
                let is_for_other = *fate == Fate::SkippedOtherEnd;
                if is_for_other && self.observed(context) == Observed::Nowhere {
                    // The other end is gone, and nobody else answers for this connection.
                    self.state = State::Detecting(Detecting::again(0, direction));
                }
            }
            State::Detecting(detecting) => {
                if self.identity.is_none() {
                    detecting.joined = true;
                }
                let (known, identity) = (self.vantage, self.identity);
                let place = |side: Option<Side>| match side {
                    Some(side) => {
                        let vantage = vantage_of(direction, side);
                        known
                            .is_none_or(|known| known == vantage)
                            .then_some(vantage)
                    }
                    None => known.or_else(|| identity.as_ref().map(likely_vantage)),
                };
                let bounds = Bounds {
                    bytes: context.detect_bytes,
                    turns: context.detect_turns,
                };
                let shared = (context.protocols, context.ledger, bounds);
                match detecting.take(direction, time, input, shared, place) {
                    Told::Nothing => {}
                    Told::GaveUp => {
                        Self::verdict(event, Protocol::Other, context);
                        self.state = State::Settled(Fate::SkippedOther);
                    }
                    Told::Protocol(protocol, vantage) => {
                        let named = match input {
                            Input::Bytes(bytes) if protocol == Protocol::Tls => {
                                let hello = [detecting.kept(), bytes].concat();
                                server_name(&hello).map(Box::from)
                            }
                            _ => None,
                        };
                        self.vantage = Some(vantage);
                        let opener = identity.map_or(Opener::Active as u8, |known| known.opener);
                        // Also where the other end decodes: it may not know of this one yet.
                        self.joined_sql =
                            protocol == Protocol::Postgres && opener == Opener::Unknown as u8;
                        self.tell(key, time, context);
                        if let Some(name) = named.filter(|_| vantage == Side::Client) {
                            self.say(key, time, Body::ServerName(name), context);
                        }
                        self.decided(event, protocol, direction, context);
                        self.data(event, direction, input, context);
                    }
                }
            }
        }
    }

    /// The protocol is known: opens its decoder, unless nobody decodes it here.
    fn decided(
        &mut self,
        event: &Event<'_>,
        protocol: Protocol,
        direction: Direction,
        context: &mut Context<'_>,
    ) {
        let State::Detecting(detecting) = std::mem::take(&mut self.state) else {
            return;
        };
        let vantage = self.vantage.unwrap_or(Side::Client);
        let opening = Opening {
            protocol,
            vantage,
            joined: detecting.joined,
        };
        let here = decoded_here(protocol, vantage, self.observed(context));
        let conversation = here.then(|| context.protocols.open(opening)).flatten();
        let kept = match conversation {
            Some(conversation) => {
                Self::verdict(event, protocol, context);
                State::Spoken(Spoken {
                    conversation,
                    protocol,
                    held: 0,
                    confirmed: false,
                    turns: detecting.turns(),
                })
            }
            None if !here => {
                Self::verdict(event, Protocol::OtherEnd, context);
                State::Settled(Fate::SkippedOtherEnd)
            }
            None => {
                Self::verdict(event, protocol, context);
                State::Settled(match protocol {
                    Protocol::Tls => Fate::SkippedTls,
                    Protocol::Http2 => Fate::SkippedHttp2,
                    Protocol::Upgraded => Fate::SkippedUpgraded,
                    _ => Fate::SkippedOther,
                })
            }
        };
        self.state = kept;
        let ledger = context.ledger;
        detecting.replay(ledger, |stamp, bytes| {
            let kept = Event {
                time: stamp,
                ..*event
            };
            self.data(&kept, direction, Input::Bytes(bytes), context);
        });
    }

    fn spoken(
        &mut self,
        event: &Event<'_>,
        direction: Direction,
        input: Input<'_>,
        context: &mut Context<'_>,
    ) {
        let (key, stamp) = (event.connection, event.time);
        let other_end = self.other_end().map(|end| end.cgroup);
        let other = self.observed(context);
        let State::Spoken(spoken) = &mut self.state else {
            return;
        };
        let vantage = self.vantage.unwrap_or(Side::Client);
        if !decoded_here(spoken.protocol, vantage, other) {
            spoken.give_up(Fate::SkippedOtherEnd, context.ledger);
            self.state = State::Settled(Fate::SkippedOtherEnd);
            Self::verdict(event, Protocol::OtherEnd, context);
            self.tell(key, stamp, context);
            return self.data(event, direction, input, context);
        }
        let told = self.told.map(|told| (told.vantage, told.other_end));
        if told != Some((vantage, other_end)) {
            self.tell(key, stamp, context);
        }
        let State::Spoken(spoken) = &mut self.state else {
            return;
        };
        let side = side_of(direction, vantage);
        let said = context.out.len();
        let out = &mut *context.out;
        let serves_sql = &mut self.serves_sql;
        let fed = spoken.conversation.feed(side, stamp, input, &mut |body| {
            *serves_sql |= matches!(&body, Body::SqlSession(session) if session.accepted);
            out.push(Exchange {
                connection: key,
                ended: stamp,
                body,
            });
        });
        let said = context.out.len() - said;
        spoken.confirmed |= said > 0;
        if vantage == Side::Server && other == Observed::Unknown {
            *context.unattributed += said as u64;
        }
        let now = spoken.conversation.held();
        settle(context.ledger, &input, fed, &mut spoken.held, now);
        match fed.lost {
            Some((Lost::Upgraded, _)) => {
                self.opaque(event, Protocol::Upgraded, Fate::SkippedUpgraded, context);
            }
            Some((Lost::Http2, _)) => {
                self.opaque(event, Protocol::Http2, Fate::SkippedHttp2, context);
            }
            Some((Lost::Tls, _)) => {
                self.opaque(event, Protocol::Tls, Fate::SkippedTls, context);
            }
            Some((Lost::Malformed, _)) if !spoken.confirmed => {
                spoken.give_up(Fate::LostMalformed, context.ledger);
                self.state = State::Detecting(Detecting::again(spoken.turns, direction));
                if std::mem::take(&mut self.joined_sql) {
                    self.tell(key, stamp, context);
                }
            }
            _ => {}
        }
    }

    /// What follows is not ours, for good.
    fn opaque(
        &mut self,
        event: &Event<'_>,
        protocol: Protocol,
        fate: Fate,
        context: &mut Context<'_>,
    ) {
        let (key, stamp) = (event.connection, event.time);
        self.end(key, stamp, AbortReason::Closed, fate, context);
        self.state = State::Settled(fate);
        Self::verdict(event, protocol, context);
    }

    pub(super) fn finished(
        &mut self,
        key: ConnectionKey,
        stamp: Timestamp,
        direction: Direction,
        context: &mut Context<'_>,
    ) {
        let State::Spoken(spoken) = &mut self.state else {
            return;
        };
        let side = side_of(direction, self.vantage.unwrap_or(Side::Client));
        let out = &mut *context.out;
        spoken.conversation.finish(side, stamp, &mut |body| {
            out.push(Exchange {
                connection: key,
                ended: stamp,
                body,
            });
        });
        let (nothing, now) = (Input::Bytes(&[]), spoken.conversation.held());
        settle(
            context.ledger,
            &nothing,
            Fed::default(),
            &mut spoken.held,
            now,
        );
    }

    /// The connection ends: what is in flight has no answer, what was kept undecided has `fate`.
    pub(super) fn end(
        &mut self,
        key: ConnectionKey,
        stamp: Timestamp,
        reason: AbortReason,
        fate: Fate,
        context: &mut Context<'_>,
    ) {
        match &mut self.state {
            State::Detecting(detecting) => detecting.give_up(fate, context.ledger),
            State::Spoken(spoken) => {
                let out = &mut *context.out;
                spoken.conversation.end(reason, stamp, &mut |body| {
                    out.push(Exchange {
                        connection: key,
                        ended: stamp,
                        body,
                    });
                });
                // A message that its connection's end cut short was in step to the end.
                let fate = match fate {
                    Fate::LostEvicted => fate,
                    _ => Fate::Decoded,
                };
                spoken.give_up(fate, context.ledger);
            }
            State::Settled(_) => {}
        }
        self.tell_retransmitted(key, stamp, context);
    }
}

impl Spoken {
    /// What the decoder holds will not be decided any more.
    fn give_up(&mut self, fate: Fate, ledger: &Ledger) {
        ledger.release(self.held);
        ledger.settle(fate, std::mem::take(&mut self.held));
    }
}

/// Whether user space counts an input: the kernel has counted lost records.
fn counts(input: &Input<'_>) -> bool {
    !matches!(input, Input::Hole(_, Cause::Record))
}

/// Who sent what goes that way, at this end.
fn side_of(direction: Direction, vantage: Side) -> Side {
    match (direction, vantage) {
        (Direction::Sent, _) => vantage,
        (Direction::Received, Side::Client) => Side::Server,
        (Direction::Received, Side::Server) => Side::Client,
    }
}

/// The end at which `side`'s bytes go that way.
fn vantage_of(direction: Direction, side: Side) -> Side {
    // It is its own inverse.
    side_of(direction, side)
}
