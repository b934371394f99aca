//! The last two stages on one thread: exchanges become facts, facts become series.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::correlate::Exchange;
use crate::export::{Fact, Recorder};
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
    found: Vec<Fact>,
    ticked: Timestamp,
    exchanges: u64,
    published: Arc<AtomicU64>,
}

impl Facts {
    /// `published` is to hold how many exchanges are in the series.
    pub(super) fn new(
        interpreter: Interpreter,
        recorder: Recorder,
        published: Arc<AtomicU64>,
    ) -> Self {
        Self {
            interpreter,
            recorder,
            found: Vec::new(),
            ticked: Timestamp::default(),
            exchanges: 0,
            published,
        }
    }

    fn record(&mut self) {
        let symbols = self.interpreter.symbols();
        for fact in self.found.drain(..) {
            self.recorder.record(&fact, symbols);
        }
    }
}

impl pipeline::Interpreter for Facts {
    fn exchange(&mut self, exchange: Exchange) {
        let found = &mut self.found;
        self.interpreter
            .exchange(&exchange, &mut |fact| found.push(fact));
        self.record();
        self.exchanges += 1;
    }

    fn time(&mut self, watermark: Timestamp) {
        let found = &mut self.found;
        self.interpreter
            .settle(watermark, &mut |fact| found.push(fact));
        self.record();
        self.published.store(self.exchanges, Ordering::Release);
        if watermark.0.saturating_sub(self.ticked.0) >= TICK {
            self.ticked = watermark;
            self.recorder.tick(watermark, self.interpreter.symbols());
        }
    }
}
