//! The rules of the business made ready: names become places.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

use super::value::{Datum, Type};
use crate::export::Metric;
use crate::interpret::rules::business::{Condition, Does, Policy, Range};
use crate::interpret::rules::{Problem, Rules};

mod compile;

/// The fields of an entity, by place.
pub(super) type Values = SmallVec<[Option<Datum>; 8]>;

/// The rules, made ready.
#[derive(Debug, Default, PartialEq)]
pub struct Program {
    pub(super) entities: Vec<Entity>,
    /// Of statements first, then of requests.
    pub(super) rules: Vec<Rule>,
    /// What an amount's hundredths are multiplied by to be ten-thousandths of the major unit.
    pub(super) money: i64,
    statements: Vec<Statement>,
    pub(super) requests: Vec<Request>,
    /// Texts that the rules name, in lower case: any of them may be a label.
    pub(super) words: Arc<BTreeSet<String>>,
    /// The statements of a query.
    by_query: HashMap<String, Vec<usize>>,
    /// Whether a query is named by its fingerprint.
    fingerprints: bool,
}

/// An entity.
#[derive(Debug, PartialEq)]
pub(super) struct Entity {
    pub(super) name: String,
    /// In the order of their places.
    pub(super) types: Vec<Type>,
    /// Their names.
    pub(super) fields: Vec<String>,
    /// Places of the key's fields.
    pub(super) key: Vec<usize>,
    pub(super) effects: Vec<Moves>,
    /// Places of the fields that labels show, be it those of its own effects or of others'.
    pub(super) shown: Vec<usize>,
}

/// What a statement or a request does.
#[derive(Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) entity: usize,
    pub(super) does: Does,
    pub(super) policy: Policy,
    /// The tag it must end with; any, if there is none.
    pub(super) tag: Option<String>,
    /// Two places that must hold the same.
    pub(super) equal: Option<(usize, usize)>,
    /// A place, and that of a list of values that are spared.
    pub(super) spares: Option<(usize, usize)>,
    /// Places of the fields that it names.
    pub(super) told: Vec<usize>,
    pub(super) only: Vec<(usize, Condition)>,
    pub(super) constants: Vec<(usize, Datum)>,
}

/// Where a statement has the fields.
#[derive(Debug, PartialEq)]
struct Statement {
    rule: usize,
    /// Places of fields, and the columns that hold them.
    columns: Vec<(usize, String)>,
    /// Places of fields, and the parameters that hold them.
    parameters: Vec<(usize, u16)>,
}

/// Which requests a rule speaks of, and where they have the fields.
#[derive(Debug, PartialEq)]
pub(in crate::interpret) struct Request {
    pub(super) rule: usize,
    /// Templates of routes.
    pub(in crate::interpret) routes: Vec<String>,
    /// In upper case; any, if there is none.
    pub(in crate::interpret) methods: Vec<String>,
    /// Ranges of status codes, both ends included; any, if there is none.
    pub(super) statuses: Vec<(u16, u16)>,
    pub(in crate::interpret) fields: Vec<(usize, Source)>,
}

/// Where a request, or its answer, has a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Path(String),
    Query(String),
    Header(String),
    /// The path of a JSON body's field.
    Body(Vec<String>),
    Answer(Vec<String>),
    Shop,
    Duration,
    Outcome,
    Status,
    Method,
}

impl Source {
    /// Whether whoever asks, or answers, may say anything there.
    pub(super) const fn is_told(&self) -> bool {
        matches!(
            self,
            Self::Path(_) | Self::Query(_) | Self::Header(_) | Self::Body(_) | Self::Answer(_)
        )
    }
}

/// A metric that moves.
#[derive(Debug, PartialEq)]
pub(super) struct Moves {
    pub(super) on: On,
    pub(super) from: Vec<String>,
    pub(super) to: Vec<String>,
    pub(super) only: Vec<(usize, Condition)>,
    pub(super) metric: Metric,
    pub(super) by: By,
    /// So many series of the lowest values are kept apart.
    pub(super) lowest: Option<u32>,
    pub(super) labels: Vec<Label>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Created,
    Changed(usize),
    Deleted,
    Remembered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    One,
    Field(usize),
    Age,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Label {
    Own(usize),
    Constant(String),
    /// Of another entity, whose key stands at these places.
    Of {
        entity: usize,
        key: Vec<usize>,
        field: usize,
    },
}

/// Where an execution of a statement has the fields of its entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Of [`Program::rules`].
    pub(in crate::interpret) rule: usize,
    /// Places of fields, and indices into the execution's wanted parameters.
    pub(in crate::interpret) parameters: Vec<(usize, usize)>,
    /// Places of fields, and indices into the wanted columns.
    pub(in crate::interpret) columns: Vec<(usize, u16)>,
    /// The text has several statements, and which of them the rule speaks of does not show.
    pub(in crate::interpret) ambiguous: bool,
}

impl Program {
    /// Makes rules ready; what they name in vain goes to `problems`.
    pub(in crate::interpret) fn new(rules: &Rules, problems: &mut Vec<Problem>) -> Self {
        compile::compile(rules, problems)
    }

    /// Where executions of a query have what the rules read of them, with parameters and columns
    /// put into the lists of those that are wanted.
    pub(in crate::interpret) fn sources(
        &self,
        query: &str,
        parameters: &mut Vec<u16>,
        columns: &mut Vec<String>,
    ) -> Vec<Sources> {
        let found = self.by_query.get(query).into_iter().flatten();
        let statements = found.filter_map(|at| self.statements.get(*at));
        let sources = statements.map(|statement| Sources {
            rule: statement.rule,
            parameters: statement
                .parameters
                .iter()
                .map(|(field, number)| (*field, enter(parameters, number)))
                .collect(),
            columns: statement
                .columns
                .iter()
                .filter_map(|(field, column)| {
                    let place = enter(columns, column);
                    Some((*field, u16::try_from(place).ok()?))
                })
                .collect(),
            ambiguous: false,
        });
        sources.collect()
    }

    /// What the rules read of requests, each by the number of its rule among them.
    pub(in crate::interpret) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter()
    }

    /// Whether a rule speaks of a query.
    pub(in crate::interpret) fn speaks_of(&self, query: &str) -> bool {
        self.by_query.contains_key(query)
    }

    /// Whether a rule names a query by its fingerprint.
    pub(in crate::interpret) fn reads_fingerprints(&self) -> bool {
        self.fingerprints
    }

    /// Every rule by its name, with the queries or the routes that it speaks of.
    pub fn rules(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.rules.iter().enumerate().map(|(number, rule)| {
            let is_of = |at: &usize| {
                let statement = self.statements.get(*at);
                statement.is_some_and(|statement| statement.rule == number)
            };
            let queries = self.by_query.iter();
            let queries = queries.filter(|(_, statements)| statements.iter().any(is_of));
            let mut requests = self.requests.iter();
            let request = requests.find(|request| request.rule == number);
            let routes = request.map_or([].as_slice(), |request| request.routes.as_slice());
            let speaks_of = queries.map(|(query, _)| query).chain(routes);
            (rule.name.as_str(), speaks_of.cloned().collect())
        })
    }

    /// What a field of a rule's entity is called.
    pub(super) fn field(&self, rule: &Rule, place: usize) -> String {
        let entity = self.entities.get(rule.entity);
        let name = entity.and_then(|entity| entity.fields.get(place));
        name.cloned().unwrap_or_default()
    }
}

/// Whether fields are what they must be.
pub(super) fn hold(conditions: &[(usize, Condition)], values: &Values) -> bool {
    conditions
        .iter()
        .all(|(place, condition)| condition.holds(values.get(*place).and_then(Option::as_ref)))
}

impl Condition {
    /// Whether a value is so; one that is not known is not.
    pub(super) fn holds(&self, value: Option<&Datum>) -> bool {
        match (self, value) {
            (Self::Any(allowed), Some(Datum::Text(text))) => allowed
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(text)),
            (Self::Range(Range { at_least, at_most }), Some(Datum::Integer(number))) => {
                at_least.is_none_or(|least| *number >= least)
                    && at_most.is_none_or(|most| *number <= most)
            }
            _ => false,
        }
    }
}

/// Where a list has a value, put there if it is not there yet.
fn enter<T: Clone + PartialEq>(list: &mut Vec<T>, value: &T) -> usize {
    if let Some(place) = list.iter().position(|known| known == value) {
        return place;
    }
    list.push(value.clone());
    list.len() - 1
}
