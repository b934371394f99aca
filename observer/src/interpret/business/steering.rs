//! Statements that steer transactions from inside, and those that end them in two phases.

use super::memory::Span;
use super::why::Why;
use super::{Business, Context, Fate, PREPARED};
use crate::correlate::postgres::{Control, Execution, Outcome, Transaction};
use crate::export::Symbol;

impl Business {
    /// What the statement does to the transaction it ran in.
    pub(super) fn steer(&mut self, execution: &Execution, context: &mut Context<'_>) {
        if let Outcome::Failed(_) = execution.outcome {
            return;
        }
        let connection = context.connection;
        match (&execution.control, execution.tag.as_str()) {
            (_, "BEGIN" | "START TRANSACTION") => {
                let stage = self.stages.entry(connection).or_default();
                stage.begin(Span::of(execution).asked);
            }
            (Some(control @ Control::Savepoint(_)), "SAVEPOINT") => {
                self.stages.entry(connection).or_default().steer(control);
            }
            (Some(control @ Control::Release(_)), "RELEASE")
            | (Some(control @ Control::RollbackTo(_)), "ROLLBACK") => {
                let stage = self.stages.get_mut(&connection);
                let undone = stage.map(|stage| stage.steer(control));
                let undone = undone.unwrap_or_default();
                self.held -= undone.len();
                self.tell(undone, Fate::RolledBack, &Why::BackToSavepoint, context);
            }
            (Some(Control::PrepareTransaction(id)), "PREPARE TRANSACTION") => {
                self.prepare(id, context);
            }
            // Under which id is hidden.
            (_, "PREPARE TRANSACTION") => self.transaction(Transaction::Unknown, context),
            (Some(Control::CommitPrepared(id)), "COMMIT PREPARED") => {
                self.second_phase(id, Transaction::Commit, context);
            }
            (Some(Control::RollbackPrepared(id)), "ROLLBACK PREPARED") => {
                self.second_phase(id, Transaction::Rollback, context);
            }
            (Some(Control::CommitPrepared(id) | Control::RollbackPrepared(id)), _) => {
                self.second_phase(id, Transaction::Unknown, context);
            }
            (_, "COMMIT PREPARED" | "ROLLBACK PREPARED") => self.doubt_prepared(context.database),
            // A text that is hidden, a tag that is, or one of another statement's.
            (Some(Control::Savepoint(_) | Control::Release(_) | Control::RollbackTo(_)), _)
            | (None, "" | "ROLLBACK" | "SAVEPOINT" | "RELEASE") => self.doubt(connection),
            _ => {}
        }
    }

    fn prepare(&mut self, id: &str, context: &mut Context<'_>) {
        let stage = self.stages.remove(&context.connection);
        let (candidates, sure) = stage.map(|mut stage| stage.take()).unwrap_or_default();
        let key = (context.database, Box::from(id));
        // How one before it of this name ended was hidden.
        let (mut forgotten, mut why) = (self.prepared.remove(&key), Why::EndHidden);
        if forgotten.is_none() && self.prepared.len() >= PREPARED as usize {
            forgotten = self.prepared.pop_oldest().map(|(_, oldest)| oldest);
            why = Why::TooManyPrepared;
        }
        let (forgotten, _) = forgotten.unwrap_or_default();
        self.held -= forgotten.len();
        self.tell(forgotten, Fate::Unknown, &why, context);
        if !candidates.is_empty() {
            self.prepared.insert(key, (candidates, sure));
        }
    }

    fn second_phase(&mut self, id: &str, end: Transaction, context: &mut Context<'_>) {
        let key = (context.database, Box::from(id));
        if let Some((candidates, sure)) = self.prepared.remove(&key) {
            self.held -= candidates.len();
            return self.settle(candidates, sure, end, None, context);
        }
        // On a connection whose database is not known it may have been any of this name.
        let is_unknown = |database: Symbol| database == Symbol::UNKNOWN;
        let mut keys = self.prepared.iter().map(|(key, _)| key);
        let any = keys.find(|(database, known)| {
            **known == *id && (is_unknown(*database) || is_unknown(context.database))
        });
        if let Some(key) = any.cloned()
            && let Some((candidates, _)) = self.prepared.remove(&key)
        {
            self.held -= candidates.len();
            self.tell(candidates, Fate::Unknown, &Why::EndHidden, context);
        }
    }

    /// One of a database's transactions ended, and which one is hidden.
    fn doubt_prepared(&mut self, database: Symbol) {
        for ((of, _), (_, sure)) in self.prepared.iter_mut() {
            *sure &= *of != database;
        }
    }
}
