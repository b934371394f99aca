//! The rows of a transaction happened together or not at all.

use super::*;

/// One statement with so many rows.
fn rows(says: Says<'static>, count: usize) -> Says<'static> {
    Says {
        rows: vec![order("1", "pending", "pending"); count],
        ..says
    }
}

#[test]
fn a_transaction_with_too_many_rows_is_unknown_as_a_whole() {
    let mut story = Story::new();
    story.runs(1, &rows(create("1"), stage::LIMIT + 1));
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
    story.commits(1);
    assert_eq!(story.see("naytife"), []);
    let all = number(stage::LIMIT + 1);
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", all)]);
}

#[test]
fn a_transaction_for_which_others_left_no_room_is_unknown_as_a_whole() {
    let mut story = Story::new();
    story.runs(0, &create("2"));
    for connection in 1..=(CANDIDATES / stage::LIMIT) as u64 {
        story.runs(connection, &rows(create("1"), stage::LIMIT));
    }
    story.runs(0, &create("3"));
    story.commits(0);
    assert_eq!(story.see("naytife"), []);
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", 3.0)]);
}

#[test]
fn rows_that_are_shown_leave_room_for_those_that_happen() {
    let mut story = Story::new();
    let shown = Says {
        name: "GetOrder",
        tag: "SELECT",
        ..create("1")
    };
    let half = stage::LIMIT / 2;
    story.runs(1, &rows(shown.clone(), stage::LIMIT));
    story.runs(1, &rows(create("1"), half));
    story.commits(1);
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("CreateOrder repeated", number(half - 1))
        ]
    );
    for connection in 1..=(CANDIDATES / stage::LIMIT) as u64 * 2 {
        story.runs(connection, &rows(shown.clone(), stage::LIMIT));
    }
    story.runs(1, &create("2"));
    story.commits(1);
    assert_eq!(story.see(ORDERS), [("7 pending", 2.0)]);
}

#[test]
fn an_execution_that_was_hidden_ends_with_its_transaction() {
    for (end, want) in [
        (Transaction::Rollback, "CreateOrder rolled_back"),
        (Transaction::Failed, "CreateOrder rolled_back"),
        (Transaction::Commit, "CreateOrder unknown"),
        (Transaction::Lost, "CreateOrder unknown"),
    ] {
        let mut story = Story::new();
        story.ends(1, &create("1"), Outcome::Unknown);
        assert_eq!(story.see(FACTS), [], "nothing is decided yet");
        story.transaction(1, end);
        assert_eq!(story.see(FACTS), [(want, 1.0)]);
        assert_eq!(story.see("naytife"), []);
    }
}

#[test]
fn what_a_hidden_execution_may_have_changed_is_not_known_any_more() {
    let mut story = Story::new();
    story.does(&create("1"));
    story.ends(1, &rewrite("1", "processing", "paid"), Outcome::Unknown);
    story.commits(1);
    story.does(&rewrite("1", "processing", "paid"));
    assert_eq!(story.see("naytife_revenue_total "), []);
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0), ("7 unknown", 1.0)]);
}
