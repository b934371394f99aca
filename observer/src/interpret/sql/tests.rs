use std::sync::Arc;

use smallvec::SmallVec;

use super::super::plan::Plan;
use super::super::rules::Rules;
use super::Namer;
use crate::correlate::postgres::{Execution, Outcome, SqlState, Statement, Which};
use crate::export::Symbols;
use crate::time::Timestamp;

struct Bench {
    namer: Namer,
    symbols: Symbols,
    next: u64,
}

impl Bench {
    fn new(queries: usize) -> Self {
        let plan = Plan::new(&Rules::naytife().unwrap()).unwrap();
        Self {
            namer: Namer::new(plan, 16, queries),
            symbols: Symbols::new(1000),
            next: 0,
        }
    }

    fn name(&mut self, which: Which, tag: &str, outcome: Outcome) -> (String, String) {
        let execution = Execution {
            which,
            began: Timestamp(0),
            ended: Timestamp(1),
            waited: 0.0,
            seconds: 0.0,
            timed: true,
            outcome,
            tag: tag.into(),
            rows: None,
            wanted: None,
            control: None,
            parameters: SmallVec::new(),
            columns: Vec::new(),
        };
        let named = self.namer.name(&execution, &mut self.symbols);
        let value = |symbol| self.symbols.value(symbol).to_owned();
        (value(named.query), value(named.operation))
    }

    fn text(&mut self, text: &str, tag: &str, outcome: Outcome) -> (String, String) {
        self.next += 1;
        let statement = Statement {
            id: self.next,
            text: text.into(),
            cut: false,
        };
        self.name(Which::Known(Arc::new(statement)), tag, outcome)
    }
}

const SYNTAX: Outcome = Outcome::Failed(SqlState(*b"42601"));
const UNIQUE: Outcome = Outcome::Failed(SqlState(*b"23505"));

#[test]
fn an_execution_is_named_by_comment_or_fingerprint() {
    let mut bench = Bench::new(100);
    for (text, tag, outcome, query, operation) in [
        (
            "-- name: GetShop :one\nSELECT * FROM shops WHERE shop_id = $1",
            "SELECT",
            Outcome::Completed,
            "GetShop",
            "SELECT",
        ),
        ("begin", "BEGIN", Outcome::Completed, "BEGIN", "BEGIN"),
        (
            "commit",
            "ROLLBACK",
            Outcome::Completed,
            "COMMIT",
            "ROLLBACK",
        ),
        (
            "SET commerce.current_shop_id = 5",
            "SET",
            Outcome::Completed,
            "SET",
            "SET",
        ),
        (
            "CREATE TABLE t (a int)",
            "CREATE TABLE",
            Outcome::Completed,
            "CREATE",
            "CREATE TABLE",
        ),
        (
            "select abalance from pgbench_accounts where aid = 1",
            "SELECT",
            Outcome::Completed,
            "SELECT pgbench_accounts 13ebb265",
            "SELECT",
        ),
        (
            "INSERT INTO orders VALUES (1)",
            "",
            UNIQUE,
            "INSERT orders c69dce82",
            "INSERT",
        ),
        ("select * from john", "", SYNTAX, "_other", "SELECT"),
        ("john@example.com", "", SYNTAX, "_other", "unknown"),
        (
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "SELECT",
            Outcome::Completed,
            "SELECT x bbf58456",
            "SELECT",
        ),
    ] {
        assert_eq!(
            bench.text(text, tag, outcome),
            (query.into(), operation.into()),
            "{text}"
        );
    }
}

#[test]
fn in_a_text_of_several_statements_the_tag_says_which() {
    let mut bench = Bench::new(100);
    let text = "BEGIN; INSERT INTO a VALUES (1); SELECT 1 FROM b; SELECT 2 FROM c; COMMIT";
    assert_eq!(bench.text(text, "BEGIN", Outcome::Completed).0, "BEGIN");
    assert!(
        bench
            .text(text, "INSERT", Outcome::Completed)
            .0
            .starts_with("INSERT a ")
    );
    assert_eq!(
        bench.text(text, "SELECT", Outcome::Completed),
        ("unknown".into(), "SELECT".into())
    );
    assert_eq!(
        bench.text(text, "", UNIQUE),
        ("unknown".into(), "unknown".into())
    );
    assert!(
        bench
            .text(
                "SELECT 1 FROM b; SELECT 2 FROM b",
                "SELECT",
                Outcome::Completed
            )
            .0
            .starts_with("SELECT b ")
    );
}

#[test]
fn a_statement_without_text_is_named_by_its_pgx_name_or_once_its_text_is_seen() {
    let mut bench = Bench::new(100);
    let named = |name: &str| Which::Named(name.into());
    assert_eq!(
        bench.name(
            named("stmtcache_cf9216af7e7f7a05b65307575ed0a75881e22154efea3f4b"),
            "",
            UNIQUE
        ),
        ("CreateOrder".into(), "INSERT".into())
    );
    assert_eq!(
        bench.name(named("PGBOUNCER_1"), "SELECT", Outcome::Completed),
        ("unknown".into(), "SELECT".into())
    );
    assert_eq!(
        bench.name(Which::Unknown, "", UNIQUE),
        ("unknown".into(), "unknown".into())
    );
    assert_eq!(
        bench.name(Which::FunctionCall, "", Outcome::Completed),
        ("FUNCTION_CALL".into(), "FUNCTION_CALL".into())
    );

    // printf 'select $1' | sha256sum
    let name = "stmtcache_375fa1233f1f09a898484552d9b3f921b1a96a5aeeb550fd";
    assert_eq!(
        bench.name(named(name), "SELECT", Outcome::Completed).0,
        "unknown"
    );
    bench.text("select $1", "SELECT", Outcome::Completed);
    assert!(
        bench
            .name(named(name), "SELECT", Outcome::Completed)
            .0
            .starts_with("SELECT ")
    );
}

#[test]
fn names_and_operations_are_bounded() {
    let mut bench = Bench::new(2);
    let name = |bench: &mut Bench, n: u32| {
        bench
            .text(
                &format!("-- name: Q{n} :one\nSELECT"),
                "SELECT",
                Outcome::Completed,
            )
            .0
    };
    assert_eq!(name(&mut bench, 1), "Q1");
    assert_eq!(name(&mut bench, 2), "Q2");
    assert_eq!(name(&mut bench, 3), "_other");
    assert_eq!(name(&mut bench, 1), "Q1");
    assert_eq!(
        bench.text("SELECT", "jo@example.com", Outcome::Completed).1,
        "_other"
    );
}
