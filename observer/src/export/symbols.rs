//! Label values, each stored once and named by four bytes.
#![forbid(unsafe_code)]

use std::sync::Arc;

use hashbrown::HashMap;

/// Bytes a label value may have; a longer one is [`Symbol::OTHER`].
pub const VALUE_LIMIT: usize = 256;

/// A label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(u32);

impl Symbol {
    /// The empty value: the label does not apply.
    pub const EMPTY: Self = Self(0);
    /// `_other`: over a budget, or folded.
    pub const OTHER: Self = Self(1);
    /// `unknown`: it applies and was not seen.
    pub const UNKNOWN: Self = Self(2);

    /// Its number, for keys that pack several symbols.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The symbol of a [`Self::number`].
    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// The table of label values, bounded: past the bound every new value, and always every value
/// longer than [`VALUE_LIMIT`], is [`Symbol::OTHER`].
#[derive(Debug)]
pub struct Symbols {
    values: Vec<Arc<str>>,
    index: HashMap<Arc<str>, Symbol, foldhash::fast::RandomState>,
    limit: usize,
    refused: u64,
    /// Places without a value.
    free: Vec<Symbol>,
    /// Places that series may still name.
    returned: Vec<Symbol>,
}

impl Symbols {
    /// A table of at most `limit` values.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let mut symbols = Self {
            values: Vec::new(),
            index: HashMap::default(),
            limit: limit.max(3),
            refused: 0,
            free: Vec::new(),
            returned: Vec::new(),
        };
        for value in ["", "_other", "unknown"] {
            symbols.intern(value);
        }
        symbols
    }

    /// The symbol of a value.
    pub fn intern(&mut self, value: &str) -> Symbol {
        if let Some(symbol) = self.index.get(value) {
            return *symbol;
        }
        let value: Arc<str> = value.into();
        let Some(symbol) = self.place(Arc::clone(&value)) else {
            return self.refuse();
        };
        self.index.insert(value, symbol);
        symbol
    }

    /// A symbol that is the borrower's alone, also where another one has the same value, until it is
    /// given back. For values that come and go; `None` where there is no room.
    pub fn lend(&mut self, value: &str) -> Option<Symbol> {
        let symbol = if self.value(Symbol::OTHER) == value {
            None
        } else {
            self.place(value.into())
        };
        if symbol.is_none() {
            self.refuse();
        }
        symbol
    }

    /// Takes back what was lent. Facts that name it may be on their way until [`Self::recorded`].
    pub fn take_back(&mut self, symbol: Symbol) {
        self.returned.push(symbol);
    }

    /// Every fact so far is in its series: what was given back can be another value.
    pub fn recorded(&mut self) {
        self.free.append(&mut self.returned);
    }

    fn place(&mut self, value: Arc<str>) -> Option<Symbol> {
        if value.len() > VALUE_LIMIT {
            return None;
        }
        if let Some(symbol) = self.free.pop() {
            *self.values.get_mut(symbol.0 as usize)? = value;
            return Some(symbol);
        }
        if self.values.len() >= self.limit {
            return None;
        }
        let number = u32::try_from(self.values.len()).ok()?;
        self.values.push(value);
        Some(Symbol(number))
    }

    /// The symbol of a value that is stored.
    #[must_use]
    pub fn find(&self, value: &str) -> Option<Symbol> {
        self.index.get(value).copied()
    }

    /// A value that a bound of its own kind leaves no room for.
    pub fn refuse(&mut self) -> Symbol {
        self.refused += 1;
        Symbol::OTHER
    }

    /// The value of a symbol.
    #[must_use]
    pub fn value(&self, symbol: Symbol) -> &str {
        self.values
            .get(symbol.0 as usize)
            .map_or("_other", |value| value)
    }

    /// How many values are stored.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.values.len() - self.free.len() - self.returned.len()
    }

    /// How often a value was refused for a bound.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_symbol() {
        let mut symbols = Symbols::new(10);
        let get = symbols.intern("GET");
        assert_eq!(symbols.intern("GET"), get);
        assert_eq!(symbols.value(get), "GET");
        assert_eq!(symbols.find("GET"), Some(get));
        assert_eq!(symbols.find("PUT"), None, "asking stores nothing");
        assert_eq!(symbols.value(Symbol::EMPTY), "");
        assert_eq!(symbols.intern("_other"), Symbol::OTHER);
        assert_eq!(symbols.intern("unknown"), Symbol::UNKNOWN);
    }

    #[test]
    fn past_a_bound_a_new_value_is_other_and_counted() {
        let mut symbols = Symbols::new(4);
        let known = symbols.intern("known");
        assert_eq!(symbols.intern("one too many"), Symbol::OTHER);
        assert_eq!(symbols.intern("known"), known);
        assert_eq!(symbols.refused(), 1);

        let mut symbols = Symbols::new(10);
        assert_eq!(symbols.intern(&"x".repeat(VALUE_LIMIT + 1)), Symbol::OTHER);
        assert_ne!(symbols.intern(&"x".repeat(VALUE_LIMIT)), Symbol::OTHER);
        assert_eq!(symbols.refused(), 1);
    }

    #[test]
    fn what_is_lent_is_the_borrowers_alone_and_its_place_is_used_again() {
        let mut symbols = Symbols::new(5);
        let interned = symbols.intern("7");
        let lent = symbols.lend("7").unwrap();
        assert_ne!(lent, interned);
        assert_eq!(symbols.value(lent), "7");
        assert_eq!(symbols.lend("8"), None, "there is no room");
        symbols.take_back(lent);
        assert_eq!(symbols.lend("8"), None, "a fact may still name it");
        symbols.recorded();
        assert_eq!(symbols.stored(), 4);
        assert_eq!(symbols.lend("8"), Some(lent));
        assert_eq!(symbols.value(lent), "8");
        assert_eq!(symbols.find("8"), None, "nobody else gets it");
        assert_eq!(symbols.refused(), 2);
    }

    #[test]
    fn what_is_summed_up_is_nobodys_own_value() {
        assert_eq!(Symbols::new(10).lend("_other"), None);
    }
}
