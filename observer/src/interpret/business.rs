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
use super::rules::business::{Does, Policy};
use crate::correlate::postgres::{Control, Execution, Outcome, Transaction};
use crate::export::{Fact, Metric, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

mod effects;
mod gauges;
mod lowest;
mod memory;
pub mod program;
mod stage;
#[cfg(test)]
mod tests;
pub mod value;

use memory::Memory;
use program::{Program, Rule, Sources, Values};
use stage::Stage;
use value::Datum;

/// Transactions that wait for their second phase.
const PREPARED: u32 = 1024;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// One row that a statement speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Of [`Program::rules`].
    rule: usize,
    /// `None` where the row, or a part of it that is needed, was not seen.
    values: Option<Values>,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
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
    const fn label(self) -> &'static str {
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
        }
    }

    /// Other rules are in force. Where they are others, what is remembered and pending by those
    /// before has no meaning for them.
    pub(super) fn replace(&mut self, program: Arc<Program>, context: &mut Context<'_>) {
        if program == self.program {
            return;
        }
        let stages = std::mem::take(&mut self.stages);
        for mut stage in stages.into_values() {
            self.tell(stage.take().0, Fate::Unknown, context);
        }
        while let Some((_, (candidates, _))) = self.prepared.pop_oldest() {
            self.tell(candidates, Fate::Unknown, context);
        }
        let memory = Memory::new(&program, self.memory.limit());
        std::mem::replace(&mut self.memory, memory).forget(context);
        self.program = program;
    }

    /// A statement ran, on which these rules speak.
    pub(super) fn execution(
        &mut self,
        execution: &Execution,
        sources: &[Sources],
        context: &mut Context<'_>,
    ) {
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
        let is_failure = rule.policy == Policy::Failed;
        match execution.outcome {
            Outcome::Failed(_) if is_failure => {}
            Outcome::Unknown if rule.does == Does::Show => return,
            Outcome::Unknown => return self.count(sources.rule, Fate::Unknown, context),
            Outcome::Completed if execution.rows == Some(0) => return,
            Outcome::Completed if !is_failure => {
                let is_tag = |tag: &String| *tag == execution.tag;
                if !rule.tag.as_ref().is_none_or(is_tag) {
                    return;
                }
            }
            Outcome::Failed(_) | Outcome::Completed => return,
        }
        if sources.ambiguous {
            if rule.does != Does::Show {
                self.count(sources.rule, Fate::Unknown, context);
            }
            return;
        }
        let candidates = program.candidates(execution, sources);
        if rule.policy != Policy::Committed {
            for candidate in candidates {
                self.publish(&candidate, context);
            }
            return;
        }
        if candidates.is_empty() {
            return;
        }
        let stage = self.stages.entry(context.connection).or_default();
        let refused: Vec<Candidate> = candidates
            .into_iter()
            .filter_map(|candidate| stage.push(candidate))
            .collect();
        self.tell(refused, Fate::Unknown, context);
    }

    /// The connection's transaction ended.
    pub(super) fn transaction(&mut self, end: Transaction, context: &mut Context<'_>) {
        let Some(mut stage) = self.stages.remove(&context.connection) else {
            return;
        };
        let (candidates, sure) = stage.take();
        self.settle(candidates, sure, end, context);
    }

    /// The connection is gone, whether its end was seen or not.
    pub(super) fn gone(&mut self, context: &mut Context<'_>) {
        self.transaction(Transaction::Unknown, context);
    }

    /// What the statement does to the transaction it ran in.
    fn steer(&mut self, execution: &Execution, context: &mut Context<'_>) {
        let tag = execution.tag.as_str();
        if execution.outcome != Outcome::Completed {
            return;
        }
        match &execution.control {
            None if tag == "ROLLBACK" => {
                if let Some(stage) = self.stages.get_mut(&context.connection) {
                    stage.doubt();
                }
            }
            Some(control @ Control::Savepoint(_)) => {
                let stage = self.stages.entry(context.connection).or_default();
                stage.steer(control);
            }
            Some(control @ (Control::Release(_) | Control::RollbackTo(_))) => {
                let stage = self.stages.get_mut(&context.connection);
                let undone = stage.map(|stage| stage.steer(control));
                self.tell(undone.unwrap_or_default(), Fate::RolledBack, context);
            }
            Some(Control::PrepareTransaction(id)) if tag == "PREPARE TRANSACTION" => {
                self.prepare(id, context);
            }
            Some(Control::CommitPrepared(id)) => {
                self.second_phase(id, Transaction::Commit, context);
            }
            Some(Control::RollbackPrepared(id)) => {
                self.second_phase(id, Transaction::Rollback, context);
            }
            _ => {}
        }
    }

    fn prepare(&mut self, id: &str, context: &mut Context<'_>) {
        let stage = self.stages.remove(&context.connection);
        let Some((candidates, sure)) = stage.map(|mut stage| stage.take()) else {
            return;
        };
        if self.prepared.len() >= PREPARED as usize
            && let Some((_, (forgotten, _))) = self.prepared.pop_oldest()
        {
            self.tell(forgotten, Fate::Unknown, context);
        }
        let key = (context.database, Box::from(id));
        self.prepared.insert(key, (candidates, sure));
    }

    fn second_phase(&mut self, id: &str, end: Transaction, context: &mut Context<'_>) {
        let key = (context.database, Box::from(id));
        if let Some((candidates, sure)) = self.prepared.remove(&key) {
            self.settle(candidates, sure, end, context);
        }
    }

    fn settle(
        &mut self,
        candidates: Vec<Candidate>,
        sure: bool,
        end: Transaction,
        context: &mut Context<'_>,
    ) {
        match end {
            Transaction::Rollback | Transaction::Failed => {
                self.tell(candidates, Fate::RolledBack, context);
            }
            Transaction::Commit if sure => {
                for candidate in candidates {
                    self.publish(&candidate, context);
                }
            }
            Transaction::Commit | Transaction::Unknown => {
                self.tell(candidates, Fate::Unknown, context);
            }
        }
    }

    fn publish(&mut self, candidate: &Candidate, context: &mut Context<'_>) {
        let program = Arc::clone(&self.program);
        let Some(rule) = program.rules.get(candidate.rule) else {
            return;
        };
        let fate = match &candidate.values {
            Some(values) => self.memory.apply(&program, rule, values, context),
            None => Some(Fate::Unknown),
        };
        if let Some(fate) = fate.filter(|_| rule.does != Does::Show) {
            self.count(candidate.rule, fate, context);
        }
    }

    /// Counts what became of candidates; what only shows something is none.
    fn tell(&self, candidates: Vec<Candidate>, fate: Fate, context: &mut Context<'_>) {
        for candidate in candidates {
            let rule = self.program.rules.get(candidate.rule);
            if rule.is_some_and(|rule| rule.does != Does::Show) {
                self.count(candidate.rule, fate, context);
            }
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

impl Program {
    /// The rows that an execution speaks of.
    fn candidates(&self, execution: &Execution, sources: &Sources) -> Vec<Candidate> {
        let Some((rule, types)) = self.rules.get(sources.rule).and_then(|rule| {
            let entity = self.entities.get(rule.entity)?;
            Some((rule, &entity.types))
        }) else {
            return Vec::new();
        };
        let mut common = Values::from_elem(None, types.len());
        for (field, index) in &sources.parameters {
            let value = execution.parameters.get(*index).and_then(Option::as_ref);
            if let (Some(value), Some(of), Some(slot)) =
                (value, types.get(*field), common.get_mut(*field))
            {
                *slot = Datum::read(value, *of);
            }
        }
        for (field, constant) in &rule.constants {
            if let Some(slot) = common.get_mut(*field) {
                *slot = Some(constant.clone());
            }
        }
        let candidate = |values: Values| Candidate {
            rule: sources.rule,
            values: rule.is_whole(&values, self).then_some(values),
        };
        if sources.columns.is_empty() {
            return rule.keep(vec![candidate(common)]);
        }
        let mut found = Vec::new();
        for row in execution
            .columns
            .chunk_by(|one, other| one.row == other.row)
        {
            let mut values = common.clone();
            for (field, column) in &sources.columns {
                let cell = row.iter().find(|cell| cell.column == *column);
                if let (Some(cell), Some(of), Some(slot)) =
                    (cell, types.get(*field), values.get_mut(*field))
                {
                    *slot = Datum::read(&cell.value, *of);
                }
            }
            found.push(candidate(values));
        }
        // A row that was not captured, or found no room, may have been any.
        let rows = execution.rows.unwrap_or(1);
        let hidden = usize::try_from(rows)
            .unwrap_or(usize::MAX)
            .saturating_sub(found.len());
        if rule.does != Does::Show {
            let unseen = Candidate {
                rule: sources.rule,
                values: None,
            };
            found.extend(std::iter::repeat_n(unseen, hidden.min(stage::LIMIT)));
        }
        rule.keep(found)
    }
}

impl Rule {
    /// Without those whose conditions do not hold.
    fn keep(&self, mut found: Vec<Candidate>) -> Vec<Candidate> {
        if self.equal.is_some() || !self.only.is_empty() {
            found.retain(|candidate| {
                let values = candidate.values.as_ref();
                values.is_none_or(|values| self.holds(values))
            });
        }
        found
    }

    /// Whether its conditions hold.
    fn holds(&self, values: &Values) -> bool {
        let equal = |(one, other): (usize, usize)| values.get(one) == values.get(other);
        self.equal.is_none_or(equal) && program::hold(&self.only, values)
    }

    /// Whether what tells of whom it speaks, and what the conditions need, is known.
    fn is_whole(&self, values: &Values, program: &Program) -> bool {
        let there = |place: &usize| values.get(*place).is_some_and(Option::is_some);
        let named = match self.does {
            Does::DeleteEvery => Some(&self.told),
            _ => program.entities.get(self.entity).map(|entity| &entity.key),
        };
        named.is_some_and(|named| named.iter().all(there))
            && self.only.iter().all(|(place, _)| there(place))
            && self
                .equal
                .is_none_or(|(one, other)| there(&one) && there(&other))
    }
}
