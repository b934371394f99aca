//! What one connection's open transaction would make true, until it is known whether it did.
//!
//! ```text
//!   BEGIN            │
//!   INSERT …         │ a
//!   SAVEPOINT s      │ a ┊
//!   INSERT …         │ a ┊ b
//!   ROLLBACK TO s    │ a ┊          b did not happen
//!   COMMIT           │              a did
//! ```

use crate::correlate::postgres::Control;
use crate::time::Timestamp;

/// Candidates of one transaction; beyond it they are unknown.
pub(super) const LIMIT: usize = 4096;
/// Savepoints that are told apart; a transaction with more is unknown from there on.
const SAVEPOINTS: usize = 256;

/// An open transaction's candidates, in the order of their statements.
#[derive(Debug)]
pub(super) struct Stage<C> {
    pending: Vec<C>,
    /// When its `BEGIN` was asked for, if that was seen.
    begun: Option<Timestamp>,
    /// Names, and how many candidates came before them.
    savepoints: Vec<(Box<str>, usize)>,
    /// Which of the candidates happened cannot be told any more.
    doubtful: bool,
}

impl<C> Default for Stage<C> {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            begun: None,
            savepoints: Vec::new(),
            doubtful: false,
        }
    }
}

impl<C> Stage<C> {
    /// A block begins, unless one is open.
    pub(super) fn begin(&mut self, asked: Timestamp) {
        self.begun.get_or_insert(asked);
    }

    /// Not after this was taken what a statement read that was asked for then: it may read what was
    /// true when its block began.
    pub(super) fn snapshot(&self, asked: Timestamp) -> Timestamp {
        self.begun.map_or(asked, |begun| begun.min(asked))
    }

    /// How many candidates there are.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// A statement ran; gives the candidate back where there is no room. Without it the others are
    /// not known either: they happened together or not at all.
    pub(super) fn push(&mut self, candidate: C) -> Option<C> {
        if self.pending.len() >= LIMIT {
            self.doubtful = true;
            return Some(candidate);
        }
        self.pending.push(candidate);
        None
    }

    /// A statement steered the transaction from inside; what it undid.
    pub(super) fn steer(&mut self, control: &Control) -> Vec<C> {
        match control {
            Control::Savepoint(_) if self.savepoints.len() >= SAVEPOINTS => self.doubtful = true,
            Control::Savepoint(name) => self.savepoints.push((name.clone(), self.pending.len())),
            Control::Release(name) => {
                if let Some(place) = self.find(name) {
                    self.savepoints.truncate(place);
                }
            }
            Control::RollbackTo(name) => match self.find(name) {
                Some(place) => {
                    self.savepoints.truncate(place + 1);
                    let before = self.savepoints.last().map_or(0, |(_, before)| *before);
                    return self.pending.split_off(before.min(self.pending.len()));
                }
                // Set before this connection was joined, or hidden: what came after it is not
                // known.
                None => self.doubtful = true,
            },
            _ => {}
        }
        Vec::new()
    }

    /// Something may have undone a part of it.
    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Takes its candidates out of a transaction that goes on: what comes later in it is as unknown
    /// as they are.
    pub(super) fn empty(&mut self) -> Vec<C> {
        self.doubtful |= !self.pending.is_empty();
        for (_, before) in &mut self.savepoints {
            *before = 0;
        }
        std::mem::take(&mut self.pending)
    }

    /// The transaction's end: its candidates, and whether their fate is that of the transaction.
    pub(super) fn take(&mut self) -> (Vec<C>, bool) {
        self.savepoints.clear();
        self.begun = None;
        let sure = !std::mem::take(&mut self.doubtful);
        (std::mem::take(&mut self.pending), sure)
    }

    /// The newest savepoint of that name: it hides older ones.
    fn find(&self, name: &str) -> Option<usize> {
        self.savepoints
            .iter()
            .rposition(|(known, _)| **known == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn savepoint(name: &str) -> Control {
        Control::Savepoint(name.into())
    }

    fn back(name: &str) -> Control {
        Control::RollbackTo(name.into())
    }

    #[test]
    fn a_savepoint_keeps_what_came_before_it() {
        let mut stage = Stage::default();
        stage.push('a');
        stage.steer(&savepoint("s"));
        stage.push('b');
        assert_eq!(stage.steer(&back("s")), ['b']);
        stage.push('c');
        assert_eq!(stage.steer(&back("s")), ['c'], "it stays set");
        assert_eq!(stage.take(), (vec!['a'], true));
    }

    #[test]
    fn a_newer_savepoint_hides_an_older_one_of_its_name_until_it_is_released() {
        let mut stage = Stage::default();
        stage.steer(&savepoint("s"));
        stage.push('a');
        stage.steer(&savepoint("s"));
        stage.push('b');
        stage.steer(&Control::Release("s".into()));
        stage.push('c');
        assert_eq!(stage.steer(&back("s")), ['a', 'b', 'c']);
    }

    #[test]
    fn releasing_a_savepoint_forgets_those_after_it_and_undoes_nothing() {
        let mut stage = Stage::default();
        stage.steer(&savepoint("s"));
        stage.push('a');
        stage.steer(&savepoint("t"));
        stage.push('b');
        stage.steer(&Control::Release("s".into()));
        assert_eq!(stage.steer(&back("t")), []);
        assert_eq!(stage.take(), (vec!['a', 'b'], false), "t was not there");
    }

    #[test]
    fn a_savepoint_that_was_not_seen_makes_everything_doubtful() {
        let mut stage = Stage::default();
        stage.push('a');
        stage.steer(&back("s"));
        assert_eq!(stage.take(), (vec!['a'], false));
        stage.push('b');
        assert_eq!(
            stage.take(),
            (vec!['b'], true),
            "the next transaction is not"
        );
    }

    #[test]
    fn what_comes_after_those_that_were_taken_out_is_doubtful() {
        let mut stage = Stage::default();
        stage.push('a');
        stage.steer(&savepoint("s"));
        assert_eq!(stage.empty(), ['a']);
        stage.push('b');
        assert_eq!(stage.steer(&back("s")), ['b']);
        stage.push('c');
        assert_eq!(stage.take(), (vec!['c'], false));
        assert_eq!(stage.empty(), []);
        stage.push('d');
        assert_eq!(stage.take(), (vec!['d'], true), "nothing was taken out");
    }

    #[test]
    fn a_statement_reads_what_was_true_when_its_block_began() {
        let mut stage = Stage::<char>::default();
        assert_eq!(stage.snapshot(Timestamp(5)), Timestamp(5));
        stage.begin(Timestamp(3));
        stage.begin(Timestamp(4));
        assert_eq!(stage.snapshot(Timestamp(5)), Timestamp(3));
        stage.take();
        assert_eq!(stage.snapshot(Timestamp(7)), Timestamp(7));
    }

    #[test]
    fn both_lists_are_bounded() {
        let mut stage = Stage::default();
        for number in 0..LIMIT {
            assert_eq!(stage.push(number), None);
        }
        assert!(!stage.doubtful);
        assert_eq!(stage.push(LIMIT), Some(LIMIT));
        assert!(!stage.take().1, "without it the others are not known");
        for number in 0..=SAVEPOINTS {
            stage.steer(&savepoint(&number.to_string()));
        }
        assert_eq!(stage.savepoints.len(), SAVEPOINTS);
        assert!(!stage.take().1);
    }
}
