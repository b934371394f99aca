//! What an execution is called: its query name and operation, as labels.
//!
//! The name is that in the text's sqlc comment; else, for a statement whose text nobody saw, what
//! its pgx name stands for; else operation, main table and a hash of the text without literals
//! (`SELECT orders 5f3a9c1d`). No literal ever becomes a label.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::sync::Arc;

use schnellru::{ByLength, LruMap};
use smallvec::SmallVec;

use super::names::Names;
use super::plan::{Plan, Reads};
use crate::correlate::postgres::{Execution, Outcome, Statement, Which};
use crate::export::{Symbol, Symbols};

pub mod lexer;
pub mod pgx;
pub mod text;

/// Distinct tags that become operations; PostgreSQL has about two hundred.
const TAG_LIMIT: usize = 256;
/// Bytes of the longest tag (`REFRESH MATERIALIZED VIEW` has 25).
const TAG_LENGTH: usize = 32;

/// One statement of a known text.
#[derive(Clone, Debug)]
struct Part {
    operation: &'static str,
    label: Label,
}

#[derive(Clone, Debug)]
enum Label {
    Learnt(Symbol),
    /// Learnt once an execution shows that it is SQL at all.
    Fresh(Box<str>),
}

/// A known text.
#[derive(Debug)]
struct Known {
    parts: SmallVec<[Part; 1]>,
    reads: Arc<Reads>,
}

/// Names executions; remembers what it found out about texts.
pub struct Namer {
    plan: Arc<Plan>,
    /// By [`Statement::id`].
    known: LruMap<u64, Known, ByLength, foldhash::fast::RandomState>,
    /// Query names of texts that were seen, by the name pgx gives their statements.
    learnt: LruMap<pgx::Hash, Symbol, ByLength, foldhash::fast::RandomState>,
    queries: Names,
    operations: Names,
    function_call: Option<Symbol>,
}

/// An execution's labels, and its values that name a shop.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Label `query`.
    pub query: Symbol,
    /// Label `operation`.
    pub operation: Symbol,
    /// Which of its values name a shop.
    pub reads: Option<&'a Reads>,
}

impl Namer {
    /// Remembers at most `statements` texts, and makes at most `queries` names.
    #[must_use]
    pub fn new(plan: Arc<Plan>, statements: u32, queries: usize) -> Self {
        let limiter = || ByLength::new(statements.max(1));
        Self {
            plan,
            known: LruMap::with_hasher(limiter(), foldhash::fast::RandomState::default()),
            learnt: LruMap::with_hasher(limiter(), foldhash::fast::RandomState::default()),
            queries: Names::new(queries),
            operations: Names::new(TAG_LIMIT),
            function_call: None,
        }
    }

    /// Other rules are in force. Names stay what they are; what was read out of texts by the rules
    /// before is read again.
    pub(super) fn replace(&mut self, plan: Arc<Plan>) {
        self.plan = plan;
        self.known.clear();
    }

    /// Names an execution.
    pub fn name(&mut self, execution: &Execution, symbols: &mut Symbols) -> Named<'_> {
        let tag = execution.tag.as_str();
        match &execution.which {
            Which::Known(statement) => self.by_text(statement, execution, symbols),
            Which::Named(name) => {
                let hash = pgx::Hash::of_name(name);
                let plan = &self.plan;
                if let Some(named) = hash.and_then(|hash| plan.by_hash(hash)) {
                    let tag = if tag.is_empty() {
                        named.operation.as_str()
                    } else {
                        tag
                    };
                    return Named {
                        query: self.queries.learn(&named.name, symbols),
                        operation: operation(&mut self.operations, tag, symbols),
                        reads: Some(&named.reads),
                    };
                }
                let learnt = hash.and_then(|hash| self.learnt.get(&hash).copied());
                Named {
                    query: learnt.unwrap_or(Symbol::UNKNOWN),
                    operation: operation(&mut self.operations, tag, symbols),
                    reads: None,
                }
            }
            Which::Unknown => Named {
                query: Symbol::UNKNOWN,
                operation: operation(&mut self.operations, tag, symbols),
                reads: None,
            },
            Which::FunctionCall => {
                let symbol = *self
                    .function_call
                    .get_or_insert_with(|| symbols.intern("FUNCTION_CALL"));
                Named {
                    query: symbol,
                    operation: symbol,
                    reads: None,
                }
            }
        }
    }

    fn by_text(
        &mut self,
        statement: &Statement,
        execution: &Execution,
        symbols: &mut Symbols,
    ) -> Named<'_> {
        let Self {
            plan,
            known,
            queries,
            learnt,
            operations,
            ..
        } = self;
        let entry = known.get_or_insert(statement.id, || study(plan, statement));
        let Some(known) = entry else {
            return Named {
                query: Symbol::UNKNOWN,
                operation: operation(operations, &execution.tag, symbols),
                reads: None,
            };
        };
        let alone = known.parts.len() == 1;
        let part = choose(&mut known.parts, &execution.tag);
        let tag = match &part {
            Some(part) if execution.tag.is_empty() => part.operation,
            _ => execution.tag.as_str(),
        };
        let operation = operation(operations, tag, symbols);
        let query = match part.map(|part| &mut part.label) {
            // Which of the text's statements this was does not show.
            None => Symbol::UNKNOWN,
            Some(Label::Learnt(symbol)) => *symbol,
            Some(Label::Fresh(text)) => match queries.get(text) {
                None if is_doubtful(execution.outcome) => Symbol::OTHER,
                _ => {
                    let symbol = queries.learn(text, symbols);
                    if let Some(Part { label, .. }) = known.parts.first_mut().filter(|_| alone) {
                        *label = Label::Learnt(symbol);
                        // pgx prepares what has parameters.
                        if !statement.cut && statement.text.contains('$') {
                            learnt.insert(pgx::Hash::of(&statement.text), symbol);
                        }
                    }
                    symbol
                }
            },
        };
        Named {
            query,
            operation,
            reads: Some(&known.reads),
        }
    }
}

/// Whether a text that failed so may be no SQL at all, or name things that are not there: class
/// 42, syntax error or access rule violation.
fn is_doubtful(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed(state) if state.0.starts_with(b"42"))
}

/// Of a text with several statements, the one that a tag speaks of.
fn choose<'a>(parts: &'a mut [Part], tag: &str) -> Option<&'a mut Part> {
    if let [part] = parts {
        return Some(part);
    }
    let mut fitting = parts.iter_mut().filter(|part| {
        !tag.is_empty() && !part.operation.is_empty() && tag.starts_with(part.operation)
    });
    let first = fitting.next()?;
    let same = |other: &&mut Part| match (&first.label, &other.label) {
        (Label::Learnt(one), Label::Learnt(two)) => one == two,
        (Label::Fresh(one), Label::Fresh(two)) => one == two,
        _ => false,
    };
    fitting.all(|other| same(&other)).then_some(first)
}

/// Reads a text that was not seen before.
fn study(plan: &Plan, statement: &Statement) -> Known {
    let facts = text::read(&statement.text, plan.columns());
    let name = text::name(&statement.text);
    let alone = facts.statements.len() == 1;
    let parts = facts.statements.iter().map(|one| {
        let label = match name {
            Some(name) if alone => Label::Fresh(name.into()),
            _ if one.operation.is_empty() => Label::Learnt(Symbol::OTHER),
            _ if one.plain => Label::Fresh(one.operation.into()),
            _ => Label::Fresh(fingerprint(one).into()),
        };
        Part {
            operation: one.operation,
            label,
        }
    });
    Known {
        parts: parts.collect(),
        reads: plan.reads_of(&facts, name),
    }
}

/// Whether a query's label ends with a fingerprint.
pub(super) fn is_fingerprint(label: &str) -> bool {
    label.rsplit_once(' ').is_some_and(|(_, last)| {
        last.len() == 8
            && last
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The label of a statement whose text has no name.
pub(super) fn fingerprint(statement: &text::Statement) -> String {
    let mut label = String::with_capacity(statement.operation.len() + statement.table.len() + 10);
    label.push_str(statement.operation);
    if !statement.table.is_empty() {
        label.push(' ');
        label.push_str(&statement.table);
    }
    // Writing to a string does not fail.
    let _ = write!(label, " {:08x}", statement.fingerprint);
    label
}

/// A tag as a label; the server chooses it, so it is checked and bounded all the same.
fn operation(known: &mut Names, tag: &str, symbols: &mut Symbols) -> Symbol {
    if tag.is_empty() {
        return Symbol::UNKNOWN;
    }
    if let Some(symbol) = known.get(tag) {
        return symbol;
    }
    if tag.len() > TAG_LENGTH
        || !tag
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b' ')
    {
        return Symbol::OTHER;
    }
    known.learn(tag, symbols)
}

#[cfg(test)]
mod tests;
