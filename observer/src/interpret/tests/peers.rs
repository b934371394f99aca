//! Who is at the other end: hosts by the names that their clients call them by.

use super::*;

/// A connection to or from a host of which only the address is known.
fn external(key: u64, vantage: Side) -> Connection {
    let known = connection(key, 1, vantage);
    Connection {
        identity: Identity {
            remote_port: EXTERNAL,
            ..known.identity
        },
        ..known
    }
}

fn asking(host: &str) -> Request {
    Request {
        method: "GET".into(),
        path: "/v1/charges".into(),
        host: host.into(),
        ..Request::default()
    }
}

fn peers(story: &Story) -> Vec<&str> {
    let seen = story.see("tcp_round_trip_seconds");
    seen.into_iter().map(|(labels, ..)| labels).collect()
}

#[test]
fn a_host_is_called_as_its_client_calls_it_from_then_on() {
    let mut story = Story::new(&Settings::default());
    story.meet(external(1, Side::Client));
    story.at(1, 1, Body::RoundTrip(1));
    story.at(1, 2, Body::ServerName("API.stripe.com".into()));
    story.at(1, 3, Body::RoundTrip(1));
    // Said again who it is, as where its vantage is known.
    story.meet(external(1, Side::Client));
    story.at(1, 4, Body::ServerName("other.example".into()));
    story.at(1, 5, Body::RoundTrip(1));
    assert_eq!(peers(&story), ["{s1,api.stripe.com}", "{s1,external}"]);
}

#[test]
fn a_plaintext_host_is_called_as_its_first_request_does_that_one_included() {
    let mut story = Story::new(&Settings::default());
    story.meet(external(1, Side::Client));
    for host in ["192.0.2.7", "", "hooks.example:8080", "other.example"] {
        story.request(1, 1, 200, asking(host), b"");
    }
    let seen = story.see("http_client_request_duration_seconds");
    let by_peer: Vec<_> = seen
        .iter()
        .map(|(labels, _, times)| (*labels, *times))
        .collect();
    assert_eq!(
        by_peer,
        [
            ("{s1,external,GET,/v1/charges,200}", 2),
            ("{s1,hooks.example,GET,/v1/charges,200}", 2)
        ]
    );
    let edges = story.see("service_requests_total");
    let edges: Vec<_> = edges
        .iter()
        .map(|(labels, sum, _)| (*labels, *sum))
        .collect();
    assert_eq!(
        edges,
        [
            ("{s1,external,http,success}", 2.0),
            ("{s1,hooks.example,http,success}", 2.0)
        ]
    );
}

#[test]
fn nobody_names_himself_nor_one_who_has_a_name() {
    let mut story = Story::new(&Settings::default());
    story.meet(external(1, Side::Server));
    story.request(1, 1, 200, asking("shop.example"), b"");
    story.at(1, 2, Body::RoundTrip(1));
    story.connect(2, 2, Side::Client);
    story.at(2, 1, Body::ServerName("db.example".into()));
    story.request(2, 2, 200, asking("db.example"), b"");
    story.at(2, 3, Body::RoundTrip(1));
    assert_eq!(peers(&story), ["{s1,external}", "{s2,p5432}"]);
}

#[test]
fn past_the_budget_a_host_is_one_of_the_others() {
    let mut story = Story::new(&Settings {
        external_hosts: 2,
        ..Settings::default()
    });
    for (key, host) in [
        (1, "a.example"),
        (2, "b.example"),
        (3, "c.example"),
        (4, "a.example"),
    ] {
        story.meet(external(key, Side::Client));
        story.at(key, 1, Body::ServerName(host.into()));
        story.at(key, 2, Body::RoundTrip(1));
    }
    let named = ["{s1,_other}", "{s1,a.example}", "{s1,b.example}"];
    assert_eq!(peers(&story), named);
}

fn opened(story: &Story) -> Vec<(&str, f64)> {
    let seen = story.see("tcp_connections_opened_total");
    seen.into_iter()
        .map(|(labels, sum, _)| (labels, sum))
        .collect()
}

#[test]
fn a_connection_to_a_host_is_counted_once_it_is_called_or_was_not_for_a_while() {
    let mut story = Story::new(&Settings::default());
    let names = ["early.example", "late.example", "too-late.example"];
    for (key, name) in (1..).zip(names) {
        story.meet(external(key, Side::Client));
        story.at(key, key, Body::Opened);
        if key == 1 {
            story.at(key, 4, Body::ServerName(name.into()));
        }
    }
    story.settle(4);
    assert_eq!(opened(&story), [("{s1,early.example}", 1.0)]);
    story.at(2, 5, Body::ServerName(names[1].into()));
    let told = [("{s1,early.example}", 1.0), ("{s1,late.example}", 1.0)];
    assert_eq!(opened(&story), told);
    story.settle(100_000_003);
    story.at(3, 100_000_004, Body::ServerName(names[2].into()));
    story.settle(u64::MAX);
    let all = [told[0], ("{s1,external}", 1.0), told[1]];
    assert_eq!(opened(&story), all);
}

/// The server's end is told a moment after the connect succeeded.
struct MetLate(bool);

impl Services for MetLate {
    fn service(&mut self, _: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern("api")
    }

    fn peer(&mut self, _: &Connection, symbols: &mut Symbols) -> Peer {
        if std::mem::replace(&mut self.0, true) {
            Peer::Named(symbols.intern("postgres"))
        } else {
            Peer::External
        }
    }
}

#[test]
fn a_connection_that_was_opened_has_the_peer_that_is_met_right_after() {
    let mut story = Story::new(&Settings::default());
    let plan = Plan::new(&Rules::naytife().unwrap()).unwrap();
    let services = Box::new(MetLate(false));
    story.interpreter = Interpreter::new(plan, &Settings::default(), services);
    story.meet(connection(1, 1, Side::Client));
    story.at(1, 1, Body::Opened);
    assert!(story.see("tcp_connections_opened_total").is_empty());
    story.settle(1);
    story.at(1, 2, Body::RoundTrip(1));
    assert_eq!(peers(&story), ["{api,postgres}"]);
    let opened = story.see("tcp_connections_opened_total");
    assert_eq!(opened, [("{api,postgres}", 1.0, 1)]);
}
