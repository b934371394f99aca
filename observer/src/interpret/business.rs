//! Orders, payments, stock: what committed statements mean for the business.
//!
//! ```text
//!   execution ─▶ candidates ─▶ stage of its connection ─▶ COMMIT  ─▶ memory ─▶ effects ─▶ facts
//!                                                       └▶ ROLLBACK: nothing happened
//! ```
//!
//! A candidate is one row that a statement made, changed, deleted or showed. It happens when its
//! transaction commits, together with all others of that transaction; where the end is hidden it
//! is *unknown*, never guessed. What it changes is told by the memory of the entities: a row that
//! says again what is known already is no event, whether it was seen twice or written twice.
#![forbid(unsafe_code)]

use std::sync::Arc;

use hashbrown::HashMap;
use schnellru::{ByLength, LruMap};

use super::fact;
use super::names::Names;
use super::rules::business::{Does, Policy};
use crate::correlate::postgres::{Execution, Outcome, SqlState, Transaction};
use crate::export::{Fact, Metric, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

mod candidates;
mod effects;
mod gauges;
pub mod journal;
mod lowest;
mod memory;
pub mod program;
mod refusal;
mod requests;
mod stage;
mod steering;
#[cfg(test)]
mod tests;
pub mod value;
pub mod why;
mod words;

use journal::{Journal, Note};
use memory::{Memory, Span};
use program::{Program, Rule, Sources, Values};
use refusal::{Missing, Refusal};
pub(crate) use requests::Told;
pub(super) use requests::{Answered, Said};
use stage::Stage;
use why::Why;
use words::{WORDS_OF_REQUESTS, WORDS_OF_ROWS};

/// Transactions that wait for their second phase.
const PREPARED: u32 = 1024;
/// Candidates of all transactions that are open or prepared; beyond it they are unknown. One takes
/// about 300 bytes.
const CANDIDATES: usize = 65_536;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One row that a statement speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Of [`Program::rules`].
    rule: usize,
    /// Its statement's.
    span: Span,
    /// Why it is not known whether its statement spoke of it, if it is not.
    hidden: Option<Refusal>,
    /// Else what of the row is needed and cannot be known.
    values: Result<Values, Missing>,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Its transaction committed, and it was news.
    Published,
    /// Its transaction, or its part of it, was rolled back.
    RolledBack,
    /// Its transaction committed, and it was known already.
    Repeated,
    /// Whether or what happened was hidden.
    Unknown,
}

impl Fate {
    /// Every one, in the order in which they are told.
    pub const ALL: [Self; 4] = [
        Self::Published,
        Self::RolledBack,
        Self::Repeated,
        Self::Unknown,
    ];

    /// As a label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::RolledBack => "rolled_back",
            Self::Repeated => "repeated",
            Self::Unknown => "unknown",
        }
    }
}

/// A transaction that was prepared, by its database and id.
type Prepared = (Vec<Candidate>, bool);

/// Turns executions and the ends of transactions into facts.
pub(super) struct Business {
    program: Arc<Program>,
    memory: Memory,
    /// Of connections that have something pending.
    stages: Map<ConnectionKey, Stage<Candidate>>,
    prepared: LruMap<(Symbol, Box<str>), Prepared, ByLength>,
    /// Candidates in `stages` and in `prepared`.
    held: usize,
    /// Where somebody asked why.
    journal: Option<Box<Journal>>,
    /// Label values that requests told.
    words_of_requests: Names,
    /// Those that rows did.
    words_of_rows: Names,
}

/// Where facts go, and when.
pub(super) struct Context<'a> {
    pub(super) connection: ConnectionKey,
    pub(super) database: Symbol,
    pub(super) time: Timestamp,
    pub(super) symbols: &'a mut Symbols,
    pub(super) out: &'a mut dyn FnMut(Fact),
}

impl<'a> Context<'a> {
    /// Of no connection, at no time.
    pub(super) fn aside(symbols: &'a mut Symbols, out: &'a mut dyn FnMut(Fact)) -> Self {
        Self {
            connection: ConnectionKey(0),
            database: Symbol::UNKNOWN,
            time: Timestamp(0),
            symbols,
            out,
        }
    }
}

impl Business {
    /// Remembers at most `entities` of each kind.
    pub(super) fn new(program: Arc<Program>, entities: u32) -> Self {
        Self {
            memory: Memory::new(&program, entities),
            program,
            stages: Map::default(),
            prepared: LruMap::new(ByLength::new(PREPARED)),
            held: 0,
            journal: None,
            words_of_requests: Names::new(WORDS_OF_REQUESTS),
            words_of_rows: Names::new(WORDS_OF_ROWS),
        }
    }

    /// From now on it is noted why each candidate becomes what it becomes.
    pub(super) fn explain(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// A statement ran that no rule speaks of.
    pub(super) fn pass_over(&mut self, query: Symbol) {
        if let Some(journal) = &mut self.journal {
            journal.pass_over(query);
        }
    }

    /// How often statements ran that no rule speaks of.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = (Symbol, u64)> {
        let journals = self.journal.iter();
        journals.flat_map(|journal| journal.passed_over())
    }

    /// What was noted since the last time.
    pub(super) fn explained(&mut self) -> Vec<Note> {
        let journal = self.journal.as_mut();
        journal.map_or_else(Vec::new, |journal| std::mem::take(&mut journal.notes))
    }

    /// Other rules are in force. Where they are others, what is remembered and pending by those
    /// before has no meaning for them.
    pub(super) fn replace(&mut self, program: Arc<Program>, context: &mut Context<'_>) {
        if program == self.program {
            return;
        }
        self.abandon(&Why::OtherRules, context);
        let memory = Memory::new(&program, self.memory.limit());
        std::mem::replace(&mut self.memory, memory).forget(context);
        self.program = program;
    }

    /// Of what is pending nothing more will be known.
    pub(super) fn abandon(&mut self, why: &Why, context: &mut Context<'_>) {
        self.held = 0;
        let stages = self.stages.values_mut();
        let pending: Vec<_> = stages.flat_map(Stage::empty).collect();
        self.tell(pending, Fate::Unknown, why, context);
        while let Some((_, (candidates, _))) = self.prepared.pop_oldest() {
            self.tell(candidates, Fate::Unknown, why, context);
        }
    }

    /// A statement ran, on which these rules speak.
    pub(super) fn execution(
        &mut self,
        execution: &Execution,
        sources: &[Sources],
        context: &mut Context<'_>,
    ) {
        if let (Some(journal), Outcome::Failed(state)) = (&mut self.journal, execution.outcome) {
            journal.failed(context.connection, state);
        }
        self.steer(execution, context);
        for sources in sources {
            self.apply(execution, sources, context);
        }
    }

    fn apply(&mut self, execution: &Execution, sources: &Sources, context: &mut Context<'_>) {
        let program = Arc::clone(&self.program);
        let Some(rule) = program.rules.get(sources.rule) else {
            return;
        };
        let refusal = Refusal::of(execution, rule, sources.ambiguous);
        let awaits_end = rule.policy == Policy::Committed;
        if let Some(refusal) = refusal
            && !(awaits_end && refusal.leaves_open(rule))
        {
            let fate = refusal.leaves_open(rule).then_some(Fate::Unknown);
            let why = || refusal.why(execution, rule);
            self.note(sources.rule, None, fate, context, why);
            if let Some(fate) = fate {
                self.count(sources.rule, fate, context);
            }
            return;
        }
        let mut candidates = match refusal {
            Some(Refusal::Ambiguous) => vec![Candidate::unseen(sources.rule)],
            _ => program.candidates(execution, sources),
        };
        for candidate in &mut candidates {
            candidate.hidden = refusal;
        }
        candidates.retain(|candidate| self.is_meant(candidate, rule, context));
        for candidate in &mut candidates {
            self.name(rule, candidate.seen_mut(), context.symbols);
        }
        if !awaits_end {
            for candidate in candidates {
                self.publish(&candidate, context);
            }
            return;
        }
        if !candidates.is_empty() {
            self.stage(candidates, rule.does, Span::of(execution), context);
        }
    }

    /// What is decided with its transaction.
    fn stage(
        &mut self,
        candidates: Vec<Candidate>,
        does: Does,
        mut span: Span,
        context: &mut Context<'_>,
    ) {
        let stage = self.stages.entry(context.connection).or_default();
        if does == Does::Show {
            span.asked = stage.snapshot(span.asked);
        }
        let mut refused = Vec::new();
        for candidate in candidates {
            // What only shows something takes no room from what changes something.
            if does == Does::Show
                && (stage.len() >= stage::LIMIT / 2 || self.held >= CANDIDATES / 2)
            {
                break;
            }
            if self.held >= CANDIDATES {
                stage.doubt();
                refused.push(candidate);
                continue;
            }
            match stage.push(Candidate { span, ..candidate }) {
                None => self.held += 1,
                Some(candidate) => refused.push(candidate),
            }
        }
        self.tell(refused, Fate::Unknown, &Why::TooMany, context);
    }

    /// Whether a rule's conditions hold, as far as that is known.
    fn is_meant(&mut self, candidate: &Candidate, rule: &Rule, context: &Context<'_>) -> bool {
        let Ok(values) = &candidate.values else {
            return true;
        };
        let unmet = rule.unmet(values);
        if let Some(unmet) = unmet {
            let program = Arc::clone(&self.program);
            let why = || unmet.why(&program, rule);
            self.note(candidate.rule, Some(values), None, context, why);
        }
        unmet.is_none()
    }

    /// The connection's transaction ended.
    pub(super) fn transaction(&mut self, end: Transaction, context: &mut Context<'_>) {
        let journal = self.journal.as_mut();
        let error = journal.and_then(|journal| journal.ended(context.connection));
        let Some(mut stage) = self.stages.remove(&context.connection) else {
            return;
        };
        let (candidates, sure) = stage.take();
        self.held -= candidates.len();
        self.settle(candidates, sure, end, error, context);
    }

    /// The connection is gone, whether its end was seen or not.
    pub(super) fn gone(&mut self, context: &mut Context<'_>) {
        self.transaction(Transaction::Lost, context);
    }

    /// Something may have undone a part of what is pending.
    pub(super) fn doubt(&mut self, connection: ConnectionKey) {
        if let Some(stage) = self.stages.get_mut(&connection) {
            stage.doubt();
        }
    }

    fn settle(
        &mut self,
        candidates: Vec<Candidate>,
        sure: bool,
        end: Transaction,
        error: Option<SqlState>,
        context: &mut Context<'_>,
    ) {
        let (fate, why) = match end {
            Transaction::Commit if sure => return self.commit(candidates, context),
            Transaction::Commit => (Fate::Unknown, Why::Doubtful),
            Transaction::Rollback => (Fate::RolledBack, Why::RolledBack(error)),
            Transaction::Failed => (Fate::RolledBack, Why::Failed(error)),
            Transaction::Unknown => (Fate::Unknown, Why::EndHidden),
            Transaction::Lost => (Fate::Unknown, Why::Disconnected),
        };
        self.tell(candidates, fate, &why, context);
    }

    /// All of a transaction's rows happened.
    fn commit(&mut self, candidates: Vec<Candidate>, context: &mut Context<'_>) {
        let program = Arc::clone(&self.program);
        let mut wrote = false;
        for mut candidate in candidates {
            let rule = program.rules.get(candidate.rule);
            if rule.is_none_or(|rule| rule.does != Does::Show) {
                wrote = true;
            } else if wrote {
                // It may show what the transaction wrote, which counts in its own right.
                candidate.span = Span::default();
            }
            match candidate.hidden {
                None => self.publish(&candidate, context),
                Some(Refusal::Ambiguous) => {
                    self.tell(
                        vec![candidate],
                        Fate::Unknown,
                        &Why::SeveralStatements,
                        context,
                    );
                }
                Some(_) => self.tell(vec![candidate], Fate::Unknown, &Why::AnswerHidden, context),
            }
        }
    }

    fn publish(&mut self, candidate: &Candidate, context: &mut Context<'_>) {
        let program = Arc::clone(&self.program);
        let Some(rule) = program.rules.get(candidate.rule) else {
            return;
        };
        let (number, span) = (candidate.rule, candidate.span);
        let fate = match (&candidate.values, &mut self.journal) {
            (Ok(values), None) => self.memory.apply(&program, rule, values, span, context),
            (Ok(values), Some(journal)) => {
                journal.watch(&mut self.memory, &program, number, values, span, context)
            }
            (Err(missing), _) => {
                let fate = (rule.does != Does::Show).then_some(Fate::Unknown);
                let seen = Some(&missing.seen);
                self.note(number, seen, fate, context, || missing.why(&program, rule));
                self.memory
                    .doubt(&program, rule, &missing.seen, &missing.unread, context);
                fate
            }
        };
        if let Some(fate) = fate.filter(|_| rule.does != Does::Show) {
            self.count(candidate.rule, fate, context);
        }
    }

    /// Counts what became of candidates; what only shows something is none. What may have changed
    /// is not known any more.
    fn tell(
        &mut self,
        candidates: Vec<Candidate>,
        fate: Fate,
        why: &Why,
        context: &mut Context<'_>,
    ) {
        let program = Arc::clone(&self.program);
        for candidate in candidates {
            let rule = program.rules.get(candidate.rule);
            let Some(rule) = rule.filter(|rule| rule.does != Does::Show) else {
                continue;
            };
            let (seen, unread) = candidate.seen();
            self.note(candidate.rule, Some(seen), Some(fate), context, || {
                why.clone()
            });
            self.count(candidate.rule, fate, context);
            if fate == Fate::Unknown {
                self.memory.doubt(&program, rule, seen, unread, context);
            }
        }
    }

    /// Notes what became of a candidate, where somebody asked why.
    fn note<W: Into<Option<Why>>>(
        &mut self,
        rule: usize,
        values: Option<&Values>,
        fate: Option<Fate>,
        context: &Context<'_>,
        why: impl FnOnce() -> W,
    ) {
        if let Some(journal) = &mut self.journal
            && let Some(why) = why().into()
        {
            journal.note(&self.program, rule, values, fate, why, context.time);
        }
    }

    fn count(&self, rule: usize, fate: Fate, context: &mut Context<'_>) {
        let Some(rule) = self.program.rules.get(rule) else {
            return;
        };
        let rule = context.symbols.intern(&rule.name);
        let fate = context.symbols.intern(fate.label());
        (context.out)(fact(Metric::Facts, &[rule, fate], 1.0));
    }
}
