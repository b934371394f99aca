use smallvec::SmallVec;

use super::super::routes::Routes;
use super::super::rules::Rules;
use super::{Claim, Shops, id_of};
use crate::correlate::http::Request;
use crate::correlate::postgres::Value;
use crate::export::{Symbol, Symbols};
use crate::time::Timestamp;

fn request(path: &str) -> Request {
    Request {
        method: "POST".into(),
        path: path.into(),
        ..Request::default()
    }
}

fn claim(request: &Request) -> Claim {
    let routes = Routes::new(&Rules::naytife().unwrap().http);
    let route = routes.get(routes.find(&request.path).unwrap()).unwrap();
    Claim::new(route, request)
}

fn subdomain(name: &str) -> Claim {
    Claim::Subdomain(SmallVec::from_slice(name.as_bytes()))
}

#[test]
fn a_path_names_a_shop_by_a_positive_number_only() {
    for (path, want) in [
        ("/v1/shops/7/orders", Claim::Id(7, true)),
        ("/V1/Shops/007", Claim::Id(7, true)),
        ("http://h/v1/shops/7/orders", Claim::Id(7, true)),
        ("/v1/shops/abc/orders", Claim::Nothing),
        ("/v1/shops/-1/orders", Claim::Nothing),
        ("/v1/shops/0", Claim::Nothing),
        ("/v1/shops/99999999999999999999", Claim::Nothing),
        ("/v1/shops", Claim::NoTenant),
        ("/redeploy/Acme", subdomain("Acme")),
        ("/v1/subdomains/acme", Claim::NoTenant),
    ] {
        assert_eq!(claim(&request(path)), want, "{path}");
    }
}

#[test]
fn a_graphql_shop_is_named_by_header_then_query_then_host() {
    let mut all = request("/query");
    all.shop_subdomain = "head".into();
    all.query = "a=b&shop_id=12".into();
    all.forwarded_host = "fore.localhost:8080, other".into();
    all.host = "host.localhost".into();
    assert_eq!(claim(&all), subdomain("head"));
    all.shop_subdomain.clear();
    assert_eq!(claim(&all), Claim::Id(12, false));
    all.query = "xshop_id=12".into();
    assert_eq!(claim(&all), subdomain("fore"));
    all.forwarded_host.clear();
    assert_eq!(claim(&all), subdomain("host"));
    all.host.clear();
    assert_eq!(claim(&all), Claim::Nothing);
}

#[test]
fn a_body_names_a_shop_as_number_or_string() {
    for (body, want) in [
        (r#"{"order_id":1,"shop_id":5}"#, Claim::Id(5, false)),
        (r#"{"shop_id":"5"}"#, Claim::Id(5, false)),
        (r#"{"shop_id":null}"#, Claim::Nothing),
        (r#"{"shop_id":5"#, Claim::Nothing),
        ("", Claim::Nothing),
    ] {
        let mut request = request("/v1/payments/checkout");
        request.body = body.into();
        assert_eq!(claim(&request), want, "{body}");
    }
}

#[test]
fn behind_a_label_is_the_number_that_was_claimed_or_resolved() {
    let (mut shops, mut symbols) = (Shops::new(8, None), Symbols::new(100));
    let at = Timestamp(1);
    shops.prove(7, at, &mut symbols);
    shops.learn(b"acme", 7, at);
    let seven = symbols.intern("7");
    let acme = Claim::Subdomain(b"acme".as_slice().into());
    for (claim, label, want) in [
        (Claim::Id(7, true), seven, Some(7)),
        (acme.clone(), seven, Some(7)),
        (acme, Symbol::UNKNOWN, None),
        (Claim::Id(8, true), Symbol::UNKNOWN, None),
        (Claim::Id(9, true), Symbol::OTHER, None),
        (Claim::NoTenant, Symbol::EMPTY, None),
    ] {
        assert_eq!(shops.number(&claim, label, at), want, "{claim:?}");
    }
}

#[test]
fn a_number_is_read_in_every_format_sql_sends() {
    let value = |binary, oid, bytes: &[u8]| Value {
        binary,
        oid,
        bytes: Some(SmallVec::from_slice(bytes)),
    };
    for (value, want) in [
        (value(true, 20, &7_i64.to_be_bytes()), Some(7)),
        (value(true, 0, &7_i64.to_be_bytes()), Some(7)),
        (value(true, 23, &7_i32.to_be_bytes()), Some(7)),
        (value(true, 21, &7_i16.to_be_bytes()), Some(7)),
        (value(false, 20, b"7"), Some(7)),
        (value(true, 1184, &7_i64.to_be_bytes()), None),
        (value(true, 20, &(-7_i64).to_be_bytes()), None),
        (value(false, 20, b"seven"), None),
        (value(true, 20, b"123"), None),
    ] {
        assert_eq!(id_of(&value), want, "{value:?}");
    }
    let null = Value {
        binary: true,
        oid: 20,
        bytes: None,
    };
    assert_eq!(id_of(&null), None);
}

#[test]
fn a_proof_counts_from_its_own_time_on_whenever_it_arrives() {
    let (mut shops, mut symbols) = (Shops::new(8, None), Symbols::new(100));
    let claim = Claim::Id(7, true);
    shops.prove(7, Timestamp(20), &mut symbols);
    assert_eq!(shops.label(&claim, Timestamp(19)), None);
    let label = shops.label(&claim, Timestamp(20)).unwrap();
    assert_eq!(symbols.value(label), "7");
    shops.prove(7, Timestamp(10), &mut symbols);
    assert_eq!(shops.label(&claim, Timestamp(15)), Some(label));
    assert_eq!(shops.label(&subdomain("acme"), Timestamp(99)), None);
    shops.learn(b"acme", 7, Timestamp(30));
    assert_eq!(shops.label(&subdomain("acme"), Timestamp(29)), None);
    assert_eq!(shops.label(&subdomain("acme"), Timestamp(30)), Some(label));
    shops.learn(b"acme", 8, Timestamp(40));
    assert_eq!(
        shops.label(&subdomain("acme"), Timestamp(50)),
        None,
        "8 is not proven"
    );
}

#[test]
fn the_longest_unseen_shop_is_forgotten_at_the_bound() {
    let (mut shops, mut symbols) = (Shops::new(2, Some(1)), Symbols::new(100));
    for id in 1..=3 {
        shops.prove(id, Timestamp(1), &mut symbols);
    }
    assert_eq!(shops.proven(1, Timestamp(9)), None);
    assert!(shops.proven(3, Timestamp(9)).is_some());
    for (claim, want) in [
        (Claim::Id(5, true), Some("5")),
        (Claim::Id(5, true), Some("5")),
        (Claim::Id(6, true), Some("_other")),
        (Claim::Id(5, false), None),
        (Claim::Nothing, None),
    ] {
        let label = shops.trusted(&claim, &mut symbols);
        assert_eq!(label.map(|label| symbols.value(label)), want, "{claim:?}");
    }
    shops.distrust();
    assert_eq!(shops.trusted(&Claim::Id(5, true), &mut symbols), None);
}
