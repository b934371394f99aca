//! Which parameters of a statement name a shop.
#![forbid(unsafe_code)]

use super::super::lexer::Token;
use super::{Columns, Facts};

/// Finds `column = $n`, and `$n` at a column's place in the first row of an INSERT.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// The column that the last token named, or the one before `=`.
    column: Option<(Column, bool)>,
    insert: Insert,
    /// Commas so far in the list or row.
    commas: u32,
    shop_at: Option<u32>,
    subdomain_at: Option<u32>,
    /// A parameter that is so far all of the row's item.
    item: Option<u16>,
    /// The last token was a colon: what follows is a type.
    cast: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Shop,
    Subdomain,
}

/// How far an INSERT is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Insert {
    /// Not at all, or to the end of what tells something.
    #[default]
    No,
    /// Up to the list of its columns.
    Into,
    /// Within the list.
    Columns,
    /// Behind it.
    Listed,
    /// Within the first row.
    Row,
}

impl Parameters {
    /// `depth` is that of parentheses around the token, which a parenthesis itself is outside of.
    pub(super) fn token(
        &mut self,
        token: Token<'_>,
        depth: u32,
        columns: Columns<'_>,
        facts: &mut Facts,
    ) {
        let cast = std::mem::replace(&mut self.cast, token == Token::Mark(':'));
        let column = self.column.take();
        match token {
            Token::Word(name) | Token::Quoted(name) => self.word(name, cast, depth, columns),
            Token::Operator("=") => {
                self.column = column.map(|(column, _)| (column, true));
                self.item = None;
            }
            Token::Parameter(number) => {
                match column {
                    Some((Column::Shop, true)) => facts.shop = facts.shop.or(number),
                    Some((Column::Subdomain, true)) => {
                        facts.subdomain = facts.subdomain.or(number);
                    }
                    _ => {}
                }
                self.item = number.filter(|_| depth == 1);
            }
            Token::Mark('(') => self.enter(depth),
            Token::Mark(',') if depth == 1 => self.item_ends(facts),
            Token::Mark(')') if depth == 0 => {
                self.item_ends(facts);
                self.insert = match self.insert {
                    Insert::Columns => Insert::Listed,
                    Insert::Row => Insert::No,
                    other => other,
                };
            }
            Token::Mark(':') => {}
            _ => self.item = None,
        }
    }

    fn word(&mut self, name: &str, cast: bool, depth: u32, columns: Columns<'_>) {
        if !cast {
            self.item = None;
        }
        let column = columns.find(name);
        self.column = column.map(|column| (column, false));
        match self.insert {
            Insert::Columns if depth == 1 => match column {
                Some(Column::Shop) => self.shop_at = Some(self.commas),
                Some(Column::Subdomain) => self.subdomain_at = Some(self.commas),
                None => {}
            },
            // Without a list of columns, or with something else than a row: it does not tell.
            Insert::Into if name.eq_ignore_ascii_case("values") => self.insert = Insert::No,
            Insert::Listed if !name.eq_ignore_ascii_case("values") => self.insert = Insert::No,
            Insert::No if depth == 0 && name.eq_ignore_ascii_case("insert") => {
                self.insert = Insert::Into;
            }
            _ => {}
        }
    }

    fn enter(&mut self, depth: u32) {
        self.item = None;
        if depth == 0 {
            self.commas = 0;
            self.insert = match self.insert {
                Insert::Into => Insert::Columns,
                Insert::Listed => Insert::Row,
                other => other,
            };
        }
    }

    fn item_ends(&mut self, facts: &mut Facts) {
        if self.insert == Insert::Row {
            if self.shop_at == Some(self.commas) {
                facts.shop = facts.shop.or(self.item);
            }
            if self.subdomain_at == Some(self.commas) {
                facts.subdomain = facts.subdomain.or(self.item);
            }
        }
        self.item = None;
        self.commas = self.commas.saturating_add(1);
    }
}

impl Columns<'_> {
    fn find(&self, name: &str) -> Option<Column> {
        let is = |list: &[String]| list.iter().any(|column| column.eq_ignore_ascii_case(name));
        if is(self.shop) {
            Some(Column::Shop)
        } else if is(self.subdomain) {
            Some(Column::Subdomain)
        } else {
            None
        }
    }
}
