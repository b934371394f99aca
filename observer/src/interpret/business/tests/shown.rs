//! What rows that are shown overwrite, and what they do not.

use super::*;

const REVENUE: &str = "naytife_revenue_total ";

fn shows<'a>(status: &'a str, payment: &'a str) -> Says<'a> {
    Says {
        name: "GetOrder",
        tag: "SELECT",
        rows: vec![order("1", status, payment)],
        parameters: Vec::new(),
    }
}

/// What follows is asked for now.
fn now(story: &mut Story) -> u64 {
    story.time += 1;
    story.asked = story.time;
    story.asked
}

/// An order that is pending.
fn story() -> Story {
    let mut story = Story::new();
    now(&mut story);
    story.does(&create("1"));
    now(&mut story);
    story
}

#[test]
fn a_change_that_happened_unseen_is_learnt_from_a_later_row_and_counts_nothing() {
    let mut story = story();
    story.does(&shows("processing", "paid"));
    now(&mut story);
    story.does(&rewrite("1", "processing", "paid"));
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(story.see(REVENUE), []);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("UpdateOrder repeated", 1.0)
        ]
    );
    story.does(&rewrite("1", "processing", "refunded"));
    assert_eq!(
        story.see("naytife_revenue_refunded_total "),
        [("7 unknown", 399_700.0)],
        "from what was shown it goes on"
    );
}

#[test]
fn a_gauge_follows_what_is_shown() {
    let mut story = Story::new();
    story.does(&shop("CreateShop", "PUBLISHED"));
    now(&mut story);
    story.does(&shop("GetShop", "SUSPENDED"));
    assert_eq!(story.see("naytife_shops "), [("suspended", 1.0)]);
}

#[test]
fn a_row_that_was_asked_for_before_the_change_was_told_overwrites_nothing() {
    let mut story = story();
    story.runs(2, &shows("pending", "pending"));
    story.does(&webhook("1", "processing", "paid"));
    story.commits(2);
    now(&mut story);
    story.does(&webhook("1", "processing", "paid"));
    assert_eq!(story.see(REVENUE), [("7 unknown", 399_700.0)]);
}

#[test]
fn a_block_that_began_before_the_change_may_show_what_was_before_it() {
    let mut story = story();
    story.steers(2, "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN");
    story.does(&webhook("1", "processing", "paid"));
    now(&mut story);
    story.runs(2, &shows("pending", "pending"));
    story.commits(2);
    story.does(&webhook("1", "processing", "paid"));
    assert_eq!(story.see(REVENUE), [("7 unknown", 399_700.0)]);
}

#[test]
fn a_change_under_way_that_a_row_shows_already_still_counts() {
    let mut story = story();
    let asked = story.asked;
    // It commits, is read elsewhere, and only then its answer arrives.
    now(&mut story);
    story.runs(2, &shows("processing", "paid"));
    story.commits(2);
    story.asked = asked;
    story.does(&webhook("1", "processing", "paid"));
    assert_eq!(
        story.see(ORDERS),
        [("7 pending", 1.0), ("7 processing", 1.0)]
    );
    assert_eq!(story.see(REVENUE), [("7 unknown", 399_700.0)]);
}

#[test]
fn what_a_transaction_reads_counts_as_known_before_what_it_writes_and_not_after() {
    let mut story = story();
    story.runs(2, &shows("processing", "paid"));
    now(&mut story);
    story.runs(2, &rewrite("1", "processing", "paid"));
    story.runs(2, &shows("completed", "paid"));
    story.commits(2);
    assert_eq!(story.see(REVENUE), []);
    now(&mut story);
    story.does(&rewrite("1", "completed", "paid"));
    assert_eq!(
        story.see(ORDERS),
        [("7 completed", 1.0), ("7 pending", 1.0)]
    );
}

#[test]
fn what_was_read_before_a_doubt_teaches_nothing() {
    for (later, want) in [(false, "7 paystack unknown"), (true, "7 paystack paid")] {
        let mut story = story();
        story.runs(2, &rewrite("1", "pending", "paid"));
        story.transaction(2, Transaction::Unknown);
        if later {
            now(&mut story);
        }
        story.does(&shows("pending", "pending"));
        now(&mut story);
        story.does(&rewrite("1", "pending", "paid"));
        assert_eq!(story.see("naytife_payments_total "), [(want, 1.0)]);
    }
}

#[test]
fn what_a_row_overwrote_is_not_known_either_once_it_is_in_doubt() {
    let mut story = story();
    let asked = story.asked;
    now(&mut story);
    story.does(&shows("processing", "paid"));
    story.runs(2, &rewrite("1", "completed", "refunded"));
    story.transaction(2, Transaction::Unknown);
    story.asked = asked;
    story.does(&webhook("1", "processing", "paid"));
    assert_eq!(story.see(REVENUE), []);
}

#[test]
fn an_order_that_was_deleted_is_neither_changed_nor_created_again() {
    let mut story = story();
    story.does(&Says {
        name: "DeleteOrder",
        tag: "DELETE",
        rows: Vec::new(),
        parameters: vec![(1, "1"), (2, "7")],
    });
    now(&mut story);
    story.does(&shows("pending", "pending"));
    story.does(&webhook("1", "processing", "paid"));
    story.does(&create("1"));
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(story.see(REVENUE), []);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("CreateOrder repeated", 1.0),
            ("DeleteOrder published", 1.0),
            ("UpdateOrderStatusByTransactionID repeated", 1.0)
        ]
    );
}
