//! What a statement's text tells without running it: its name, what it does to which table, and
//! which of its parameters name a shop.
#![forbid(unsafe_code)]

use smallvec::SmallVec;

use super::lexer::{Lexer, Token};

/// Statements of one text that are told apart; the rest of a longer one is left aside.
pub const STATEMENT_LIMIT: usize = 64;
/// Bytes of a table's name in a label.
const TABLE_LIMIT: usize = 63;

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
        .find_map(|comment| {
            let mut words = comment
                .trim()
                .strip_prefix("name:")?
                .split_ascii_whitespace();
            let name = words.next()?;
            words.next()?.strip_prefix(':')?;
            is_name(name).then_some(name)
        })
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
    let mut statement = Reader::default();
    for token in Lexer::new(text) {
        if token == Token::Mark(';') {
            if facts.statements.len() < STATEMENT_LIMIT {
                facts
                    .statements
                    .extend(std::mem::take(&mut statement).finish());
            }
            statement = Reader::default();
        } else {
            statement.token(token, columns, &mut facts);
        }
    }
    if facts.statements.len() < STATEMENT_LIMIT {
        facts.statements.extend(statement.finish());
    }
    facts
}

/// What the next word may be to the statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    /// The main table's name.
    Table,
    /// Its continuation behind a dot.
    Part,
}

/// Which column a word named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Shop,
    Subdomain,
}

/// Where an INSERT's columns stand in its list, and how far its first row is read.
#[derive(Clone, Copy, Debug, Default)]
enum Insert {
    #[default]
    No,
    /// Before the list.
    Into,
    /// In the list.
    Columns,
    /// Behind it.
    Listed,
    /// In the first row.
    Row,
    Done,
}

#[derive(Debug, Default)]
struct Reader {
    normal: String,
    verb: Option<(&'static str, bool)>,
    verb_depth: u32,
    started: bool,
    with: bool,
    /// The main table is a subquery.
    derived: bool,
    /// The last token was a colon: what follows is a type.
    cast: bool,
    depth: u32,
    expect: Expect,
    table: String,
    /// The last column named, and whether `=` followed it.
    column: Option<(Column, bool)>,
    insert: Insert,
    commas: u32,
    shop_at: Option<u32>,
    subdomain_at: Option<u32>,
    /// A parameter that is so far the whole item of a row.
    item: Option<u16>,
}

impl Reader {
    fn token(&mut self, token: Token<'_>, columns: Columns<'_>, facts: &mut Facts) {
        if matches!(token, Token::Comment(_)) {
            return;
        }
        self.normalise(token);
        self.parameters(token, columns, facts);
        match token {
            Token::Mark('(') => self.depth = self.depth.saturating_add(1),
            Token::Mark(')') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.structure(token);
        self.started = true;
    }

    /// Finds the verb and the main table.
    fn structure(&mut self, token: Token<'_>) {
        let word = match token {
            Token::Word(word) => word,
            Token::Quoted(name) => {
                self.table_part(name, true);
                return;
            }
            Token::Mark('.') if self.expect == Expect::Part => {
                self.expect = Expect::Table;
                self.table.push('.');
                return;
            }
            // `FROM (SELECT … FROM t)`: the next FROM, at any depth, names the table.
            Token::Mark('(') if self.expect == Expect::Table => {
                self.expect = Expect::Nothing;
                self.derived = true;
                return;
            }
            _ => {
                self.expect = Expect::Nothing;
                return;
            }
        };
        let Some((operation, _)) = self.verb else {
            self.begin(word);
            return;
        };
        if self.expect == Expect::Table {
            if !["only", "lateral", "table"]
                .iter()
                .any(|skip| word.eq_ignore_ascii_case(skip))
            {
                self.table_part(word, false);
            }
            return;
        }
        self.expect = Expect::Nothing;
        if !self.table.is_empty() {
            return;
        }
        let introduces = match operation {
            // The FROM of EXTRACT and SUBSTRING stands deeper than the statement's own.
            "SELECT" | "DELETE" => {
                word.eq_ignore_ascii_case("from") && (self.derived || self.depth == self.verb_depth)
            }
            "INSERT" | "MERGE" => word.eq_ignore_ascii_case("into"),
            _ => false,
        };
        if introduces {
            self.expect = Expect::Table;
        }
    }

    /// The first word, or behind the common tables of WITH the first verb outside parentheses.
    fn begin(&mut self, word: &str) {
        if self.with && self.depth > 0 {
            return;
        }
        let mut lower = [0_u8; 16];
        let lower = match lower.get_mut(..word.len()) {
            Some(lower) => {
                lower.copy_from_slice(word.as_bytes());
                lower.make_ascii_lowercase();
                &*lower
            }
            None => &[],
        };
        if lower == b"with" && !self.with {
            self.with = true;
            return;
        }
        let found = VERBS
            .binary_search_by(|(verb, _, _)| verb.as_bytes().cmp(lower))
            .ok()
            .and_then(|at| VERBS.get(at));
        match found {
            Some((verb, operation, fingerprint)) => {
                self.verb = Some((operation, *fingerprint));
                self.verb_depth = self.depth;
                if matches!(*verb, "update" | "copy" | "call" | "table") {
                    self.expect = Expect::Table;
                }
                if *verb == "insert" {
                    self.insert = Insert::Into;
                }
            }
            None if self.with => {}
            None => self.verb = Some(("", false)),
        }
    }

    fn table_part(&mut self, name: &str, quoted: bool) {
        if self.expect != Expect::Table {
            return;
        }
        for letter in name.chars().take(TABLE_LIMIT) {
            // A quoted name may hold anything; a label may not.
            let keeps = letter.is_ascii_alphanumeric() || letter == '_';
            self.table.push(match letter {
                letter if keeps && quoted => letter,
                letter if keeps => letter.to_ascii_lowercase(),
                _ => '?',
            });
        }
        self.expect = Expect::Part;
    }

    /// Finds `column = $n`, and `$n` at a column's place in an INSERT's first row.
    fn parameters(&mut self, token: Token<'_>, columns: Columns<'_>, facts: &mut Facts) {
        match token {
            Token::Word(name) | Token::Quoted(name) => {
                if !std::mem::take(&mut self.cast) {
                    self.item = None;
                }
                let column = column(name, columns);
                self.column = column.map(|column| (column, false));
                match self.insert {
                    Insert::Columns if self.depth == 1 => match column {
                        Some(Column::Shop) => self.shop_at = Some(self.commas),
                        Some(Column::Subdomain) => self.subdomain_at = Some(self.commas),
                        None => {}
                    },
                    Insert::Into if name.eq_ignore_ascii_case("values") => {
                        self.insert = Insert::Done;
                    }
                    Insert::Listed if !name.eq_ignore_ascii_case("values") => {
                        self.insert = Insert::Done;
                    }
                    _ => {}
                }
                return;
            }
            Token::Operator("=") => {
                if let Some((_, equals)) = &mut self.column {
                    *equals = true;
                }
                self.item = None;
                return;
            }
            Token::Parameter(number) => {
                match self.column {
                    Some((Column::Shop, true)) => facts.shop = facts.shop.or(number),
                    Some((Column::Subdomain, true)) => {
                        facts.subdomain = facts.subdomain.or(number);
                    }
                    _ => {}
                }
                self.item = number.filter(|_| self.depth == 1);
            }
            Token::Operator(_) => self.item = None,
            Token::Mark('(') => self.enter(),
            Token::Mark(')' | ',') if self.depth == 1 => self.item_ends(token, facts),
            _ => {}
        }
        self.cast = token == Token::Mark(':');
        self.column = None;
    }

    fn enter(&mut self) {
        self.item = None;
        if self.depth == 0 {
            self.commas = 0;
            self.insert = match self.insert {
                Insert::Into => Insert::Columns,
                Insert::Listed => Insert::Row,
                other => other,
            };
        }
    }

    fn item_ends(&mut self, token: Token<'_>, facts: &mut Facts) {
        if matches!(self.insert, Insert::Row) {
            if self.shop_at == Some(self.commas) {
                facts.shop = facts.shop.or(self.item);
            }
            if self.subdomain_at == Some(self.commas) {
                facts.subdomain = facts.subdomain.or(self.item);
            }
        }
        self.item = None;
        self.commas = self.commas.saturating_add(1);
        if token == Token::Mark(')') {
            self.insert = match self.insert {
                Insert::Columns => Insert::Listed,
                Insert::Row => Insert::Done,
                other => other,
            };
        }
    }

    /// Appends the token without its literal; lists of literals of any length become one.
    fn normalise(&mut self, token: Token<'_>) {
        match token {
            Token::Word(word) => {
                self.space();
                self.normal
                    .extend(word.chars().map(|letter| letter.to_ascii_lowercase()));
            }
            Token::Quoted(name) => {
                self.space();
                self.normal.push_str(name);
            }
            Token::String | Token::Number | Token::Parameter(_) => {
                self.normal.push('?');
                if self.normal.ends_with("?,?") {
                    self.normal.truncate(self.normal.len() - 2);
                }
            }
            Token::Operator(operator) => self.normal.push_str(operator),
            Token::Mark(mark) => {
                self.normal.push(mark);
                if self.normal.ends_with("(?),(?)") {
                    self.normal.truncate(self.normal.len() - 4);
                }
            }
            Token::Comment(_) => {}
        }
    }

    fn space(&mut self) {
        if self
            .normal
            .ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '?' | ')'))
        {
            self.normal.push(' ');
        }
    }

    fn finish(self) -> Option<Statement> {
        if !self.started {
            return None;
        }
        let (operation, fingerprint) = self.verb.unwrap_or_default();
        let table = self.table.trim_matches('.');
        Some(Statement {
            operation,
            plain: !fingerprint,
            table: table.strip_prefix("public.").unwrap_or(table).to_owned(),
            fingerprint: hash(&self.normal),
        })
    }
}

fn column(name: &str, columns: Columns<'_>) -> Option<Column> {
    let is = |list: &[String]| list.iter().any(|column| column.eq_ignore_ascii_case(name));
    if is(columns.shop) {
        Some(Column::Shop)
    } else if is(columns.subdomain) {
        Some(Column::Subdomain)
    } else {
        None
    }
}

/// FNV-1a, folded: the same on every node and in every version, which labels must be.
fn hash(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u32::try_from((hash >> 32) ^ (hash & 0xffff_ffff)).unwrap_or(0)
}

/// Any text: reading ends, and what would become a label holds nothing but names.
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
