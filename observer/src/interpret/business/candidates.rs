//! The rows that an execution speaks of.
//!
//! A field that is NULL says nothing. One that the rule tells and that was not captured, cannot be
//! read, or cannot be counted may be anything: where an effect needs it, the row is unknown.

use smallvec::SmallVec;

use super::memory::Span;
use super::program::{By, Label, On, Program, Rule, Sources, Values};
use super::refusal::{Missing, Unmet};
use super::value::{Datum, Type};
use super::{Candidate, stage};
use crate::correlate::postgres::{Execution, Value};
use crate::interpret::rules::business::Does;

impl Candidate {
    /// A row of a rule with this number, unless something of it that is needed cannot be known.
    pub(super) fn new(
        number: usize,
        rule: &Rule,
        program: &Program,
        row: Option<u64>,
        read: Read,
    ) -> Self {
        let Read {
            values: mut seen,
            mut unread,
        } = read;
        for (place, value) in seen.iter_mut().enumerate() {
            let can_add = |value: &Datum| program.can_add(rule.entity, place, value);
            if !value.as_ref().is_none_or(can_add) {
                *value = None;
                unread.push(place);
            }
        }
        let field = match rule.lacks(&seen, program) {
            None if rule.does != Does::Show && rule.unmet(&seen).is_none() => {
                let mut unread = unread.iter().copied();
                unread.find(|place| program.needs(rule.entity, *place))
            }
            lacks => lacks,
        };
        Self {
            rule: number,
            span: Span::default(),
            hidden: None,
            values: match field {
                None => Ok(seen),
                field => Err(Missing {
                    row,
                    field,
                    seen,
                    unread,
                }),
            },
        }
    }

    /// A row of which nothing was seen.
    pub(super) fn unseen(rule: usize) -> Self {
        Self {
            rule,
            span: Span::default(),
            hidden: None,
            values: Err(Missing::default()),
        }
    }

    /// What is known of the row, and the places of what its rule tells and cannot be known.
    pub(super) fn seen(&self) -> (&Values, &[usize]) {
        match &self.values {
            Ok(values) => (values, &[]),
            Err(missing) => (&missing.seen, &missing.unread),
        }
    }

    /// What is known of the row.
    pub(super) fn seen_mut(&mut self) -> &mut Values {
        match &mut self.values {
            Ok(values) => values,
            Err(missing) => &mut missing.seen,
        }
    }
}

/// A row, as far as it can be read.
#[derive(Clone)]
pub(super) struct Read {
    values: Values,
    /// Places of fields that may hold anything.
    unread: SmallVec<[usize; 2]>,
}

impl Read {
    /// What is the same of all rows of an execution: its parameters tell it, or the rule itself.
    fn common(rule: &Rule, types: &[Type], execution: &Execution, sources: &Sources) -> Self {
        let mut read = Self::from(Values::from_elem(None, types.len()));
        for (field, index) in &sources.parameters {
            let value = execution.parameters.get(*index).and_then(Option::as_ref);
            read.read(types, *field, value);
        }
        for (field, constant) in &rule.constants {
            if let Some(slot) = read.values.get_mut(*field) {
                *slot = Some(constant.clone());
            }
        }
        read
    }

    /// Reads a field, told by this value; `None` where that was not captured.
    fn read(&mut self, types: &[Type], place: usize, value: Option<&Value>) {
        let (Some(of), Some(slot)) = (types.get(place), self.values.get_mut(place)) else {
            return;
        };
        *slot = value.and_then(|value| Datum::read(value, *of));
        let is_null = value.is_some_and(|value| value.bytes.is_none());
        if slot.is_none() && !is_null {
            self.unread.push(place);
        }
    }
}

impl From<Values> for Read {
    /// What is not there was not told.
    fn from(values: Values) -> Self {
        Self {
            values,
            unread: SmallVec::new(),
        }
    }
}

impl Program {
    /// The rows that an execution speaks of.
    pub(super) fn candidates(&self, execution: &Execution, sources: &Sources) -> Vec<Candidate> {
        let Some((rule, types)) = self.rules.get(sources.rule).and_then(|rule| {
            let entity = self.entities.get(rule.entity)?;
            Some((rule, &entity.types))
        }) else {
            return Vec::new();
        };
        let common = Read::common(rule, types, execution, sources);
        let candidate = |row, read| Candidate::new(sources.rule, rule, self, row, read);
        if sources.columns.is_empty() {
            return vec![candidate(None, common)];
        }
        let mut found = Vec::new();
        for row in execution
            .columns
            .chunk_by(|one, other| one.row == other.row)
        {
            let mut read = common.clone();
            for (field, column) in &sources.columns {
                let cell = row.iter().find(|cell| cell.column == *column);
                read.read(types, *field, cell.map(|cell| &cell.value));
            }
            let number = row.first().map(|cell| u64::from(cell.row) + 1);
            found.push(candidate(number, read));
        }
        // A row that was not captured, or found no room, may have been any.
        let rows = execution.rows.unwrap_or(1);
        let hidden = usize::try_from(rows)
            .unwrap_or(usize::MAX)
            .saturating_sub(found.len());
        if rule.does != Does::Show {
            let unseen = Candidate::unseen(sources.rule);
            found.extend(std::iter::repeat_n(unseen, hidden.min(stage::LIMIT)));
        }
        found
    }

    /// Whether an effect, or a rule that deletes others, needs a field of an entity.
    fn needs(&self, kind: usize, place: usize) -> bool {
        let own = self.entities.get(kind);
        let mut effects = own.into_iter().flat_map(|entity| &entity.effects);
        let is_key = |label: &Label| matches!(label, Label::Of { key, .. } if key.contains(&place));
        let mut deleting = self
            .rules
            .iter()
            .filter(|rule| rule.does == Does::DeleteEvery);
        own.is_some_and(|entity| entity.shown.contains(&place))
            || effects.any(|effect| {
                effect.on == On::Changed(place)
                    || effect.by == By::Field(place)
                    || effect.only.iter().any(|(field, _)| *field == place)
                    || effect.labels.iter().any(is_key)
            })
            || deleting.any(|rule| rule.entity == kind && rule.told.contains(&place))
    }

    /// Whether a value is none that effects add to what only ever grows, or one that they can.
    fn can_add(&self, kind: usize, place: usize, value: &Datum) -> bool {
        let can = match value {
            Datum::Money(amount) => *amount >= 0 && amount.checked_mul(self.money).is_some(),
            Datum::Integer(number) => *number >= 0,
            _ => true,
        };
        let own = self.entities.get(kind);
        let mut effects = own.into_iter().flat_map(|entity| &entity.effects);
        can || !effects.any(|effect| effect.on != On::Remembered && effect.by == By::Field(place))
    }
}

impl Rule {
    /// The first condition that a row does not meet.
    pub(super) fn unmet(&self, values: &Values) -> Option<Unmet> {
        if let Some((one, other)) = self.equal
            && values.get(one) != values.get(other)
        {
            return Some(Unmet::Equal(one, other));
        }
        let value = |place: usize| values.get(place).and_then(Option::as_ref);
        let mut only = self.only.iter();
        let unmet = only.find(|(place, condition)| !condition.holds(value(*place)));
        unmet.map(|(place, _)| Unmet::Only(*place))
    }

    /// The place of the first field that is not known and has to be: those that tell of whom it
    /// speaks, and those that the conditions are about.
    pub(super) fn lacks(&self, values: &Values, program: &Program) -> Option<usize> {
        let named = match self.does {
            Does::DeleteEvery => &self.told,
            _ => &program.entities.get(self.entity)?.key,
        };
        let only = self.only.iter().map(|(place, _)| *place);
        let equal = self.equal.into_iter().flat_map(|(one, other)| [one, other]);
        let mut needed = named.iter().copied().chain(only).chain(equal);
        needed.find(|place| values.get(*place).is_none_or(Option::is_none))
    }
}
