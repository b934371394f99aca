//! Label values, each stored once and named by four bytes.
#![forbid(unsafe_code)]

use std::sync::Arc;

use hashbrown::HashMap;

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
}

/// The table of label values, bounded: past the bound every new value is [`Symbol::OTHER`].
#[derive(Debug)]
pub struct Symbols {
    values: Vec<Arc<str>>,
    index: HashMap<Arc<str>, Symbol, foldhash::fast::RandomState>,
    limit: usize,
    refused: u64,
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
        if self.values.len() >= self.limit {
            self.refused += 1;
            return Symbol::OTHER;
        }
        let Ok(number) = u32::try_from(self.values.len()) else {
            return Symbol::OTHER;
        };
        let value: Arc<str> = value.into();
        self.values.push(Arc::clone(&value));
        self.index.insert(value, Symbol(number));
        Symbol(number)
    }

    /// The value of a symbol.
    #[must_use]
    pub fn value(&self, symbol: Symbol) -> &str {
        self.values
            .get(symbol.0 as usize)
            .map_or("_other", |value| value)
    }

    /// How often a value was refused for the bound.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}
