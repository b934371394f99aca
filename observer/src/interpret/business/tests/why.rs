//! Each candidate is told why it became what it became.

use super::*;
use crate::interpret::business::journal::Note;

/// A story of which it is noted why.
fn story() -> Story {
    let mut story = Story::new();
    story.business.explain();
    story
}

/// What was noted: rule, what became of it, key, why.
fn told(story: &mut Story) -> Vec<String> {
    let notes = story.business.explained().into_iter();
    notes.map(|note| line(&note)).collect()
}

fn line(note: &Note) -> String {
    let key: Vec<_> = note.key.iter().map(|(_, value)| value.as_str()).collect();
    let fate = note.fate.map_or("none", super::super::Fate::label);
    format!("{} {fate} {}: {}", note.rule, key.join("/"), note.why)
}

/// A statement whose tag is `UPDATE 0`.
fn changes_nothing(story: &mut Story, name: &str) {
    let text = format!("-- name: {name} :one\nUPDATE");
    let facts = crate::interpret::sql::text::read(&text, story.plan.columns());
    let reads = story.plan.reads_of(&facts, Some(name));
    let execution = Execution {
        which: Which::Unknown,
        began: Timestamp(0),
        ended: Timestamp(0),
        waited: 0.0,
        seconds: 0.0,
        timed: true,
        outcome: Outcome::Completed,
        tag: "UPDATE".into(),
        rows: Some(0),
        control: None,
        wanted: None,
        parameters: SmallVec::new(),
        columns: Vec::new(),
    };
    story.with(1, |business, context| {
        business.execution(&execution, &reads.business, context);
    });
}

#[test]
fn every_end_of_a_transaction_has_its_words() {
    for (end, want) in [
        (Transaction::Commit, "published 7/1: committed"),
        (
            Transaction::Rollback,
            "rolled_back 7/1: the transaction was rolled back on request",
        ),
        (
            Transaction::Failed,
            "rolled_back 7/1: the transaction failed",
        ),
        (
            Transaction::Unknown,
            "unknown 7/1: a gap hid the end of the transaction",
        ),
        (
            Transaction::Lost,
            "unknown 7/1: the connection or the recording ended before the transaction did",
        ),
    ] {
        let mut story = story();
        story.runs(1, &create("1"));
        assert!(told(&mut story).is_empty(), "nothing is decided yet");
        story.transaction(1, end);
        assert_eq!(told(&mut story), [format!("CreateOrder {want}")]);
    }
}

#[test]
fn the_first_error_of_a_transaction_is_what_it_failed_with() {
    let mut story = story();
    story.runs(1, &create("1"));
    for state in [*b"23503", *b"25P02"] {
        story.ends(1, &create("2"), Outcome::Failed(SqlState(state)));
    }
    story.transaction(1, Transaction::Failed);
    story.runs(1, &create("3"));
    story.transaction(1, Transaction::Failed);
    story.runs(1, &create("4"));
    story.ends(1, &create("5"), Outcome::Failed(SqlState(*b"23505")));
    story.transaction(1, Transaction::Rollback);
    assert_eq!(
        told(&mut story),
        [
            "CreateOrder none : it failed with SQLSTATE 23503",
            "CreateOrder none : it failed with SQLSTATE 25P02",
            "CreateOrder rolled_back 7/1: the transaction failed with SQLSTATE 23503",
            "CreateOrder rolled_back 7/3: the transaction failed",
            "CreateOrder none : it failed with SQLSTATE 23505",
            "CreateOrder rolled_back 7/4: \
             the transaction was rolled back on request, after SQLSTATE 23505",
        ]
    );
}

#[test]
fn what_goes_back_inside_a_transaction_has_its_words() {
    let mut story = story();
    story.steers(1, "SAVEPOINT a", "SAVEPOINT");
    story.runs(1, &create("1"));
    story.steers(1, "ROLLBACK TO a", "ROLLBACK");
    story.runs(1, &create("2"));
    story.steers(1, "", "ROLLBACK");
    story.commits(1);
    assert_eq!(
        told(&mut story),
        [
            "CreateOrder rolled_back 7/1: a savepoint before it was rolled back to",
            "CreateOrder unknown 7/2: a part of the transaction was hidden that may have undone it",
        ]
    );
}

#[test]
fn what_was_known_before_is_told_and_what_changed() {
    let mut story = story();
    story.does(&create("1"));
    story.does(&create("1"));
    story.does(&webhook("1", "processing", "paid"));
    story.does(&webhook("1", "processing", "paid"));
    story.does(&rewrite("2", "processing", "paid"));
    story.does(&shop("GetShop", "PUBLISHED"));
    story.does(&shop("GetShop", "PUBLISHED"));
    story.asked = story.time + 1;
    story.does(&shop("GetShop", "SUSPENDED"));
    story.does(&Says {
        name: "DeleteShop",
        tag: "DELETE",
        rows: Vec::new(),
        parameters: vec![(1, "7")],
    });
    story.does(&shop("UpdateShop", "PUBLISHED"));
    assert_eq!(
        told(&mut story),
        [
            "CreateOrder published 7/1: committed",
            "CreateOrder repeated 7/1: it was created already",
            "UpdateOrderStatusByTransactionID published 7/1: \
             committed: payment_status pending → paid, status pending → processing",
            "UpdateOrderStatusByTransactionID repeated 7/1: \
             payment_status was paid already, status was processing already",
            "UpdateOrder unknown 7/2: what payment_status and status was before was not seen",
            "GetShop none 7: it shows currency, status",
            "GetShop none 7: it shows nothing new",
            "GetShop none 7: it shows status",
            "DeleteShop published 7: committed",
            "DeleteShopsVariations none 7: no such entity is remembered",
            "UpdateShop repeated 7: it was deleted already",
        ]
    );
}

#[test]
fn an_execution_without_a_row_says_why_it_has_none() {
    let mut story = story();
    changes_nothing(&mut story, "UpdateOrderStatusByTransactionID");
    story.does(&Says {
        tag: "SELECT",
        ..create("1")
    });
    story.ends(1, &create("1"), Outcome::Unknown);
    story.does(&Says {
        name: "CreateOrderItem",
        tag: "INSERT",
        rows: Vec::new(),
        parameters: vec![(4, "1"), (5, "7")],
    });
    story.ends(
        1,
        &Says {
            name: "CreateOrderItem",
            tag: "",
            rows: Vec::new(),
            parameters: vec![(4, "1"), (5, "7")],
        },
        Outcome::Failed(SqlState(*b"23503")),
    );
    assert_eq!(
        told(&mut story),
        [
            "UpdateOrderStatusByTransactionID none : UPDATE 0: there was no row",
            "CreateOrder none : it ended with SELECT, and the rule is of INSERT",
            "CreateOrder unknown 7/1: the statement's answer was hidden by a gap, or never came",
            "OrphanOrder none 7/1: no such entity is remembered",
        ]
    );
}

#[test]
fn a_row_that_is_not_whole_or_not_meant_says_which_field_it_is() {
    let mut story = story();
    let mut cut = create("1");
    cut.rows[0].remove(1);
    story.does(&cut);
    cut.rows.push(order("2", "pending", "pending"));
    cut.rows[1][1].1 = "two";
    story.does(&cut);
    story.does(&Says {
        name: "UpsertCustomer",
        tag: "INSERT",
        rows: vec![vec![
            ("shop_id", "7"),
            ("shop_customer_id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("created_at", "2026-11-25 10:00:00+00"),
            ("last_login", "2026-11-25 11:00:00+00"),
        ]],
        parameters: Vec::new(),
    });
    assert_eq!(
        told(&mut story),
        [
            "CreateOrder unknown 7: `order` was not captured, has another type, or cannot be added, in row 1",
            "CreateOrder unknown 7: `order` was not captured, has another type, or cannot be added, in row 1",
            "CreateOrder unknown 7: `order` was not captured, has another type, or cannot be added, in row 2",
            "UpsertCustomer none 7/0f8fad5b…: `created` and `login` are not equal",
        ]
    );
}

#[test]
fn the_metrics_that_a_row_moved_stand_beside_it_and_no_other() {
    let mut story = story();
    story.does(&shop("GetShop", "PUBLISHED"));
    story.does(&shop("UpdateShop", "SUSPENDED"));
    let notes = story.business.explained();
    let mut moved: Vec<_> = notes[1]
        .moved
        .iter()
        .map(|moved| (moved.metric.row().name, moved.labels.join(" "), moved.by))
        .collect();
    moved.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    assert_eq!(
        moved,
        [
            ("naytife_shops", "published".to_owned(), -1.0),
            ("naytife_shops", "suspended".to_owned(), 1.0),
            ("naytife_shops_active_total", String::new(), -1.0),
        ]
    );
}

#[test]
fn what_moves_only_a_gauge_is_news_too() {
    let mut story = story();
    for available in ["10", "4", "4"] {
        story.does(&restock(available));
    }
    story.does(&shop("UpdateShop", "SUSPENDED"));
    assert_eq!(
        story.see(FACTS),
        [
            ("UpdateShop published", 1.0),
            ("UpdateVariantStock published", 2.0),
            ("UpdateVariantStock repeated", 1.0),
        ]
    );
    let told = told(&mut story);
    assert_eq!(
        told[1],
        "UpdateVariantStock published 7/1: committed: available changed"
    );
    assert_eq!(
        told[2],
        "UpdateVariantStock repeated 7/1: available was so already, product was 5 already"
    );
    assert_eq!(
        told[3],
        "UpdateShop published 7: committed: currency → ngn, status → suspended"
    );
}

#[test]
fn nothing_is_noted_that_nobody_asked_for() {
    let mut story = Story::new();
    story.does(&create("1"));
    assert!(story.business.explained().is_empty());
}
