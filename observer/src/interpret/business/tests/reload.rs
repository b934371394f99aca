//! Other rules, while transactions are open and entities are remembered.

use super::*;

fn replace(story: &mut Story, rules: &Rules) {
    let plan = Plan::new(rules).unwrap();
    story.plan = Arc::clone(&plan);
    story.with(0, |business, context| {
        business.replace(Arc::clone(&plan.business), context);
    });
}

/// An order that is committed, one that is not, one that waits for its second phase, and a shop.
fn story() -> Story {
    let mut story = Story::new();
    story.does(&shop("GetShop", "PUBLISHED"));
    story.does(&create("1"));
    story.runs(2, &create("2"));
    story.runs(3, &create("3"));
    story.steers(3, "PREPARE TRANSACTION 'g'", "PREPARE TRANSACTION");
    story
}

/// What was pending commits.
fn settle(story: &mut Story) {
    story.commits(2);
    story.steers(3, "COMMIT PREPARED 'g'", "COMMIT PREPARED");
}

#[test]
fn under_other_rules_counters_stay_gauges_empty_and_what_was_pending_is_unknown() {
    let mut story = story();
    story.business.explain();
    let other = Rules::NAYTIFE.replace("money_scale: 2", "money_scale: 0");
    replace(&mut story, &Rules::parse(&other).unwrap());
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(story.see("naytife_shops"), [], "the shop left both gauges");
    let facts = [("CreateOrder published", 1.0), ("CreateOrder unknown", 2.0)];
    assert_eq!(story.see(FACTS), facts);
    let notes = story.business.explained();
    assert!(
        notes
            .iter()
            .all(|note| note.why.to_string() == "other rules came into force"),
        "{notes:?}"
    );
    settle(&mut story);
    assert_eq!(story.see(FACTS), facts, "nothing of it is left");

    story.does(&webhook("1", "processing", "paid"));
    assert_eq!(
        story.see(ORDERS),
        [("7 pending", 1.0), ("7 unknown", 1.0)],
        "its status before was forgotten"
    );
    story.does(&create("4"));
    assert_eq!(
        story.see("naytife_orders_value_total "),
        [("7 ngn", 399_700.0), ("7 unknown", 39_970_000.0)],
        "the currency is forgotten, and amounts are major units from now on"
    );
}

#[test]
fn what_comes_later_in_a_transaction_that_other_rules_came_into_is_unknown_too() {
    let mut story = story();
    let other = Rules::NAYTIFE.replace("money_scale: 2", "money_scale: 0");
    replace(&mut story, &Rules::parse(&other).unwrap());
    story.runs(2, &create("5"));
    story.commits(2);
    assert_eq!(story.see(ORDERS), [("7 pending", 1.0)]);
    assert_eq!(
        story.see(FACTS),
        [("CreateOrder published", 1.0), ("CreateOrder unknown", 3.0)]
    );
    story.runs(2, &create("6"));
    story.commits(2);
    assert_eq!(story.see(ORDERS), [("7 pending", 2.0)], "the next is whole");
}

#[test]
fn under_the_same_rules_nothing_is_forgotten() {
    let mut story = story();
    replace(&mut story, &Rules::naytife().unwrap());
    assert_eq!(story.see("naytife_shops "), [("published", 1.0)]);
    settle(&mut story);
    assert_eq!(story.see(ORDERS), [("7 pending", 3.0)]);
    story.does(&webhook("1", "processing", "paid"));
    assert_eq!(
        story.see(ORDERS),
        [("7 pending", 3.0), ("7 processing", 1.0)]
    );
    assert_eq!(story.see("naytife_revenue_total "), [("7 ngn", 399_700.0)]);
}
