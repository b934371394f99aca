//! Reasons, in words.

use std::fmt;

use crate::correlate::postgres::SqlState;

/// Why a candidate became what it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its transaction committed, and this changed.
    Committed(Vec<Change>),
    /// It waits for no transaction, and this changed.
    Completed(Vec<Change>),
    /// It failed, which is what its rule waits for, and this changed.
    FailedAsAwaited(Vec<Change>),
    /// It was created already.
    WasCreated,
    /// It was deleted already.
    WasDeleted,
    /// The fields that move a metric were so already.
    WasSo(Vec<Change>),
    /// From which values these fields changed was not seen.
    FromUnknown(Vec<String>),
    /// These fields were not known before, or not to be so.
    Taught(Vec<String>),
    /// Its transaction was rolled back on request, perhaps after an error.
    RolledBack(Option<SqlState>),
    /// Its transaction was rolled back because of an error.
    Failed(Option<SqlState>),
    /// Its transaction went back to a savepoint before it.
    BackToSavepoint,
    /// The end of its transaction was not seen.
    EndHidden,
    /// The connection, or the recording, ended before its transaction did.
    Disconnected,
    /// A part of its transaction was hidden that may have undone it.
    Doubtful,
    /// Its transaction speaks of more rows than are held.
    TooMany,
    /// More prepared transactions wait than are held.
    TooManyPrepared,
    /// Other rules came into force meanwhile.
    OtherRules,
    /// A gateway passed the request on, and it counts where it ended.
    PassedOn,
    /// Its text has several statements.
    SeveralStatements,
    /// The end of the statement was not seen.
    AnswerHidden,
    /// A field that must be known is not.
    Missing {
        /// Which row of the answer, from 1; none where the parameters tell.
        row: Option<u64>,
        /// Which field; none where nothing of the row was captured.
        field: Option<String>,
    },
    /// The statement ended with another tag than this rule speaks of.
    OtherTag {
        /// Which it ended with.
        found: String,
        /// Which the rule names.
        expected: String,
    },
    /// The statement changed, or returned, nothing.
    NoRow(String),
    /// The statement failed.
    StatementFailed(SqlState),
    /// A field is not what the rule's `only` says.
    Only(String),
    /// Two fields differ that the rule's `equal` names.
    Unequal(String, String),
    /// No such entity is remembered.
    NotRemembered,
}

/// A field, and what it holds where rules make a label of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub field: String,
    /// What it held.
    pub before: Option<String>,
    /// What it holds.
    pub after: Option<String>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |state: &SqlState| String::from_utf8_lossy(&state.0).into_owned();
        match self {
            Self::Committed(changes) => happened(f, "committed", changes),
            Self::Completed(changes) => happened(f, "at once", changes),
            Self::FailedAsAwaited(changes) => happened(f, "it failed", changes),
            Self::WasCreated => f.write_str("it was created already"),
            Self::WasDeleted => f.write_str("it was deleted already"),
            Self::WasSo(fields) => so(f, fields),
            Self::FromUnknown(fields) => {
                write!(f, "what {} was before was not seen", fields.join(" and "))
            }
            Self::Taught(fields) if fields.is_empty() => f.write_str("it shows nothing new"),
            Self::Taught(fields) => write!(f, "it shows {}", fields.join(", ")),
            Self::RolledBack(error) => {
                f.write_str("the transaction was rolled back on request")?;
                error
                    .iter()
                    .try_for_each(|error| write!(f, ", after SQLSTATE {}", state(error)))
            }
            Self::Failed(None) => f.write_str("the transaction failed"),
            Self::Failed(Some(SqlState::UNKNOWN)) => {
                f.write_str("the transaction failed, and with which SQLSTATE was not seen")
            }
            Self::Failed(Some(error)) => {
                write!(f, "the transaction failed with SQLSTATE {}", state(error))
            }
            Self::BackToSavepoint => f.write_str("a savepoint before it was rolled back to"),
            Self::EndHidden => f.write_str("a gap hid the end of the transaction"),
            Self::Disconnected => {
                f.write_str("the connection or the recording ended before the transaction did")
            }
            Self::Doubtful => {
                f.write_str("a part of the transaction was hidden that may have undone it")
            }
            Self::TooMany => f.write_str("the transaction has too many rows"),
            Self::TooManyPrepared => f.write_str("too many prepared transactions wait"),
            Self::OtherRules => f.write_str("other rules came into force"),
            Self::PassedOn => f.write_str("a gateway passed it on, and it counts where it ended"),
            Self::SeveralStatements => f.write_str("its text has several statements"),
            Self::AnswerHidden => {
                f.write_str("the statement's answer was hidden by a gap, or never came")
            }
            Self::Missing { row, field } => {
                match field {
                    Some(field) => write!(
                        f,
                        "`{field}` was not captured, has another type, or cannot be added"
                    )?,
                    None => f.write_str("it was not captured")?,
                }
                match row {
                    Some(row) => write!(f, ", in row {row}"),
                    None => Ok(()),
                }
            }
            Self::OtherTag { found, expected } => {
                write!(f, "it ended with {found}, and the rule is of {expected}")
            }
            Self::NoRow(tag) => write!(f, "{tag} 0: there was no row"),
            Self::StatementFailed(error) => write!(f, "it failed with SQLSTATE {}", state(error)),
            Self::Only(field) => write!(f, "`{field}` is not what `only` asks for"),
            Self::Unequal(one, other) => write!(f, "`{one}` and `{other}` are not equal"),
            Self::NotRemembered => f.write_str("no such entity is remembered"),
        }
    }
}

fn happened(f: &mut fmt::Formatter<'_>, how: &str, changes: &[Change]) -> fmt::Result {
    f.write_str(how)?;
    for (number, change) in changes.iter().enumerate() {
        f.write_str(if number == 0 { ": " } else { ", " })?;
        match (&change.before, &change.after) {
            (Some(before), Some(after)) => write!(f, "{} {before} → {after}", change.field)?,
            (None, Some(after)) => write!(f, "{} → {after}", change.field)?,
            (_, None) => write!(f, "{} changed", change.field)?,
        }
    }
    Ok(())
}

fn so(f: &mut fmt::Formatter<'_>, fields: &[Change]) -> fmt::Result {
    if fields.is_empty() {
        return f.write_str("it changes no field that moves a metric");
    }
    for (number, field) in fields.iter().enumerate() {
        f.write_str(if number == 0 { "" } else { ", " })?;
        match &field.after {
            Some(value) => write!(f, "{} was {value} already", field.field)?,
            None => write!(f, "{} was so already", field.field)?,
        }
    }
    Ok(())
}
