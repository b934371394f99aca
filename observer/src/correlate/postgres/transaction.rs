//! Where one transaction ends: the tag decides, not `ReadyForQuery`.
//!
//! A transaction ends at the tag COMMIT, in or out of a block; at the tag ROLLBACK, unless it
//! answers ROLLBACK TO, which has the same tag; or at an idle `ReadyForQuery` before which
//! something ran, or failed, that no such tag closed. PREPARE TRANSACTION ends a block without an
//! outcome. What a gap hid is unknown.

use super::Transaction;
use super::control::Control;
use crate::decode::postgres::Status;

/// The transaction that a connection is in, explicit or not.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what came since the last end: each may have come with or without the others"
)]
pub(super) struct Block {
    status: Option<Status>,
    /// Something ran or failed that nothing has closed yet.
    open: bool,
    /// An error came since.
    failed: bool,
    /// An answer that may have closed it was hidden.
    hidden: bool,
    /// The tag ROLLBACK came for a statement whose text is not known.
    rolled_back: bool,
}

impl Block {
    /// A statement ended with a tag; `control` is `None` where its text is not known.
    pub(super) fn completed(
        &mut self,
        control: Option<&Control>,
        tag: &[u8],
    ) -> Option<Transaction> {
        let outcome = match (tag, control) {
            (b"COMMIT" | b"COMMIT PREPARED", _) => Some(Transaction::Commit),
            (b"ROLLBACK PREPARED", _) => Some(Transaction::Rollback),
            (b"PREPARE TRANSACTION", _) => None,
            (b"ROLLBACK", Some(Control::Commit | Control::PrepareTransaction(_))) => {
                Some(Transaction::Failed)
            }
            (b"ROLLBACK", None) => {
                self.open = true;
                self.rolled_back = true;
                return None;
            }
            (b"ROLLBACK", Some(control)) if !matches!(control, Control::RollbackTo(_)) => {
                Some(Transaction::Rollback)
            }
            _ => {
                self.open = true;
                return None;
            }
        };
        self.close();
        self.status = Some(Status::Idle);
        outcome
    }

    /// An error came, of an execution or of none.
    pub(super) fn error(&mut self) {
        self.open = true;
        self.failed = true;
    }

    /// An error ended the connection: what was open is never told to have ended.
    pub(super) fn fatal(&mut self, running: bool) {
        self.open |= running;
    }

    /// Something was answered of which nothing is known.
    pub(super) fn doubt(&mut self) {
        self.hidden |= self.open || self.in_block();
    }

    /// A statement's answer was hidden; it may have closed the transaction if `ends`.
    pub(super) fn hide(&mut self, ends: bool) -> Option<Transaction> {
        if ends {
            self.close();
            self.status = None;
            return Some(Transaction::Unknown);
        }
        self.open = true;
        self.hidden = true;
        None
    }

    /// The server is done with a request.
    pub(super) fn ready(&mut self, status: Option<Status>) -> Option<Transaction> {
        let before = std::mem::replace(&mut self.status, status);
        if status != Some(Status::Idle) {
            // ROLLBACK TO or AND CHAIN: the block goes on either way.
            self.rolled_back = false;
            self.hidden &= status.is_none();
            return None;
        }
        let was_open = self.open || matches!(before, Some(Status::Block | Status::Failed));
        let outcome = if self.hidden || !self.open {
            Transaction::Unknown
        } else if self.rolled_back && (self.failed || before == Some(Status::Failed)) {
            // COMMIT and ROLLBACK have this answer in a failed block.
            Transaction::Unknown
        } else if self.rolled_back {
            Transaction::Rollback
        } else if self.failed {
            Transaction::Failed
        } else if matches!(before, Some(Status::Block | Status::Failed)) {
            // A block ends with a tag, or with an error at its COMMIT.
            Transaction::Unknown
        } else {
            Transaction::Commit
        };
        self.close();
        was_open.then_some(outcome)
    }

    /// Whether a block was open at the last `ReadyForQuery`.
    pub(super) fn in_block(&self) -> bool {
        matches!(self.status, Some(Status::Block | Status::Failed))
    }

    /// The connection is over.
    pub(super) fn end(&mut self) -> Option<Transaction> {
        let open = self.open || self.in_block();
        *self = Self::default();
        open.then_some(Transaction::Lost)
    }

    fn close(&mut self) {
        self.open = false;
        self.failed = false;
        self.hidden = false;
        self.rolled_back = false;
    }
}
