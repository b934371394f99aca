//! What is remembered is what the gauges sum up: shops, variations and what they have.

use super::*;

fn variation<'a>(name: &'a str, tag: &'a str, place: [&'a str; 3], available: &'a str) -> Says<'a> {
    let [shop, product, variation] = place;
    Says {
        name,
        tag,
        rows: vec![vec![
            ("shop_id", shop),
            ("product_id", product),
            ("product_variation_id", variation),
            ("available_quantity", available),
        ]],
        parameters: Vec::new(),
    }
}

fn made<'a>(place: [&'a str; 3], available: &'a str) -> Says<'a> {
    variation("CreateProductVariation", "INSERT", place, available)
}

fn stocked<'a>(place: [&'a str; 3], available: &'a str) -> Says<'a> {
    variation("UpdateVariantStock", "UPDATE", place, available)
}

fn says<'a>(name: &'a str, tag: &'a str, parameters: &[(u16, &'a str)]) -> Says<'a> {
    Says {
        name,
        tag,
        rows: Vec::new(),
        parameters: parameters.to_vec(),
    }
}

const LEVELS: &str = "naytife_inventory_levels ";
const LOW: &str = "naytife_inventory_low_stock_variations ";

#[test]
fn shops_are_counted_by_status_and_leave_when_they_are_deleted() {
    let mut story = Story::new();
    story.does(&shop("CreateShop", "PUBLISHED"));
    story.does(&shop("GetShop", "PUBLISHED"));
    assert_eq!(story.see("naytife_shops "), [("published", 1.0)]);
    assert_eq!(story.see("naytife_shops_active_total"), [("", 1.0)]);
    story.does(&shop("UpdateShop", "SUSPENDED"));
    assert_eq!(story.see("naytife_shops "), [("suspended", 1.0)]);
    assert_eq!(story.see("naytife_shops_active_total"), []);
    story.does(&Says {
        name: "DeleteShop",
        tag: "DELETE",
        rows: Vec::new(),
        parameters: vec![(1, "7")],
    });
    story.does(&shop("GetShop", "SUSPENDED"));
    assert_eq!(story.see("naytife_shops"), []);
}

#[test]
fn a_product_has_the_stock_of_its_variations() {
    let mut story = Story::new();
    story.does(&stocked(["7", "5", "1"], "10"));
    story.does(&stocked(["7", "5", "2"], "4"));
    story.does(&stocked(["7", "5", "1"], "3"));
    assert_eq!(story.see(LEVELS), [("7 5", 7.0)]);
}

#[test]
fn a_gauge_forgets_what_the_memory_forgets() {
    let mut story = Story::remembering(2);
    for number in ["1", "2", "3", "4"] {
        let mut says = shop("GetShop", "PUBLISHED");
        says.rows[0][0].1 = number;
        story.does(&says);
    }
    assert_eq!(story.see("naytife_shops "), [("published", 2.0)]);
}

#[test]
fn a_customer_who_comes_back_did_not_register_again() {
    let mut story = Story::new();
    let upsert = |login| Says {
        name: "UpsertCustomer",
        tag: "INSERT",
        rows: vec![vec![
            ("shop_id", "7"),
            ("shop_customer_id", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            ("created_at", "2026-11-25 10:00:00+00"),
            ("last_login", login),
        ]],
        parameters: Vec::new(),
    };
    story.does(&upsert("2026-11-25 10:00:00+00"));
    story.does(&upsert("2026-11-25 11:00:00+00"));
    assert_eq!(
        story.see("naytife_customers_registered_total "),
        [("7", 1.0)]
    );
    assert_eq!(story.see(FACTS), [("UpsertCustomer published", 1.0)]);
}

#[test]
fn stock_moves_only_with_its_transaction() {
    let mut story = Story::new();
    story.does(&made(["7", "5", "1"], "20"));
    story.runs(1, &stocked(["7", "5", "1"], "3"));
    assert_eq!(story.see(LEVELS), [("7 5", 20.0)]);
    story.transaction(1, Transaction::Rollback);
    assert_eq!(story.see(LEVELS), [("7 5", 20.0)]);
    story.runs(1, &stocked(["7", "5", "1"], "3"));
    story.runs(1, &made(["7", "5", "2"], "11"));
    story.commits(1);
    assert_eq!(story.see(LEVELS), [("7 5", 14.0)]);
    assert_eq!(story.see(LOW), [("7", 1.0)]);
}

#[test]
fn low_stock_counts_the_variations_at_or_below_the_bound() {
    let mut story = Story::new();
    for (variation, available) in [("1", "10"), ("2", "11"), ("3", "0")] {
        story.does(&made(["7", "5", variation], available));
    }
    assert_eq!(story.see(LOW), [("7", 2.0)]);
    story.does(&stocked(["7", "5", "2"], "9"));
    story.does(&stocked(["7", "5", "3"], "50"));
    assert_eq!(story.see(LOW), [("7", 2.0)]);
}

#[test]
fn a_product_takes_its_variations_with_it_and_a_shop_all_of_them() {
    let mut story = Story::new();
    for place in [
        ["7", "5", "1"],
        ["7", "5", "2"],
        ["7", "6", "3"],
        ["8", "9", "4"],
    ] {
        story.does(&made(place, "4"));
    }
    story.runs(1, &says("DeleteProduct", "DELETE", &[(1, "5"), (2, "7")]));
    assert_eq!(story.see(LEVELS).len(), 3);
    story.transaction(1, Transaction::Rollback);
    assert_eq!(story.see(LEVELS).len(), 3);
    story.does(&says("DeleteProduct", "DELETE", &[(1, "5"), (2, "7")]));
    assert_eq!(story.see(LEVELS), [("7 6", 4.0), ("8 9", 4.0)]);
    assert_eq!(story.see(LOW), [("7", 1.0), ("8", 1.0)]);
    story.does(&says("DeleteShop", "DELETE", &[(1, "7")]));
    assert_eq!(story.see(LEVELS), [("8 9", 4.0)]);
    assert_eq!(story.see(LOW), [("8", 1.0)]);
    // What came late does not bring it back.
    story.does(&variation(
        "GetProductVariation",
        "SELECT",
        ["7", "6", "3"],
        "4",
    ));
    assert_eq!(story.see(LEVELS), [("8 9", 4.0)]);
    assert_eq!(
        story.see("observer_facts_total Delete"),
        [
            ("Product published", 1.0),
            ("Product rolled_back", 1.0),
            ("Shop published", 1.0),
            ("ShopsVariations published", 1.0)
        ]
    );
}

#[test]
fn an_update_of_a_product_deletes_the_variations_that_it_leaves_out() {
    let mut story = Story::new();
    for variation in ["1", "2", "3"] {
        story.does(&made(["7", "5", variation], "4"));
    }
    story.does(&made(["7", "6", "4"], "4"));
    story.does(&says(
        "DeleteProductVariants",
        "DELETE",
        &[(1, "7"), (2, "5"), (3, "{1,3}")],
    ));
    assert_eq!(story.see(LEVELS), [("7 5", 8.0), ("7 6", 4.0)]);
}

#[test]
fn of_a_list_that_was_not_seen_nobody_knows_what_is_left() {
    let mut story = Story::new();
    story.does(&made(["7", "5", "1"], "4"));
    story.does(&says(
        "DeleteProductVariants",
        "DELETE",
        &[(1, "7"), (2, "5")],
    ));
    assert_eq!(story.see(LEVELS), [("7 5", 4.0)]);
    assert_eq!(
        story.see("observer_facts_total DeleteProductVariants "),
        [("unknown", 1.0)]
    );
}

#[test]
fn movements_are_counted_by_type_and_customers_who_are_deleted_once() {
    let mut story = Story::new();
    for (movement, of) in [
        ("1", "sale"),
        ("2", "SALE"),
        ("3", "damage"),
        ("3", "damage"),
    ] {
        story.does(&Says {
            rows: vec![vec![
                ("shop_id", "7"),
                ("movement_id", movement),
                ("movement_type", of),
            ]],
            ..says("CreateStockMovement", "INSERT", &[])
        });
    }
    assert_eq!(
        story.see("naytife_stock_movements_total 7 "),
        [("damage", 1.0), ("sale", 2.0)]
    );
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    for _ in 0..2 {
        story.does(&says("DeleteCustomer", "DELETE", &[(1, uuid), (2, "7")]));
    }
    assert_eq!(story.see("naytife_customers_deleted_total "), [("7", 1.0)]);
}

#[test]
fn a_deployment_that_fails_is_its_shops_where_its_beginning_was_seen() {
    let mut story = Story::new();
    story.does(&Says {
        rows: vec![vec![
            ("deployment_id", "1"),
            ("shop_id", "7"),
            ("status", "deploying"),
        ]],
        ..says("CreateDeployment", "INSERT", &[])
    });
    story.does(&says(
        "UpdateDeploymentStatus",
        "UPDATE",
        &[(1, "1"), (2, "failed")],
    ));
    // Begun before the agent was.
    story.does(&says(
        "UpdateDeploymentStatus",
        "UPDATE",
        &[(1, "2"), (2, "failed")],
    ));
    assert_eq!(
        story.see("naytife_deployments_total "),
        [
            ("7 deploying", 1.0),
            ("7 failed", 1.0),
            ("unknown unknown", 1.0)
        ]
    );
}

#[test]
fn a_gauge_or_a_deletion_that_cannot_be_is_refused() {
    const RULES: &str = include_str!("../../naytife.yaml");
    for (from, to, want) in [
        (
            "metric: naytife_shops_active_total }",
            "metric: naytife_shops_active_total, lowest: 3 }",
            "`lowest` needs a label that tells them apart",
        ),
        (
            "only: { status: [PUBLISHED] }, metric: naytife_shops_active_total }",
            "metric: naytife_shops, labels: { status: status } }",
            "another effect sums up `naytife_shops`",
        ),
        ("value: available\n", "value: age\n", "a gauge has no age"),
        (
            "spares: [variation, kept]",
            "spares: [variation, product]",
            "an integer is spared by a field of type `integers`",
        ),
        (
            "spares: [variation, kept]",
            "spares: [variation, keept]",
            "did you mean `kept`?",
        ),
        (
            "does: delete_every\n      parameters: { product: 1, shop: 2 }",
            "does: delete_every",
            "it does not say by which field it deletes",
        ),
        (
            "does: delete, parameters: { shop: 1 }",
            "does: delete, parameters: { shop: 1 }, spares: [shop, shop]",
            "only `delete_every` spares",
        ),
    ] {
        assert!(RULES.contains(from), "{from}");
        let problems = Rules::parse(&RULES.replacen(from, to, 1)).unwrap_err();
        assert!(problems.to_string().contains(want), "{want}: {problems}");
    }
}
