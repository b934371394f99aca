//! Why each candidate became what it became, noted for whoever tests rules and for nobody else.
//!
//! A note names the key of an entity, the labels that rules make of its fields, and nothing else of
//! a row.

use std::fmt::Write as _;

use hashbrown::HashMap;

use super::effects::at;
use super::memory::{Known, Memory, Span, key_of};
use super::program::{Entity, Program, Rule, Values};
use super::value::Datum;
use super::why::{Change, Why};
use super::{Context, Fate};
use crate::correlate::postgres::SqlState;
use crate::export::{Metric, Symbol};
use crate::interpret::rules::business::{Does, Policy};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

/// A row that a rule speaks of, or a statement that a rule speaks of and that has none.
#[derive(Clone, Debug)]
pub struct Note {
    /// When it was decided.
    pub time: Timestamp,
    /// The rule.
    pub rule: String,
    /// What it is a row of.
    pub entity: String,
    /// The key's fields that are known, and what they hold; UUIDs are shortened.
    pub key: Vec<(String, String)>,
    /// What the rule says that happened to it.
    pub does: Does,
    /// What became of it; `None` where there was nothing to count.
    pub fate: Option<Fate>,
    /// Why.
    pub why: Why,
    /// The metrics that it moved.
    pub moved: Vec<Moved>,
}

/// A metric that was moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Which.
    pub metric: Metric,
    /// Its labels, in the catalog's order.
    pub labels: Vec<String>,
    /// By how much, as a fact says it.
    pub by: f64,
}

/// What was noted, and what is needed to say why.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) notes: Vec<Note>,
    /// The first error of each transaction that is open.
    errors: HashMap<ConnectionKey, SqlState, foldhash::fast::RandomState>,
    /// How often statements ran that no rule speaks of.
    others: HashMap<Symbol, u64, foldhash::fast::RandomState>,
}

impl Journal {
    /// A statement of a connection failed.
    pub(super) fn failed(&mut self, connection: ConnectionKey, state: SqlState) {
        self.errors.entry(connection).or_insert(state);
    }

    /// A statement ran that no rule speaks of.
    pub(super) fn pass_over(&mut self, query: Symbol) {
        *self.others.entry(query).or_default() += 1;
    }

    pub(super) fn passed_over(&self) -> impl Iterator<Item = (Symbol, u64)> {
        self.others.iter().map(|(query, times)| (*query, *times))
    }

    /// A connection's transaction ended; the error that it failed with.
    pub(super) fn ended(&mut self, connection: ConnectionKey) -> Option<SqlState> {
        self.errors.remove(&connection)
    }

    /// What became of a row, of which the memory was not asked.
    pub(super) fn note(
        &mut self,
        program: &Program,
        number: usize,
        values: Option<&Values>,
        fate: Option<Fate>,
        why: Why,
        time: Timestamp,
    ) {
        let Some((rule, entity)) = find(program, number) else {
            return;
        };
        self.notes.push(Note {
            time,
            rule: rule.name.clone(),
            entity: entity.name.clone(),
            key: values.map_or_else(Vec::new, |values| key(entity, values)),
            does: rule.does,
            fate,
            why,
            moved: Vec::new(),
        });
    }

    /// Asks the memory, and looks on.
    pub(super) fn watch(
        &mut self,
        memory: &mut Memory,
        program: &Program,
        number: usize,
        values: &Values,
        span: Span,
        context: &mut Context<'_>,
    ) -> Option<Fate> {
        let (rule, entity) = find(program, number)?;
        let place = key_of(entity, values);
        let known = |memory: &Memory| -> Option<Known> {
            place
                .as_ref()
                .and_then(|key| memory.get(rule.entity, key).cloned())
        };
        let before = known(memory);
        let mut facts = Vec::new();
        let Context { symbols, out, .. } = context;
        let fate = memory.apply(
            program,
            rule,
            values,
            span,
            &mut Context {
                symbols,
                out: &mut |fact| {
                    facts.push(fact.clone());
                    out(fact);
                },
                ..*context
            },
        );
        let after = known(memory);
        let mut moved: Vec<Moved> = Vec::new();
        for fact in facts {
            let labels = fact.labels.iter();
            let one = Moved {
                metric: fact.metric,
                labels: labels
                    .map(|label| context.symbols.value(*label).to_owned())
                    .collect(),
                by: fact.value,
            };
            let same =
                |known: &&mut Moved| (known.metric, &known.labels) == (one.metric, &one.labels);
            match moved.iter_mut().find(same) {
                Some(known) => known.by += one.by,
                None => moved.push(one),
            }
        }
        // What left a gauge and came back to it.
        moved.retain(|moved| moved.by != 0.0);
        let why = Told {
            rule,
            entity,
            row: values,
            before: before.as_ref(),
            after: after.as_ref(),
        }
        .why(fate);
        self.note(
            program,
            number,
            Some(values),
            fate.filter(|_| rule.does != Does::Show),
            why,
            context.time,
        );
        if let Some(note) = self.notes.last_mut() {
            note.moved = moved;
        }
        fate
    }
}

fn find(program: &Program, number: usize) -> Option<(&Rule, &Entity)> {
    let rule = program.rules.get(number)?;
    Some((rule, program.entities.get(rule.entity)?))
}

/// What the key's fields hold.
fn key(entity: &Entity, values: &Values) -> Vec<(String, String)> {
    let places = entity.key.iter();
    let fields = places.filter_map(|place| {
        let value = values.get(*place)?.as_ref()?;
        Some((entity.fields.get(*place)?.clone(), in_words(value)))
    });
    fields.collect()
}

/// A value as a reader may see it.
fn in_words(value: &Datum) -> String {
    match value {
        Datum::Integer(number) => number.to_string(),
        Datum::Text(text) => text.to_lowercase().escape_debug().to_string(),
        Datum::Uuid(bytes) => {
            let mut word = String::new();
            for byte in bytes.iter().take(4) {
                // Writing to a string does not fail.
                let _ = write!(word, "{byte:02x}");
            }
            word + "…"
        }
        Datum::Money(_) | Datum::Time(_) | Datum::Duration(_) | Datum::Integers(_) => "…".into(),
    }
}

/// A row, and what was known of its entity before and after it.
struct Told<'a> {
    rule: &'a Rule,
    entity: &'a Entity,
    row: &'a Values,
    before: Option<&'a Known>,
    after: Option<&'a Known>,
}

impl Told<'_> {
    fn why(&self, fate: Option<Fate>) -> Why {
        let Some(fate) = fate else {
            return Why::NotRemembered;
        };
        if self.rule.does == Does::Show {
            return Why::Taught(self.names(self.changed()));
        }
        match (fate, self.rule.does) {
            (Fate::Repeated, _) if self.before.is_some_and(|known| known.deleted) => {
                Why::WasDeleted
            }
            (Fate::Repeated, Does::Create) => Why::WasCreated,
            (Fate::Repeated, _) => {
                let given = self.watched().filter(|place| self.given(*place));
                Why::WasSo(given.map(|place| self.change(place)).collect())
            }
            (Fate::Unknown, _) => {
                let unseen = self.changed().filter(|place| {
                    at(self.before, *place).is_none() && self.entity.counts(*place)
                });
                Why::FromUnknown(self.names(unseen))
            }
            _ => {
                let changed = match self.rule.does {
                    Does::Change => self.changed().map(|place| self.change(place)).collect(),
                    _ => Vec::new(),
                };
                match self.rule.policy {
                    Policy::Committed => Why::Committed(changed),
                    Policy::Completed => Why::Completed(changed),
                    Policy::Failed => Why::FailedAsAwaited(changed),
                }
            }
        }
    }

    /// Fields that are not the key's.
    fn fields(&self) -> impl Iterator<Item = usize> {
        let places = 0..self.entity.fields.len();
        places.filter(|place| !self.entity.key.contains(place))
    }

    /// Those of them whose change moves a metric.
    fn watched(&self) -> impl Iterator<Item = usize> {
        let moves = |place: &usize| self.entity.counts(*place) || self.entity.weighs(*place);
        self.fields().filter(moves)
    }

    fn given(&self, place: usize) -> bool {
        self.row.get(place).is_some_and(Option::is_some)
    }

    fn changed(&self) -> impl Iterator<Item = usize> {
        let differs = |place: &usize| at(self.before, *place) != at(self.after, *place);
        self.fields().filter(differs)
    }

    fn names(&self, places: impl Iterator<Item = usize>) -> Vec<String> {
        let names = places.filter_map(|place| self.entity.fields.get(place).cloned());
        names.collect()
    }

    fn change(&self, place: usize) -> Change {
        let shown = |known: Option<&Known>| {
            let value = at(known, place)?;
            self.entity.shown.contains(&place).then(|| in_words(value))
        };
        Change {
            field: self.entity.fields.get(place).cloned().unwrap_or_default(),
            before: shown(self.before),
            after: shown(self.after),
        }
    }
}
