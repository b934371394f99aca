//! Why an execution has no candidate, and why a row is none.

use smallvec::SmallVec;

use super::program::{Program, Rule, Values};
use super::why::Why;
use crate::correlate::postgres::{Execution, Outcome, SqlState};
use crate::interpret::rules::business::{Does, Policy};

/// Why an execution says nothing, or nothing that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its end was not seen.
    Hidden,
    /// It is one of several statements of a text.
    Ambiguous,
    NoRow,
    OtherTag,
    Failed(SqlState),
    /// It completed, and its rule speaks of failures.
    NotMeant,
}

impl Refusal {
    /// `None` for an execution that a rule speaks of.
    pub(super) fn of(execution: &Execution, rule: &Rule, is_ambiguous: bool) -> Option<Self> {
        let awaits_failure = rule.policy == Policy::Failed;
        let is_tag = |tag: &String| *tag == execution.tag;
        match execution.outcome {
            Outcome::Unknown => Some(Self::Hidden),
            Outcome::Failed(state) if !awaits_failure => Some(Self::Failed(state)),
            Outcome::Completed if execution.rows == Some(0) => Some(Self::NoRow),
            Outcome::Completed if awaits_failure => Some(Self::NotMeant),
            Outcome::Completed if !rule.tag.as_ref().is_none_or(is_tag) => Some(Self::OtherTag),
            Outcome::Failed(_) | Outcome::Completed => is_ambiguous.then_some(Self::Ambiguous),
        }
    }

    /// Whether what the rule speaks of may have happened all the same. That a statement failed is
    /// not presumed of one whose end was not seen.
    pub(super) fn leaves_open(self, rule: &Rule) -> bool {
        let may = match self {
            Self::Hidden => rule.policy != Policy::Failed,
            Self::Ambiguous => true,
            Self::NoRow | Self::OtherTag | Self::Failed(_) | Self::NotMeant => false,
        };
        may && rule.does != Does::Show
    }

    /// In words; nothing for what no candidate was ever made of.
    pub(super) fn why(self, execution: &Execution, rule: &Rule) -> Option<Why> {
        Some(match self {
            Self::Hidden => Why::AnswerHidden,
            Self::Ambiguous => Why::SeveralStatements,
            Self::NoRow => Why::NoRow(execution.tag.clone()),
            Self::OtherTag => Why::OtherTag {
                found: execution.tag.clone(),
                expected: rule.tag.clone().unwrap_or_default(),
            },
            Self::Failed(state) => Why::StatementFailed(state),
            Self::NotMeant => return None,
        })
    }
}

/// What must be known of a row and is not; by default, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Which row of the answer, from 1; none where the parameters tell.
    pub(super) row: Option<u64>,
    /// The place of the field; none where nothing of the row was seen.
    pub(super) field: Option<usize>,
    /// What is known of it.
    pub(super) seen: Values,
    /// Places of the fields that the rule tells and that cannot be known.
    pub(super) unread: SmallVec<[usize; 2]>,
}

impl Missing {
    /// In words.
    pub(super) fn why(&self, program: &Program, rule: &Rule) -> Why {
        Why::Missing {
            row: self.row,
            field: self.field.map(|place| program.field(rule, place)),
        }
    }
}

/// A condition of a rule that a row does not meet, by places of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    Equal(usize, usize),
    Only(usize),
}

impl Unmet {
    /// In words.
    pub(super) fn why(self, program: &Program, rule: &Rule) -> Why {
        match self {
            Self::Equal(one, other) => {
                Why::Unequal(program.field(rule, one), program.field(rule, other))
            }
            Self::Only(place) => Why::Only(program.field(rule, place)),
        }
    }
}
