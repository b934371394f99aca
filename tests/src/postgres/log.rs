//! PostgreSQL's statement log: what the server itself says it executed.

use std::collections::BTreeMap;

use super::text::statements;

/// `log_line_prefix`: process, database, application, SQLSTATE.
pub(crate) const PREFIX: &str = "%p|%d|%a|%e|";

/// What an entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Query message, which may hold several statements.
    Query,
    /// An Execute message.
    Execute,
    /// A further Execute of the same portal.
    Fetch,
    /// A FunctionCall message.
    FunctionCall,
    /// An error the client was told.
    Error,
    /// The text behind the error before.
    Statement,
    /// Anything else.
    Other,
}

/// One entry; its text may have several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The server's process: one per connection.
    pub process: u32,
    /// The connection's database.
    pub database: String,
    /// The connection's `application_name`; empty if it gave none.
    pub application: String,
    /// The entry's SQLSTATE.
    pub sqlstate: String,
    /// What it tells.
    pub kind: Kind,
    /// The statement, the function or the error.
    pub text: String,
}

/// The entries, in order.
#[derive(Clone, Debug, Default)]
pub struct StatementLog {
    /// All of them.
    pub entries: Vec<Entry>,
}

impl StatementLog {
    /// Reads the log; lines that are no entries belong to the entry before.
    pub fn parse(text: &str) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for line in text.lines() {
            // The server indents every further line of an entry.
            if let Some(more) = line.strip_prefix('\t') {
                if let Some(entry) = entries.last_mut() {
                    entry.text.push('\n');
                    entry.text.push_str(more);
                }
            } else {
                entries.extend(entry(line));
            }
        }
        Self { entries }
    }

    /// The entries of one database.
    #[must_use]
    pub fn of(mut self, database: &str) -> Self {
        self.entries.retain(|entry| entry.database == database);
        self
    }

    /// The entries of one application.
    #[must_use]
    pub fn by(mut self, application: &str) -> Self {
        self.entries
            .retain(|entry| entry.application == application);
        self
    }

    /// How many statements the server began to run. A Query that fails at its second or a later
    /// statement counts in full: the log does not say how far it came.
    pub fn executions(&self) -> usize {
        let mut count = 0;
        let mut unknown: Option<&Entry> = None;
        for entry in &self.entries {
            count += entry.executions();
            // A simple query with a syntax error is logged only as its error.
            if entry.kind == Kind::Error && entry.sqlstate == "42601" {
                unknown = Some(entry);
            }
            if entry.kind == Kind::Statement
                && unknown
                    .take()
                    .is_some_and(|error| error.process == entry.process)
            {
                count += 1;
            }
        }
        count
    }

    /// Executions by the name in a statement's `-- name: X :kind`.
    pub fn by_name(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            if let Some(name) = name(&entry.text).filter(|_| entry.executions() > 0) {
                *counts.entry(name).or_default() += 1;
            }
        }
        counts
    }

    /// How many errors with this SQLSTATE the clients were told.
    pub fn errors(&self, sqlstate: &str) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.kind == Kind::Error && entry.sqlstate == sqlstate)
            .count()
    }
}

impl Entry {
    fn executions(&self) -> usize {
        match self.kind {
            Kind::Query => statements(&self.text),
            Kind::Execute => usize::from(statements(&self.text) > 0),
            Kind::FunctionCall => 1,
            Kind::Fetch | Kind::Error | Kind::Statement | Kind::Other => 0,
        }
    }
}

/// The name in a statement's `-- name: X :kind`.
pub fn name(text: &str) -> Option<&str> {
    text.strip_prefix("-- name: ")?.split_whitespace().next()
}

fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.splitn(5, '|');
    let mut field = || fields.next();
    let (process, database, application, sqlstate) = (field()?, field()?, field()?, field()?);
    let (severity, message) = field()?.split_once(":  ")?;
    let (kind, text) = match severity {
        "LOG" => logged(message),
        "ERROR" | "FATAL" | "PANIC" => (Kind::Error, message),
        "STATEMENT" => (Kind::Statement, message),
        _ => (Kind::Other, message),
    };
    Some(Entry {
        process: process.parse().ok()?,
        database: database.into(),
        // What the server writes for a client that gave none.
        application: application.replace("[unknown]", ""),
        sqlstate: sqlstate.into(),
        kind,
        text: text.into(),
    })
}

/// ```text
/// statement: SELECT 1
/// execute s1: SELECT $1          execute <unnamed>/portal: SELECT $1
/// execute fetch from s1: SELECT $1
/// fastpath function call: "int4abs" (OID 1397)
/// ```
fn logged(message: &str) -> (Kind, &str) {
    let after = |prefix| message.strip_prefix(prefix);
    let text = |rest: &'_ str| rest.find(": ").map_or(0, |at| at + 2);
    if let Some(rest) = after("statement: ") {
        (Kind::Query, rest)
    } else if let Some(rest) = after("execute fetch from ") {
        (Kind::Fetch, rest.get(text(rest)..).unwrap_or_default())
    } else if let Some(rest) = after("execute ") {
        (Kind::Execute, rest.get(text(rest)..).unwrap_or_default())
    } else if let Some(rest) = after("fastpath function call: ") {
        (Kind::FunctionCall, rest)
    } else {
        (Kind::Other, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_not_lines() {
        let log = StatementLog::parse(
            "7|shop|psql|00000|LOG:  statement: -- name: GetShop :one\n\tSELECT 1\n\tFROM shops\n\
             7|shop|psql|00000|LOG:  execute s1: -- name: GetOrder :one\n\tSELECT $1\n\
             7|shop|psql|00000|DETAIL:  parameters: $1 = '1'\n\
             7|shop|psql|00000|LOG:  execute fetch from s1/p: SELECT $1\n\
             7|shop|psql|00000|LOG:  fastpath function call: \"int4abs\" (OID 1397)\n\
             7|shop|psql|42601|ERROR:  syntax error at or near \"SELEC\" at character 1\n\
             7|shop|psql|42601|STATEMENT:  SELEC 1\n\
             8|postgres|[unknown]|00000|LOG:  statement: SELECT 1; SELECT 2\n\
             not an entry\n",
        );
        assert_eq!(log.executions(), 1 + 1 + 1 + 1 + 2);
        let shop = log.clone().of("shop");
        assert_eq!(shop.executions(), 4);
        assert_eq!(
            shop.by_name(),
            BTreeMap::from([("GetShop", 1), ("GetOrder", 1)])
        );
        assert_eq!(shop.errors("42601"), 1);
        assert_eq!(log.clone().by("").entries.len(), 1);
        assert_eq!(log.by("psql").entries.len(), shop.entries.len());
    }
}
