//! The last two stages on one thread: exchanges become facts, facts become series.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::correlate::Exchange;
use crate::export::Recorder;
use crate::interpret::Interpreter;
use crate::pipeline;
use crate::time::Timestamp;

/// Nanoseconds between two times that the recorder is told what time it is.
const TICK: u64 = 1_000_000_000;

/// Interprets and records.
pub(super) struct Facts {
    interpreter: Interpreter,
    recorder: Recorder,
    /// Facts of one exchange; the interpreter's symbols are needed to record them.
    facts: Vec<crate::export::Fact>,
    ticked: Timestamp,
    exchanges: u64,
    interpreted: Arc<AtomicU64>,
}

impl Facts {
    /// `interpreted` is to hold how many exchanges are in the series.
    pub(super) fn new(
        interpreter: Interpreter,
        recorder: Recorder,
        interpreted: Arc<AtomicU64>,
    ) -> Self {
        Self {
            interpreter,
            recorder,
            facts: Vec::new(),
            ticked: Timestamp::default(),
            exchanges: 0,
            interpreted,
        }
    }

    fn record(&mut self) {
        let symbols = self.interpreter.symbols();
        for fact in self.facts.drain(..) {
            self.recorder.record(&fact, symbols);
        }
    }
}

impl pipeline::Interpreter for Facts {
    fn exchange(&mut self, exchange: Exchange) {
        let facts = &mut self.facts;
        self.interpreter
            .exchange(&exchange, &mut |fact| facts.push(fact));
        self.record();
        self.exchanges += 1;
    }

    fn time(&mut self, watermark: Timestamp) {
        let facts = &mut self.facts;
        self.interpreter
            .settle(watermark, &mut |fact| facts.push(fact));
        self.record();
        self.interpreted.store(self.exchanges, Ordering::Release);
        if watermark.0.saturating_sub(self.ticked.0) >= TICK {
            self.ticked = watermark;
            self.recorder.tick(watermark, self.interpreter.symbols());
        }
    }
}
