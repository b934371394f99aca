//! The rows that an execution speaks of.

use super::memory::Span;
use super::program::{Program, Rule, Sources, Values};
use super::refusal::{Missing, Unmet};
use super::value::Datum;
use super::{Candidate, stage};
use crate::correlate::postgres::Execution;
use crate::interpret::rules::business::Does;

impl Candidate {
    /// A row of a rule with this number, unless something of it that is needed was not seen.
    pub(super) fn new(
        number: usize,
        rule: &Rule,
        program: &Program,
        row: Option<u64>,
        values: Values,
    ) -> Self {
        Self {
            rule: number,
            span: Span::default(),
            hidden: None,
            values: match rule.lacks(&values, program) {
                None => Ok(values),
                field => Err(Missing { row, field }),
            },
        }
    }
}

impl Candidate {
    /// A row of which nothing was seen.
    pub(super) fn unseen(rule: usize) -> Self {
        Self {
            rule,
            span: Span::default(),
            hidden: None,
            values: Err(Missing {
                row: None,
                field: None,
            }),
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
        let candidate = |row, values| Candidate::new(sources.rule, rule, self, row, values);
        if sources.columns.is_empty() {
            return vec![candidate(None, common)];
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
            let number = row.first().map(|cell| u64::from(cell.row) + 1);
            found.push(candidate(number, values));
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
