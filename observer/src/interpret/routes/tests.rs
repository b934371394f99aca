use super::super::business::program::Program;
use super::super::rules::{Holds, Rules};
use super::{Place, Routes, path};

fn naytife() -> Routes {
    Routes::new(&Rules::naytife().unwrap().http)
}

fn template(routes: &Routes, path: &str) -> Option<String> {
    Some(routes.get(routes.find(path)?)?.template.clone())
}

#[test]
fn every_route_of_the_rules_matches_itself() {
    let routes = naytife();
    for route in routes.iter() {
        let example = route
            .template
            .replace("{*path}", "a/b")
            .replace(['{', '}'], "");
        assert_eq!(
            template(&routes, &example).as_deref(),
            Some(route.template.as_str())
        );
    }
    assert!(routes.iter().count() > 100);
}

#[test]
fn the_platforms_paths_match_their_routes() {
    let routes = naytife();
    for (path, want) in [
        (
            "/v1/shops/1/orders/42",
            "/v1/shops/{shop_id}/orders/{order_id}",
        ),
        ("/V1/Shops/1/", "/v1/shops/{shop_id}"),
        ("/v1/shops/abc/orders", "/v1/shops/{shop_id}/orders"),
        ("/v1/shops/-1/checkout", "/v1/shops/{shop_id}/checkout"),
        (
            "/v1/shops/1/customers/search",
            "/v1/shops/{shop_id}/customers/search",
        ),
        (
            "/v1/shops/1/customers/0b7e",
            "/v1/shops/{shop_id}/customers/{customer_id}",
        ),
        (
            "/v1/shops/1/product-types/from-template",
            "/v1/shops/{shop_id}/product-types/from-template",
        ),
        ("/v1/payments/checkout", "/v1/payments/checkout"),
        ("/v1/payments/9/confirm", "/v1/payments/{shop_id}/confirm"),
        ("/v1/webhooks/paystack/3", "/v1/webhooks/paystack/{shop_id}"),
        ("/v1/templates/upload", "/v1/templates/upload"),
        (
            "/v1/templates/modern/versions/1.2.0/download",
            "/v1/templates/{template_name}/versions/{version}/download",
        ),
        ("/v1/docs/swagger.json", "/v1/docs/swagger.json"),
        ("/v1/docs/index.html", "/v1/docs/{*path}"),
        ("http://backend:8000/health", "/health"),
        ("/update-data/acme", "/update-data/{subdomain}"),
    ] {
        assert_eq!(template(&routes, path).as_deref(), Some(want), "{path}");
    }
    for path in [
        "/",
        "/v1",
        "/v1/shops//orders",
        "/v1/shops/1/nothing",
        "*",
        "",
        "/v1/shops/1//",
    ] {
        assert_eq!(template(&routes, path), None, "{path}");
    }
}

#[test]
fn a_route_says_where_its_shop_is() {
    let routes = naytife();
    for (path, want) in [
        ("/v1/shops/1/orders", vec![Place::Segment(3, Holds::Id)]),
        ("/v1/webhooks/stripe/1", vec![Place::Segment(4, Holds::Id)]),
        ("/redeploy/acme", vec![Place::Segment(2, Holds::Subdomain)]),
        (
            "/v1/payments/checkout",
            vec![Place::Body("shop_id".into(), Holds::Id)],
        ),
        ("/v1/subdomains/acme/check", vec![]),
        ("/v1/shops", vec![]),
        (
            "/query",
            vec![
                Place::Header(Holds::Subdomain),
                Place::Query("shop_id".into(), Holds::Id),
                Place::HostLabel(Holds::Subdomain),
            ],
        ),
    ] {
        let route = routes.get(routes.find(path).unwrap()).unwrap();
        assert_eq!(route.places.to_vec(), want, "{path}");
    }
}

#[test]
fn bodies_are_kept_only_where_a_rule_reads_them() {
    let mut routes = naytife();
    let rules = Rules::naytife().unwrap();
    routes.attend(&Program::new(&rules, &mut Vec::new()));
    for (method, path, want) in [
        ("POST", "/query", (true, true)),
        ("POST", "/Query/", (true, true)),
        ("GET", "/query", (false, false)),
        ("POST", "/v1/payments/checkout", (true, false)),
        ("POST", "/v1/payments/7/confirm", (true, false)),
        ("GET", "/v1/payments/7/confirm", (false, false)),
        ("POST", "/v1/webhooks/stripe/7", (false, false)),
        ("POST", "/deploy", (true, false)),
        ("POST", "/v1/shops/1/orders", (false, false)),
        ("PUT", "/v1/shops/1/payment-methods/stripe", (false, false)),
    ] {
        let parts = routes.parts(method, path);
        assert_eq!((parts.request, parts.response), want, "{method} {path}");
        assert!(parts.headers.is_empty());
    }
}

#[test]
fn a_target_may_be_absolute() {
    assert_eq!(path("http://a/b?c"), "/b?c");
    assert_eq!(path("http://a"), "http://a");
    assert_eq!(path("/http://a/b"), "/http://a/b");
}
