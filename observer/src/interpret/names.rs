//! Label values of one kind that traffic chooses, in a bounded number.
#![forbid(unsafe_code)]

use hashbrown::HashMap;

use crate::export::{Symbol, Symbols};

/// The values learnt so far; past the bound every new one is [`Symbol::OTHER`], and counted.
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
            return symbols.refuse();
        }
        let symbol = symbols.intern(value);
        self.known.insert(value.into(), symbol);
        symbol
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::export::{Symbol, Symbols};

    #[test]
    fn past_the_bound_a_new_value_is_other_and_counted() {
        let (mut names, mut symbols) = (Names::new(1), Symbols::new(100));
        let known = names.learn("known", &mut symbols);
        assert_eq!(names.learn("one too many", &mut symbols), Symbol::OTHER);
        assert_eq!(names.learn("known", &mut symbols), known);
        assert_eq!((symbols.refused(), names.get("one too many")), (1, None));
    }
}
