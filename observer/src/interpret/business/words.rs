//! Texts that become labels: in a bounded number, and none that may say who somebody is.
//!
//! What a request says is anybody's to make up, and what a row says may be what a request said. As
//! a label it must look like a word; and a word that no rule names is learnt while there is room.

use super::Business;
use super::program::{Program, Rule, Values};
use super::value::Datum;
use crate::export::{Symbol, Symbols};
use crate::interpret::names::Names;

/// Words that requests may add to labels, all rules together.
pub(super) const WORDS_OF_REQUESTS: usize = 100;
/// Words that rows may add.
pub(super) const WORDS_OF_ROWS: usize = 1000;

pub(super) const OTHER: &str = "_other";

impl Business {
    /// Makes the texts of a row that labels show what they may be, before anything remembers them.
    pub(super) fn name(&mut self, rule: &Rule, values: &mut Values, symbols: &mut Symbols) {
        let Some(entity) = self.program.entities.get(rule.entity) else {
            return;
        };
        let shown = entity.shown.iter();
        for place in shown.filter(|place| !entity.key.contains(place)) {
            if let Some(Some(Datum::Text(text))) = values.get_mut(*place) {
                *text = word(text, &self.program, true, &mut self.words_of_rows, symbols);
            }
        }
    }
}

/// A text as it may be a label, `_other` where it may not.
pub(super) fn word(
    text: &str,
    program: &Program,
    learns: bool,
    words: &mut Names,
    symbols: &mut Symbols,
) -> Box<str> {
    let word = text.to_ascii_lowercase();
    if program.words.contains(&word) {
        return word.into();
    }
    if !looks_like_a_word(&word) {
        return OTHER.into();
    }
    let symbol = if learns {
        words.learn(&word, symbols)
    } else {
        words.get(&word).unwrap_or(Symbol::OTHER)
    };
    match symbol {
        Symbol::OTHER => OTHER.into(),
        _ => word.into(),
    }
}

/// A letter, then letters, digits and `_-.`: no address, no number, no phrase.
pub(super) fn looks_like_a_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && is_closed(text)
}

/// Letters, digits and `_-.`.
pub(super) fn is_closed(text: &str) -> bool {
    let is_closed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.bytes().all(is_closed)
}
