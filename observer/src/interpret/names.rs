//! Label values of one kind that traffic chooses, in a bounded number.
#![forbid(unsafe_code)]

use hashbrown::HashMap;

use crate::export::{Symbol, Symbols};

/// The values learnt so far; past the bound every new one is [`Symbol::OTHER`].
#[derive(Debug)]
pub struct Names {
    known: HashMap<Box<str>, Symbol, foldhash::fast::RandomState>,
    limit: usize,
}

impl Names {
    /// Room for `limit` values.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            known: HashMap::default(),
            limit,
        }
    }

    /// The symbol of a value, if it was learnt.
    #[must_use]
    pub fn get(&self, value: &str) -> Option<Symbol> {
        self.known.get(value).copied()
    }

    /// The symbol of a value, learnt if there is room.
    pub fn learn(&mut self, value: &str, symbols: &mut Symbols) -> Symbol {
        if let Some(symbol) = self.get(value) {
            return symbol;
        }
        if self.known.len() >= self.limit {
            return Symbol::OTHER;
        }
        let symbol = symbols.intern(value);
        self.known.insert(value.into(), symbol);
        symbol
    }
}
