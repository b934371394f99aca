//! What a statement's text tells without running it: its name, what it does to which table, and
//! which of its parameters name a shop.
#![forbid(unsafe_code)]

use smallvec::SmallVec;

use super::lexer::{Lexer, Token};

mod normal;
mod parameters;
mod structure;

/// Statements of one text that are told apart; the rest of a longer one is left aside.
pub const STATEMENT_LIMIT: usize = 64;

/// Keywords a statement may begin with: the operation, and whether statements that share it are
/// told apart by a fingerprint.
const VERBS: &[(&str, &str, bool)] = &[
    ("abort", "ROLLBACK", false),
    ("alter", "ALTER", false),
    ("analyze", "ANALYZE", false),
    ("begin", "BEGIN", false),
    ("call", "CALL", true),
    ("checkpoint", "CHECKPOINT", false),
    ("close", "CLOSE CURSOR", false),
    ("cluster", "CLUSTER", false),
    ("comment", "COMMENT", false),
    ("commit", "COMMIT", false),
    ("copy", "COPY", true),
    ("create", "CREATE", false),
    ("deallocate", "DEALLOCATE", false),
    ("declare", "DECLARE CURSOR", false),
    ("delete", "DELETE", true),
    ("discard", "DISCARD", false),
    ("do", "DO", false),
    ("drop", "DROP", false),
    ("end", "COMMIT", false),
    ("execute", "EXECUTE", false),
    ("explain", "EXPLAIN", false),
    ("fetch", "FETCH", false),
    ("grant", "GRANT", false),
    ("import", "IMPORT FOREIGN SCHEMA", false),
    ("insert", "INSERT", true),
    ("listen", "LISTEN", false),
    ("load", "LOAD", false),
    ("lock", "LOCK TABLE", false),
    ("merge", "MERGE", true),
    ("move", "MOVE", false),
    ("notify", "NOTIFY", false),
    ("prepare", "PREPARE", false),
    ("reassign", "REASSIGN OWNED", false),
    ("refresh", "REFRESH MATERIALIZED VIEW", false),
    ("reindex", "REINDEX", false),
    ("release", "RELEASE", false),
    ("reset", "RESET", false),
    ("revoke", "REVOKE", false),
    ("rollback", "ROLLBACK", false),
    ("savepoint", "SAVEPOINT", false),
    ("security", "SECURITY LABEL", false),
    ("select", "SELECT", true),
    ("set", "SET", false),
    ("show", "SHOW", false),
    ("start", "START TRANSACTION", false),
    ("table", "SELECT", true),
    ("truncate", "TRUNCATE TABLE", false),
    ("unlisten", "UNLISTEN", false),
    ("update", "UPDATE", true),
    ("vacuum", "VACUUM", false),
    ("values", "SELECT", true),
];

/// Whether an operation is one that a statement's text can have.
#[must_use]
pub fn is_operation(name: &str) -> bool {
    VERBS.iter().any(|(_, operation, _)| *operation == name)
}

/// Every operation a statement's text can have.
pub fn operations() -> impl Iterator<Item = &'static str> {
    VERBS.iter().map(|(_, operation, _)| *operation)
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// In upper case; empty for what begins with no keyword of PostgreSQL's.
    pub operation: &'static str,
    /// Whether the operation alone is its name.
    pub plain: bool,
    /// The main table or function, lower case; empty where there is none.
    pub table: String,
    /// Hash of the text without literals, comments and layout.
    pub fingerprint: u32,
}

/// What a text tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its statements in order, at most [`STATEMENT_LIMIT`].
    pub statements: SmallVec<[Statement; 1]>,
    /// The first parameter compared with or stored into a column that names a shop.
    pub shop: Option<u16>,
    /// Likewise for a column that holds a shop's subdomain.
    pub subdomain: Option<u16>,
}

/// The columns a reader looks for.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// Names of columns that hold a shop's id.
    pub shop: &'a [String],
    /// Names of columns that hold a shop's subdomain.
    pub subdomain: &'a [String],
}

/// The name in a comment `-- name: X :kind` (sqlc) before the statement begins.
#[must_use]
pub fn name(text: &str) -> Option<&str> {
    Lexer::new(text)
        .map_while(|token| match token {
            Token::Comment(comment) => Some(comment),
            _ => None,
        })
        .find_map(named)
}

/// The name in one comment.
#[must_use]
pub fn named(comment: &str) -> Option<&str> {
    let mut words = comment
        .trim()
        .strip_prefix("name:")?
        .split_ascii_whitespace();
    let name = words.next()?;
    words.next()?.strip_prefix(':')?;
    is_name(name).then_some(name)
}

/// Whether a query name may be a label: sqlc makes Go identifiers of them.
#[must_use]
pub fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Reads a text.
#[must_use]
pub fn read(text: &str, columns: Columns<'_>) -> Facts {
    let mut facts = Facts::default();
    let mut reader = Reader::default();
    for token in Lexer::new(text) {
        match token {
            Token::Comment(_) => {}
            Token::Mark(';') => std::mem::take(&mut reader).finish(&mut facts),
            _ => reader.token(token, columns, &mut facts),
        }
    }
    reader.finish(&mut facts);
    facts
}

/// Reads one statement: three readers side by side, each after one thing.
#[derive(Debug, Default)]
struct Reader {
    begun: bool,
    /// Parentheses open.
    depth: u32,
    structure: structure::Structure,
    parameters: parameters::Parameters,
    normal: normal::Normal,
}

impl Reader {
    fn token(&mut self, token: Token<'_>, columns: Columns<'_>, facts: &mut Facts) {
        self.begun = true;
        if token == Token::Mark(')') {
            self.depth = self.depth.saturating_sub(1);
        }
        self.normal.token(token);
        self.parameters.token(token, self.depth, columns, facts);
        self.structure.token(token, self.depth);
        if token == Token::Mark('(') {
            self.depth = self.depth.saturating_add(1);
        }
    }

    fn finish(self, facts: &mut Facts) {
        if self.begun && facts.statements.len() < STATEMENT_LIMIT {
            let (operation, plain, table) = self.structure.finish();
            facts.statements.push(Statement {
                operation,
                plain,
                table,
                fingerprint: self.normal.finish(),
            });
        }
    }
}

/// Any text: reading ends, and what would become a label holds nothing but names.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (shop, subdomain) = (["shop_id".to_owned()], ["subdomain".to_owned()]);
    let facts = read(
        &text,
        Columns {
            shop: &shop,
            subdomain: &subdomain,
        },
    );
    assert!(facts.statements.len() <= STATEMENT_LIMIT);
    for statement in &facts.statements {
        assert!(statement.table.is_ascii());
    }
    if let Some(name) = name(&text) {
        assert!(is_name(name));
    }
}

#[cfg(test)]
mod tests;
