//! Options of the commands that wait only with one of them, in the order in which the server reads
//! them.

use super::command::{Blocks, Command};

/// Longest option: `STREAMS`.
pub(super) const LONGEST_OPTION: u64 = 7;

/// Options of `XREAD` and `XREADGROUP`, and how many words on the next one is. Behind any other
/// word are keys, which may be called as they like.
const OPTIONS: [(&str, u64); 5] = [
    ("block", 2),
    ("claim", 2),
    ("count", 2),
    ("group", 3),
    ("noack", 1),
];

/// Where in a command its next option stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    next: u64,
}

impl Options {
    /// Those of a command whose first word is its name.
    pub(crate) const fn new() -> Self {
        Self { next: 1 }
    }

    /// Whether the word at `index` is an option, if it is one at all.
    pub(crate) fn is_next(self, command: &Command, index: u64) -> bool {
        command.blocks == Blocks::OnOption && self.next == index
    }

    /// The option that this word is; `None` where the options are over.
    pub(crate) fn read(&mut self, word: &[u8]) -> Option<&'static str> {
        let (name, words) = OPTIONS
            .iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))?;
        self.next += words;
        Some(name)
    }
}
