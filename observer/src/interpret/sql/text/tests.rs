use super::{Columns, Facts, VERBS, fuzz, name, read};

fn facts(text: &str) -> Facts {
    let (shop, subdomain) = (["shop_id".to_owned()], ["subdomain".to_owned()]);
    read(
        text,
        Columns {
            shop: &shop,
            subdomain: &subdomain,
        },
    )
}

#[test]
fn verbs_are_sorted() {
    assert!(VERBS.is_sorted_by_key(|(verb, _, _)| *verb));
    assert!(VERBS.iter().all(|(verb, _, _)| verb.len() <= 16));
}

#[test]
fn a_name_stands_in_a_comment_before_the_statement() {
    for (text, want) in [
        ("-- name: GetShop :one\nSELECT 1", Some("GetShop")),
        (
            "\n  -- other\n-- name: ListOrders :many\r\nSELECT",
            Some("ListOrders"),
        ),
        ("/* name: GetShop :one */ SELECT 1", Some("GetShop")),
        ("--name: GetShop :exec", Some("GetShop")),
        ("SELECT 1 -- name: GetShop :one", None),
        ("-- name: GetShop\nSELECT 1", None),
        ("-- name: jo@example.com :one\nSELECT 1", None),
        ("-- my name: X :one\nSELECT 1", None),
        ("", None),
    ] {
        assert_eq!(name(text), want, "{text}");
    }
}

#[test]
fn operation_and_table_are_the_statements_own() {
    for (text, operation, table) in [
        ("SELECT a FROM orders WHERE b = 'x'", "SELECT", "orders"),
        (
            "select extract(day from created_at) from public.orders o",
            "SELECT",
            "orders",
        ),
        (
            "SELECT * FROM (SELECT 1 FROM inner_t) t",
            "SELECT",
            "inner_t",
        ),
        (
            "(SELECT a FROM one) UNION (SELECT b FROM two)",
            "SELECT",
            "one",
        ),
        (
            "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x",
            "INSERT",
            "b",
        ),
        (
            "with recursive t as (select 1 from q) select * from t",
            "SELECT",
            "t",
        ),
        (
            "INSERT INTO \"Order Items\" VALUES (1)",
            "INSERT",
            "Order?Items",
        ),
        ("update only Shops set a = 1", "UPDATE", "shops"),
        ("DELETE FROM audit.log", "DELETE", "audit.log"),
        ("MERGE INTO t USING s ON true", "MERGE", "t"),
        ("COPY t FROM stdin", "COPY", "t"),
        ("TABLE t", "SELECT", "t"),
        ("VALUES (1)", "SELECT", ""),
        ("select pg_sleep(1)", "SELECT", ""),
        ("begin", "BEGIN", ""),
        ("end", "COMMIT", ""),
        ("SET commerce.current_shop_id = 5", "SET", ""),
        ("-- ping", "", ""),
        ("john@example.com", "", ""),
    ] {
        let got = facts(text);
        let first = got.statements.first();
        assert_eq!(
            first.map_or("", |first| first.operation),
            operation,
            "{text}"
        );
        assert_eq!(
            first.map_or("", |first| first.table.as_str()),
            table,
            "{text}"
        );
    }
}

#[test]
fn statements_that_differ_in_literals_and_layout_share_a_fingerprint() {
    for (left, right, same) in [
        (
            "SELECT a FROM t WHERE b = 1",
            "select a\nfrom t where b=  'x' -- c",
            true,
        ),
        (
            "SELECT a FROM t WHERE b = $1",
            "SELECT a FROM t WHERE b = 17",
            true,
        ),
        (
            "SELECT a FROM t WHERE b IN (1,2,3)",
            "SELECT a FROM t WHERE b IN ($1)",
            true,
        ),
        (
            "INSERT INTO t VALUES (1, 2), (3, 4)",
            "INSERT INTO t VALUES (5, 6)",
            true,
        ),
        ("SELECT a FROM t", "SELECT b FROM t", false),
        ("SELECT a FROM t", "SELECT a FROM u", false),
        ("SELECT 'a' FROM t", "SELECT a FROM t", false),
    ] {
        let (left_hash, right_hash) = (
            facts(left).statements[0].fingerprint,
            facts(right).statements[0].fingerprint,
        );
        assert_eq!(left_hash == right_hash, same, "{left} | {right}");
    }
    assert_eq!(
        facts("select abalance from pgbench_accounts where aid = 1").statements[0].fingerprint,
        0x13eb_b265,
        "a fingerprint is a label value: it must not change between versions"
    );
}

#[test]
fn a_texts_statements_are_told_apart() {
    let got = facts("BEGIN; INSERT INTO a VALUES (';'); ; COMMIT;");
    let operations: Vec<_> = got.statements.iter().map(|one| one.operation).collect();
    assert_eq!(operations, ["BEGIN", "INSERT", "COMMIT"]);
    assert_eq!(facts(&"select 1;".repeat(1000)).statements.len(), 64);
}

#[test]
fn parameters_that_name_a_shop_are_found() {
    for (text, shop, subdomain) in [
        (
            "SELECT a FROM t WHERE id = $1 AND shop_id = $2",
            Some(2),
            None,
        ),
        (
            "UPDATE t SET a = $1 WHERE o.shop_id=$17::bigint",
            Some(17),
            None,
        ),
        (
            "INSERT INTO t (a, shop_id, b) VALUES ($3, $9, $1) RETURNING *",
            Some(9),
            None,
        ),
        (
            "INSERT INTO t (a, b, shop_id) VALUES (coalesce($1, $2), f($4, 1), $3::int)",
            Some(3),
            None,
        ),
        ("INSERT INTO t (shop_id, a) VALUES ($1 + 1, $2)", None, None),
        (
            "INSERT INTO shops (owner_id, title, subdomain) VALUES ($1,$2,$3)",
            None,
            Some(3),
        ),
        (
            "SELECT shop_id FROM shops WHERE subdomain = $1",
            None,
            Some(1),
        ),
        ("SELECT 1 FROM t WHERE shop_id <> $1", None, None),
        ("SELECT 1 FROM t WHERE shop_id = ANY($1)", None, None),
        (
            "SELECT 1 FROM t JOIN u ON t.shop_id = u.shop_id AND u.a = $1",
            None,
            None,
        ),
        ("INSERT INTO t (a, shop_id) SELECT $1, $2", None, None),
    ] {
        let got = facts(text);
        assert_eq!((got.shop, got.subdomain), (shop, subdomain), "{text}");
    }
}

#[test]
fn every_cut_of_a_text_is_read() {
    let text = "-- name: A :one\nWITH x AS (SELECT 'é;') INSERT INTO \"t\".u (shop_id) VALUES ($1); COMMIT";
    for at in 0..text.len() {
        fuzz(&text.as_bytes()[..at]);
        fuzz(&text.as_bytes()[at..]);
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        fuzz(&data);
        super::super::lexer::fuzz(&data);
    }

    #[test]
    fn arbitrary_sql_like_text_is_survived(text in "[a-z$'\"/*();,.=0-9 \\-\\\\]{0,200}") {
        fuzz(text.as_bytes());
        super::super::lexer::fuzz(text.as_bytes());
    }
}
