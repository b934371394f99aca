//! Committed statements and nothing else become facts, each once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use smallvec::SmallVec;

mod orphans;

use super::{Business, Context};
use super::{CANDIDATES, stage};
use crate::correlate::postgres::{
    Cell, Control, Execution, Outcome, SqlState, Statement, Transaction, Value, Which,
};
use crate::export::{Symbol, Symbols};
use crate::interpret::{Plan, Rules};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

mod reload;
mod shown;
mod stock;
mod together;
mod unread;
mod why;
mod words;

/// What one statement of a story says: its name, and its fields by column or parameter.
#[derive(Clone)]
struct Says<'a> {
    name: &'a str,
    tag: &'a str,
    /// Rows of columns by name; text, as the server would send it.
    rows: Vec<Vec<(&'a str, &'a str)>>,
    /// Parameters by number.
    parameters: Vec<(u16, &'a str)>,
}

/// What a story says where a value is NULL.
const NULL: &str = "\0";

struct Story {
    plan: Arc<Plan>,
    business: Business,
    symbols: Symbols,
    /// Sums by metric and labels.
    sums: BTreeMap<String, f64>,
    time: u64,
    /// When the statements that follow were asked for; 0 where that is not known.
    asked: u64,
}

impl Story {
    fn new() -> Self {
        Self::remembering(1000)
    }

    fn remembering(entities: u32) -> Self {
        let plan = Plan::new(&Rules::naytife().unwrap()).unwrap();
        Self {
            business: Business::new(Arc::clone(&plan.business), entities),
            plan,
            symbols: Symbols::new(10_000),
            sums: BTreeMap::new(),
            time: 1,
            asked: 0,
        }
    }

    fn with(&mut self, connection: u64, run: impl FnOnce(&mut Business, &mut Context<'_>)) {
        self.time += 1_000_000_000;
        let mut facts = Vec::new();
        run(
            &mut self.business,
            &mut Context {
                connection: ConnectionKey(connection),
                database: Symbol::UNKNOWN,
                time: Timestamp(self.time),
                symbols: &mut self.symbols,
                out: &mut |fact| facts.push(fact),
            },
        );
        for fact in facts {
            let mut series = fact.metric.row().name.to_owned();
            for label in &fact.labels {
                write!(series, " {}", self.symbols.value(*label)).unwrap();
            }
            *self.sums.entry(series.clone()).or_default() += fact.value;
            if fact.ends {
                self.sums.remove(&series);
            }
        }
    }

    fn runs(&mut self, connection: u64, says: &Says<'_>) {
        self.ends(connection, says, Outcome::Completed);
    }

    fn ends(&mut self, connection: u64, says: &Says<'_>, outcome: Outcome) {
        let text = format!("-- name: {} :one\nSELECT", says.name);
        let reads = self.plan.reads_of(
            &crate::interpret::sql::text::read(&text, self.plan.columns()),
            Some(says.name),
        );
        let value = |text: &str| Value {
            binary: false,
            oid: 25,
            bytes: (text != NULL).then(|| SmallVec::from_slice(text.as_bytes())),
        };
        let mut cells = Vec::new();
        for (row, columns) in (0..).zip(&says.rows) {
            for (name, text) in columns {
                let wanted = &reads.wanted.columns;
                let Some(column) = wanted.iter().position(|known| known == name) else {
                    panic!("{} does not read {name}", says.name)
                };
                cells.push(Cell {
                    row,
                    column: u16::try_from(column).unwrap(),
                    value: value(text),
                });
            }
        }
        let parameter = |number: &u16| {
            let mut given = says.parameters.iter();
            given
                .find(|(of, _)| of == number)
                .map(|(_, text)| value(text))
        };
        let rows = says.rows.len().max(usize::from(says.rows.is_empty()));
        let execution = Execution {
            which: Which::Known(Arc::new(Statement {
                id: 1,
                text,
                cut: false,
            })),
            began: Timestamp(self.asked),
            ended: Timestamp(self.time + 1),
            waited: 0.0,
            seconds: 0.0,
            timed: true,
            outcome,
            tag: says.tag.into(),
            rows: Some(rows as u64),
            control: Some(Control::Other),
            wanted: None,
            parameters: reads.wanted.parameters.iter().map(parameter).collect(),
            columns: cells,
        };
        self.with(connection, |business, context| {
            business.execution(&execution, &reads.business, context);
        });
    }

    /// A statement that steers the transaction; without a tag, its end was hidden.
    fn steers(&mut self, connection: u64, text: &str, tag: &str) {
        let execution = Execution {
            which: Which::Unknown,
            began: Timestamp(self.asked),
            ended: Timestamp(self.time + 1),
            waited: 0.0,
            seconds: 0.0,
            timed: true,
            outcome: if tag.is_empty() {
                Outcome::Unknown
            } else {
                Outcome::Completed
            },
            tag: tag.into(),
            rows: None,
            control: (!text.is_empty()).then(|| Control::of(text)),
            wanted: None,
            parameters: SmallVec::new(),
            columns: Vec::new(),
        };
        self.with(connection, |business, context| {
            business.execution(&execution, &[], context);
        });
    }

    fn transaction(&mut self, connection: u64, end: Transaction) {
        self.with(connection, |business, context| {
            business.transaction(end, context);
        });
    }

    fn commits(&mut self, connection: u64) {
        self.transaction(connection, Transaction::Commit);
    }

    /// Runs it in a transaction of its own.
    fn does(&mut self, says: &Says<'_>) {
        self.runs(1, says);
        self.commits(1);
    }

    /// The sums that are not zero of metrics that begin so.
    fn see(&self, prefix: &str) -> Vec<(&str, f64)> {
        let sums = self.sums.iter().filter(|(_, sum)| **sum != 0.0);
        sums.filter_map(|(series, sum)| Some((series.strip_prefix(prefix)?, *sum)))
            .collect()
    }
}

fn order<'a>(order: &'a str, status: &'a str, payment: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("shop_id", "7"),
        ("order_id", order),
        ("status", status),
        ("payment_status", payment),
        ("amount", "3997.00"),
        ("payment_method", "paystack"),
    ]
}

fn create(number: &str) -> Says<'_> {
    Says {
        name: "CreateOrder",
        tag: "INSERT",
        rows: vec![order(number, "pending", "pending")],
        parameters: Vec::new(),
    }
}

fn webhook<'a>(number: &'a str, status: &'a str, payment: &'a str) -> Says<'a> {
    Says {
        name: "UpdateOrderStatusByTransactionID",
        tag: "UPDATE",
        rows: vec![order(number, status, payment)],
        parameters: Vec::new(),
    }
}

fn rewrite<'a>(number: &'a str, status: &'a str, payment: &'a str) -> Says<'a> {
    Says {
        name: "UpdateOrder",
        tag: "UPDATE",
        rows: Vec::new(),
        parameters: vec![
            (1, status),
            (2, "3997.00"),
            (7, "paystack"),
            (8, payment),
            (16, number),
            (17, "7"),
        ],
    }
}

fn shop<'a>(name: &'a str, status: &'a str) -> Says<'a> {
    let tag = match name {
        "CreateShop" => "INSERT",
        "UpdateShop" => "UPDATE",
        _ => "SELECT",
    };
    Says {
        name,
        tag,
        rows: vec![vec![
            ("shop_id", "7"),
            ("status", status),
            ("currency_code", "NGN"),
        ]],
        parameters: Vec::new(),
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn restock(available: &str) -> Says<'_> {
    Says {
        name: "UpdateVariantStock",
        tag: "UPDATE",
        rows: vec![vec![
            ("shop_id", "7"),
            ("product_variation_id", "1"),
            ("product_id", "5"),
            ("available_quantity", available),
        ]],
        parameters: Vec::new(),
    }
}

const ORDERS: &str = "naytife_orders_total ";
const FACTS: &str = "observer_facts_total ";

#[test]
fn an_order_counts_when_its_transaction_commits_and_not_before() {
    let mut story = Story::new();
    story.runs(1, &create("1"));
    assert_eq!(story.see(ORDERS), []);
    story.commits(1);
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(
        story.see("naytife_orders_value_total "),
        [("7 unknown", 399_700.0)],
        "39.97 in ten-thousandths, in a currency that no row has named"
    );
}

#[test]
fn what_is_rolled_back_or_hidden_is_no_order() {
    let mut story = Story::new();
    for (number, end) in [
        ("1", Transaction::Rollback),
        ("2", Transaction::Failed),
        ("3", Transaction::Unknown),
    ] {
        story.runs(1, &create(number));
        story.transaction(1, end);
    }
    story.runs(2, &create("4"));
    story.with(2, Business::gone);
    story.ends(1, &create("5"), Outcome::Failed(SqlState(*b"23503")));
    story.ends(1, &create("6"), Outcome::Unknown);
    story.commits(1);
    assert_eq!(story.see("naytife"), []);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder rolled_back", 2.0),
            ("CreateOrder unknown", 3.0)
        ]
    );
}

#[test]
fn a_savepoint_takes_its_orders_back_and_leaves_the_others() {
    let mut story = Story::new();
    story.runs(1, &create("1"));
    story.steers(1, "SAVEPOINT a", "SAVEPOINT");
    story.runs(1, &create("2"));
    story.steers(1, "ROLLBACK TO a", "ROLLBACK");
    story.runs(1, &create("3"));
    story.steers(1, "RELEASE a", "RELEASE");
    story.commits(1);
    assert_eq!(story.see(ORDERS), [("7 pending", 2.0)]);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 2.0),
            ("CreateOrder rolled_back", 1.0)
        ]
    );
}

#[test]
fn a_rollback_of_unknown_text_leaves_nothing_sure() {
    let mut story = Story::new();
    story.runs(1, &create("1"));
    story.steers(1, "", "ROLLBACK");
    story.commits(1);
    assert_eq!(story.see(ORDERS), []);
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
}

#[test]
fn two_phases_end_on_any_connection() {
    let mut story = Story::new();
    for (number, id) in [("1", "a"), ("2", "b"), ("3", "c")] {
        story.runs(1, &create(number));
        let text = format!("PREPARE TRANSACTION '{id}'");
        story.steers(1, &text, "PREPARE TRANSACTION");
    }
    assert_eq!(story.see("naytife"), []);
    story.steers(2, "COMMIT PREPARED 'a'", "COMMIT PREPARED");
    story.steers(3, "ROLLBACK PREPARED 'b'", "ROLLBACK PREPARED");
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("CreateOrder rolled_back", 1.0)
        ]
    );
}

#[test]
fn what_was_seen_twice_is_counted_once() {
    let mut story = Story::new();
    for _ in 0..2 {
        story.does(&create("1"));
        story.does(&webhook("1", "processing", "paid"));
    }
    assert_eq!(
        story.see(ORDERS),
        [("7 pending", 1.0), ("7 processing", 1.0)]
    );
    assert_eq!(
        story.see("naytife_payments_total "),
        [("7 paystack paid", 1.0)]
    );
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("CreateOrder repeated", 1.0),
            ("UpdateOrderStatusByTransactionID published", 1.0),
            ("UpdateOrderStatusByTransactionID repeated", 1.0),
        ]
    );
}

#[test]
fn what_may_have_changed_is_not_known_any_more() {
    let mut story = Story::new();
    story.does(&create("1"));
    story.runs(1, &rewrite("1", "processing", "paid"));
    story.transaction(1, Transaction::Unknown);
    // Whether it was paid before is not known, so it moves no money; its status is the same.
    story.does(&rewrite("1", "pending", "paid"));
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0), ("7 unknown", 1.0)]);
    assert_eq!(story.see("naytife_revenue_total "), []);
    assert_eq!(
        story.see(FACTS),
        [("CreateOrder published", 1.0), ("UpdateOrder unknown", 2.0)]
    );
}

#[test]
fn transactions_that_are_open_hold_a_bounded_number_of_rows_together() {
    let mut story = Story::new();
    let whole = CANDIDATES / stage::LIMIT;
    for connection in 0..=whole as u64 {
        for _ in 0..stage::LIMIT {
            story.runs(connection, &create("1"));
        }
    }
    assert_eq!(
        story.see(FACTS),
        [("CreateOrder unknown", number(stage::LIMIT))]
    );
    for connection in 0..=whole as u64 {
        story.transaction(connection, Transaction::Rollback);
    }
    story.does(&create("2"));
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
}

#[test]
fn revenue_is_what_was_paid_and_a_refund_takes_nothing_away_from_it() {
    let mut story = Story::new();
    story.does(&shop("GetShop", "PUBLISHED"));
    story.does(&create("1"));
    story.does(&webhook("1", "processing", "paid"));
    story.does(&webhook("1", "processing", "partial_refund"));
    story.does(&webhook("1", "refunded", "refunded"));
    assert_eq!(story.see("naytife_revenue_total "), [("7 ngn", 399_700.0)]);
    assert_eq!(
        story.see("naytife_revenue_refunded_total "),
        [("7 ngn", 399_700.0)]
    );
    assert_eq!(
        story.see("naytife_payments_total 7 paystack "),
        [("paid", 1.0), ("partial_refund", 1.0), ("refunded", 1.0)]
    );
}

#[test]
fn a_row_that_is_rewritten_as_it_was_is_no_transition() {
    let mut story = Story::new();
    story.does(&create("1"));
    story.does(&rewrite("1", "pending", "pending"));
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    story.does(&rewrite("1", "completed", "pending"));
    story.does(&rewrite("1", "pending", "pending"));
    assert_eq!(
        story.see(ORDERS),
        [("7 completed", 1.0), ("7 pending", 2.0)]
    );
    assert_eq!(story.see("naytife_payments_total"), []);
}

#[test]
fn from_an_unknown_status_a_transition_is_unknown_and_moves_no_money() {
    let mut story = Story::new();
    story.does(&rewrite("1", "processing", "paid"));
    assert_eq!(story.see(ORDERS), [("7 unknown", 1.0)]);
    assert_eq!(
        story.see("naytife_payments_total "),
        [("7 paystack unknown", 1.0)]
    );
    assert_eq!(story.see("naytife_revenue"), []);
    assert_eq!(story.see(FACTS), [("UpdateOrder unknown", 1.0)]);
    // From here on it is known.
    story.does(&rewrite("1", "completed", "paid"));
    assert_eq!(
        story.see(ORDERS),
        [("7 completed", 1.0), ("7 unknown", 1.0)]
    );
}

#[test]
fn a_row_that_is_shown_teaches_what_is_unknown_and_overwrites_nothing() {
    let mut story = Story::new();
    let shown = |status| Says {
        name: "GetOrder",
        tag: "SELECT",
        rows: vec![order("1", status, "pending")],
        parameters: Vec::new(),
    };
    story.does(&shown("pending"));
    story.does(&rewrite("1", "processing", "paid"));
    // Read before the change, told after it.
    story.does(&shown("pending"));
    story.does(&rewrite("1", "processing", "paid"));
    assert_eq!(story.see(ORDERS), [("7 processing", 1.0)]);
    assert_eq!(
        story.see("naytife_revenue_total "),
        [("7 unknown", 399_700.0)]
    );
}

#[test]
fn rows_that_were_not_captured_are_unknown() {
    let mut story = Story::new();
    let mut says = create("1");
    says.rows[0].remove(1);
    story.does(&says);
    assert_eq!(story.see("naytife"), []);
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
}

#[test]
fn a_steering_statement_that_was_hidden_leaves_nothing_sure() {
    for (text, tag) in [
        ("", "ROLLBACK"),
        ("", "RELEASE"),
        ("", "SAVEPOINT"),
        ("", ""),
        ("ROLLBACK TO a", ""),
        ("ROLLBACK TO a", "SELECT"),
        ("RELEASE a", ""),
    ] {
        let mut story = Story::new();
        story.steers(1, "SAVEPOINT a", "SAVEPOINT");
        story.runs(1, &create("1"));
        story.steers(1, text, tag);
        story.commits(1);
        assert_eq!(story.see("naytife"), [], "{text} {tag}");
        assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
    }
}

#[test]
fn what_is_prepared_under_a_hidden_name_is_not_the_next_transactions() {
    let mut story = Story::new();
    story.runs(1, &create("1"));
    story.steers(1, "", "PREPARE TRANSACTION");
    story.runs(1, &create("2"));
    story.commits(1);
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(
        story.see(FACTS),
        [("CreateOrder published", 1.0), ("CreateOrder unknown", 1.0)]
    );
}

#[test]
fn of_two_transactions_prepared_under_one_name_the_first_has_no_known_end() {
    let mut story = Story::new();
    for number in ["1", "2"] {
        story.runs(1, &create(number));
        story.steers(1, "PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION");
    }
    story.steers(1, "COMMIT PREPARED 'a'", "COMMIT PREPARED");
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(
        story.see(FACTS),
        [("CreateOrder published", 1.0), ("CreateOrder unknown", 1.0)]
    );
}

#[test]
fn a_second_phase_that_was_hidden_leaves_what_was_prepared_unknown() {
    for (text, tag) in [("", "ROLLBACK PREPARED"), ("ROLLBACK PREPARED 'a'", "")] {
        let mut story = Story::new();
        story.runs(1, &create("1"));
        story.steers(1, "PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION");
        story.steers(2, text, tag);
        story.steers(2, "COMMIT PREPARED 'a'", "COMMIT PREPARED");
        assert_eq!(story.see("naytife"), [], "{text} {tag}");
        assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
    }
}
