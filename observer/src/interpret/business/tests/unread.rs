//! What a rule tells and cannot be known is never taken for what was not said.

use super::*;

/// A text that is longer than any that is read.
const LONG: &str = "sixty-five-bytes-of-a-status-that-no-one-would-give-to-an-order-x";

/// Puts another value into a column of the first row, or takes it out.
fn change<'a>(says: &mut Says<'a>, column: &str, value: Option<&'a str>) {
    let row = &mut says.rows[0];
    let at = row.iter().position(|(name, _)| *name == column).unwrap();
    match value {
        Some(value) => row[at].1 = value,
        None => {
            row.remove(at);
        }
    }
}

#[test]
fn what_an_effect_needs_and_cannot_be_known_leaves_the_row_unknown() {
    assert_eq!(LONG.len(), 65);
    for (column, value) in [
        ("amount", None),
        ("amount", Some("39.975")),
        ("amount", Some("NaN")),
        ("amount", Some("much")),
        ("amount", Some("99999999999999999999")),
        ("amount", Some("-0.01")),
        ("status", None),
        ("status", Some(LONG)),
        ("payment_status", None),
        ("payment_method", None),
    ] {
        let mut story = Story::new();
        let mut says = create("1");
        change(&mut says, column, value);
        story.does(&says);
        assert_eq!(story.see("naytife"), [], "{column} {value:?}");
        assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
    }
}

#[test]
fn null_is_nothing_and_the_rest_of_the_row_counts() {
    let mut story = Story::new();
    let mut says = create("1");
    change(&mut says, "amount", Some(NULL));
    story.does(&says);
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(story.see("naytife_orders_value_total"), []);
    assert_eq!(story.see(FACTS), [("CreateOrder published", 1.0)]);
}

/// A story by the platform's rules with a part put in another's place.
fn story_by(part: &str, other: &str) -> Story {
    assert!(Rules::NAYTIFE.contains(part));
    let rules = Rules::parse(&Rules::NAYTIFE.replace(part, other)).unwrap();
    let mut story = Story::new();
    story.plan = Plan::new(&rules).unwrap();
    story.business = Business::new(Arc::clone(&story.plan.business), 1000);
    story
}

#[test]
fn an_amount_that_is_too_large_to_be_added_is_unknown() {
    let mut story = story_by("money_scale: 2", "money_scale: 0");
    let mut says = create("1");
    change(&mut says, "amount", Some("10000000000000000"));
    story.does(&says);
    assert_eq!(story.see("naytife"), []);
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
}

#[test]
fn a_row_that_is_not_meant_is_not_unknown_whatever_of_it_cannot_be_read() {
    let paid = "constants: { whole: \"yes\" }\n      only: { payment_status: [paid] }";
    let mut story = story_by("constants: { whole: \"yes\" }", paid);
    let mut says = create("1");
    change(&mut says, "amount", Some("much"));
    story.does(&says);
    assert_eq!(story.see(FACTS), []);
    change(&mut says, "payment_status", Some("paid"));
    story.does(&says);
    assert_eq!(story.see(FACTS), [("CreateOrder unknown", 1.0)]);
}

#[test]
fn what_was_remembered_of_such_a_row_is_not_known_any_more() {
    for amount in ["39.975", "-39.97"] {
        let mut story = Story::new();
        story.does(&create("1"));
        let mut says = rewrite("1", "processing", "paid");
        says.parameters[1].1 = amount;
        story.does(&says);
        assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
        // Its status and that of its payment may be these already.
        story.does(&rewrite("1", "completed", "refunded"));
        assert_eq!(story.see(ORDERS), [("7 pending", 1.0), ("7 unknown", 1.0)]);
        assert_eq!(story.see("naytife_revenue"), []);
        assert_eq!(
            story.see(FACTS),
            [("CreateOrder published", 1.0), ("UpdateOrder unknown", 2.0)]
        );
    }
}

#[test]
fn an_amount_that_was_remembered_is_not_taken_for_one_that_cannot_be_read() {
    let mut story = Story::new();
    story.does(&create("1"));
    let mut says = webhook("1", "pending", "pending");
    change(&mut says, "amount", None);
    story.does(&says);
    let mut paid = webhook("1", "pending", "paid");
    change(&mut paid, "amount", Some(NULL));
    story.does(&paid);
    assert_eq!(
        story.see("naytife_payments_total "),
        [("7 paystack paid", 1.0)]
    );
    assert_eq!(story.see("naytife_revenue_total"), []);
}

#[test]
fn a_gauge_leaves_out_what_cannot_be_read() {
    let mut story = Story::new();
    story.does(&restock("4"));
    assert_eq!(story.see("naytife_inventory_levels "), [("7 5", 4.0)]);
    story.does(&restock("four"));
    assert_eq!(story.see("naytife_inventory_levels "), []);
    assert_eq!(
        story.see(FACTS),
        [
            ("UpdateVariantStock published", 1.0),
            ("UpdateVariantStock unknown", 1.0)
        ]
    );
    story.does(&restock("-3"));
    assert_eq!(
        story.see("naytife_inventory_levels "),
        [("7 5", -3.0)],
        "what is shown, not added, may be negative"
    );
}

#[test]
fn a_row_that_shows_something_teaches_what_of_it_can_be_read() {
    let mut story = Story::new();
    let mut says = Says {
        name: "GetOrder",
        tag: "SELECT",
        ..create("1")
    };
    change(&mut says, "amount", None);
    story.does(&says);
    story.does(&webhook("1", "processing", "pending"));
    assert_eq!(story.see(ORDERS), [("7 processing", 1.0)]);
    assert_eq!(
        story.see(FACTS),
        [("UpdateOrderStatusByTransactionID published", 1.0)]
    );
}
