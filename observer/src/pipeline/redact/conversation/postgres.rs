//! PostgreSQL.

use std::sync::Arc;

use observer_ebpf::Protocol;

use super::super::postgres::{Reads, answer, given_up, messages};
use super::super::walk::NOTHING;
use super::{Held, SIDES, lost_of, other};
use crate::correlate::http::AbortReason;
use crate::correlate::postgres::{Correlator, Shared};
use crate::decode::postgres::{Body, Postgres};
use crate::decode::{Decoder as _, Fed, Side};
use crate::pipeline::conversation::{Conversation, Emit};
use crate::reassemble::Input;
use crate::time::Timestamp;

/// A connection.
pub(super) struct Sql {
    decoder: Postgres,
    correlator: Correlator,
    reads: Reads,
    held: Held,
}

impl Conversation for Sql {
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let Self {
            decoder,
            correlator,
            reads,
            held,
        } = self;
        let before = SIDES.map(|side| decoder.in_step(side));
        let passed = decoder.passed(other(side));
        held.push(side, input);
        let fed = decoder.feed(side, stamp, input, &mut |message| {
            reads.note(&message);
            if let Body::Bind(bind) = &message.body {
                reads.parameters.push_back(correlator.parameters_read(bind));
            }
            correlator.on(&message, emit);
            if let Body::DataRow(_) = &message.body {
                reads.columns.push_back(correlator.columns_read());
            }
        });
        let lost = lost_of(side, input, fed, passed, decoder);
        for (of, was) in SIDES.into_iter().zip(before) {
            let is = of == side && decoder.in_step(of);
            let lost = if of == side { lost } else { 0 };
            held.release(of, decoder.passed(of), |raw| {
                let was = was || raw.begins(Protocol::Postgres, of);
                let lost = if raw.begins(Protocol::Postgres, of) {
                    0
                } else {
                    lost
                };
                let mut walk = raw.walk();
                answer(of, &mut walk, reads);
                let good = walk.length().saturating_sub(lost);
                if was {
                    let mut good = walk.split(good);
                    messages(of, &mut good, reads);
                    good.fill(NOTHING);
                    given_up(of, walk);
                } else if is {
                    walk.split(lost).fill(NOTHING);
                    messages(of, &mut walk, reads);
                    walk.fill(NOTHING);
                } else {
                    given_up(of, walk);
                }
            });
        }
        reads.parameters.clear();
        reads.columns.clear();
        fed
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>) {
        let correlator = &mut self.correlator;
        self.decoder
            .finish(side, stamp, &mut |message| correlator.on(&message, emit));
    }

    fn end(&mut self, _: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.correlator.end(stamp, emit);
        self.flush();
    }
}

impl Sql {
    /// A new one.
    pub(super) fn new(statements: Arc<Shared>, held: Held) -> Self {
        Self {
            decoder: Postgres::new(),
            correlator: Correlator::new(statements),
            reads: Reads::default(),
            held,
        }
    }

    fn flush(&mut self) {
        for side in SIDES {
            let in_step = self.decoder.in_step(side);
            let reads = &mut self.reads;
            self.held.release(side, u64::MAX, |raw| {
                let in_step = in_step || raw.begins(Protocol::Postgres, side);
                let mut walk = raw.walk();
                if in_step {
                    messages(side, &mut walk, reads);
                }
                walk.fill(NOTHING);
            });
        }
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        self.flush();
    }
}
