//! Texts of rows become labels in a bounded number, and none that may say who somebody is.

use super::super::words::WORDS_OF_ROWS;
use super::*;

#[test]
fn what_does_not_look_like_a_word_is_no_label() {
    let mut story = Story::new();
    for (number, status) in [
        ("1", "+4915112345678"),
        ("2", "jo@example.com"),
        ("3", "two words"),
        ("4", "4242424242424242"),
        ("5", ""),
        ("6", "On_hold"),
        ("7", "Partial_Refund"),
    ] {
        let mut says = create(number);
        says.rows[0][2].1 = status;
        story.does(&says);
    }
    assert_eq!(
        story.see(ORDERS),
        [
            ("7 _other", 5.0),
            ("7 on_hold", 1.0),
            ("7 partial_refund", 1.0)
        ]
    );
    assert_eq!(story.see("naytife_shops"), []);
    story.does(&shop("UpdateShop", "+4915112345678"));
    assert_eq!(story.see("naytife_shops "), [("_other", 1.0)]);
}

#[test]
fn words_are_learnt_in_a_bounded_number_and_those_of_rules_are_always_known() {
    let mut story = Story::remembering(2000);
    for number in 0..WORDS_OF_ROWS + 10 {
        let (number, status) = (number.to_string(), format!("w{number}"));
        let mut says = create(&number);
        says.rows[0][2].1 = &status;
        story.does(&says);
    }
    assert_eq!(story.see(ORDERS).len(), WORDS_OF_ROWS + 1);
    assert_eq!(
        story.see("naytife_orders_total 7 _other"),
        [("", 10.0)],
        "each of them counts"
    );
    story.does(&webhook("0", "w0", "partial_refund"));
    assert_eq!(
        story.see("naytife_payments_total "),
        [("7 paystack partial_refund", 1.0)]
    );
}

#[test]
fn words_that_differ_in_case_are_the_same() {
    let mut story = Story::new();
    story.does(&create("1"));
    story.does(&rewrite("1", "PENDING", "Pending"));
    assert_eq!(
        story.see(FACTS),
        [
            ("CreateOrder published", 1.0),
            ("UpdateOrder repeated", 1.0)
        ]
    );
}
