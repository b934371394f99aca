//! The last two stages on one thread: exchanges become facts, facts become series.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::correlate::Exchange;
use crate::export::Recorder;
use crate::interpret::Interpreter;
use crate::interpret::business::journal::Note;
use crate::interpret::plan::Followed;
use crate::pipeline;
use crate::time::Timestamp;
use crate::workloads::roster::Roster;

/// Nanoseconds between two times that the recorder is told what time it is.
const TICK: u64 = 1_000_000_000;

/// Interprets and records.
pub(super) struct Facts {
    interpreter: Interpreter,
    /// The rules in force, to be handed to the interpreter when they change.
    rules: Followed,
    recorder: Recorder,
    /// Facts of one exchange; the interpreter's symbols are needed to record them.
    waiting: Vec<crate::export::Fact>,
    ticked: Timestamp,
    exchanges: u64,
    done: Arc<AtomicU64>,
    roster: Roster,
}

impl Facts {
    /// `done` is to hold how many exchanges are in the series; `roster` says which workloads
    /// are gone.
    pub(super) fn new(
        interpreter: Interpreter,
        rules: Followed,
        recorder: Recorder,
        done: Arc<AtomicU64>,
        roster: Roster,
    ) -> Self {
        Self {
            interpreter,
            rules,
            recorder,
            waiting: Vec::new(),
            ticked: Timestamp::default(),
            exchanges: 0,
            done,
            roster,
        }
    }

    /// From now on it is noted why rows of the business count, or do not.
    pub(super) fn explain(&mut self) {
        self.interpreter.explain();
    }

    /// What was noted since the last time.
    pub(super) fn explained(&mut self) -> Vec<Note> {
        self.interpreter.explained()
    }

    /// Nothing more comes; the queries that no rule of the business speaks of.
    pub(super) fn end(&mut self, time: Timestamp) -> Vec<(String, u64)> {
        let waiting = &mut self.waiting;
        self.interpreter.end(time, &mut |fact| waiting.push(fact));
        self.record();
        self.interpreter.passed_over()
    }

    /// What of workloads has come or gone since.
    fn follow(&mut self) {
        for (name, is_there) in self.roster.changes() {
            match self.interpreter.symbols().find(&name) {
                Some(workload) if is_there => self.recorder.remember(workload),
                Some(workload) => self.recorder.forget(workload),
                // No label has it.
                None => {}
            }
        }
    }

    fn record(&mut self) {
        let symbols = self.interpreter.symbols();
        for fact in self.waiting.drain(..) {
            self.recorder.record(&fact, symbols);
        }
        self.interpreter.recorded();
    }
}

impl pipeline::Interpreter for Facts {
    fn exchange(&mut self, exchange: Exchange) {
        if let Some(plan) = self.rules.changed() {
            let waiting = &mut self.waiting;
            self.interpreter
                .replace(plan, &mut |fact| waiting.push(fact));
            self.record();
        }
        let waiting = &mut self.waiting;
        self.interpreter
            .exchange(&exchange, &mut |fact| waiting.push(fact));
        self.record();
        self.exchanges += 1;
    }

    fn time(&mut self, watermark: Timestamp) {
        let waiting = &mut self.waiting;
        self.interpreter
            .settle(watermark, &mut |fact| waiting.push(fact));
        self.record();
        self.done.store(self.exchanges, Ordering::Release);
        if watermark.0.saturating_sub(self.ticked.0) >= TICK {
            self.ticked = watermark;
            self.recorder.tick(watermark, self.interpreter.symbols());
            self.follow();
        }
    }
}
