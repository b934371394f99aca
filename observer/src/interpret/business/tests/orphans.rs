//! An order is orphaned where an item of it fails after it was committed, and nowhere else.

use super::*;

const ORPHANS: &str = "naytife_orders_orphaned_total";

fn item(order: &str) -> Says<'_> {
    Says {
        name: "CreateOrderItem",
        tag: "INSERT",
        rows: Vec::new(),
        parameters: vec![(4, order), (5, "7")],
    }
}

const FOREIGN_KEY: Outcome = Outcome::Failed(SqlState(*b"23503"));

#[test]
fn an_order_whose_item_fails_after_its_own_commit_is_orphaned_once() {
    let mut story = Story::new();
    story.does(&create("1"));
    story.does(&item("1"));
    story.ends(1, &item("1"), FOREIGN_KEY);
    story.ends(1, &item("1"), FOREIGN_KEY);
    assert_eq!(story.see(ORPHANS), [(" 7", 1.0)]);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("OrphanOrder published", 1.0),
            ("OrphanOrder repeated", 1.0)
        ]
    );
}

#[test]
fn an_order_that_is_rolled_back_with_its_item_is_no_orphan() {
    let mut story = Story::new();
    story.runs(1, &create("1"));
    story.ends(1, &item("1"), FOREIGN_KEY);
    story.transaction(1, Transaction::Rollback);
    assert_eq!(story.see("naytife"), []);
    assert_eq!(story.see(FACTS), [("CreateOrder rolled_back", 1.0)]);
}

#[test]
fn a_statement_whose_end_was_hidden_is_not_taken_for_one_that_failed() {
    let mut story = Story::new();
    story.does(&create("1"));
    story.ends(1, &item("1"), Outcome::Unknown);
    story.commits(1);
    assert_eq!(story.see(FACTS), [("CreateOrder published", 1.0)]);
}

#[test]
fn an_order_that_was_only_shown_is_not_taken_for_an_orphan() {
    let mut story = Story::new();
    story.does(&Says {
        name: "GetOrder",
        tag: "SELECT",
        rows: vec![order("1", "pending", "pending")],
        parameters: Vec::new(),
    });
    story.ends(1, &item("1"), FOREIGN_KEY);
    assert_eq!(story.see(ORPHANS), []);
}
