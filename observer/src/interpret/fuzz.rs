//! What requests and rules made of arbitrary bytes may not do.

use std::sync::{Arc, OnceLock};

use super::{Interpreter, Peer, Plan, Rules, Services, Settings};
use crate::correlate::http::{self, Request};
use crate::correlate::{Body, Connection, Exchange};
use crate::decode::Side;
use crate::export::{Fact, Symbol, Symbols};
use crate::reassemble::ConnectionKey;
use crate::time::Timestamp;

const LABEL_VALUES: usize = 64;

/// Everybody is the same workload.
pub(crate) struct One;

impl Services for One {
    fn service(&mut self, _: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern("one")
    }

    fn peer(&mut self, _: &Connection, symbols: &mut Symbols) -> Peer {
        Peer::Named(symbols.intern("other"))
    }
}

/// The rules built in, made ready once.
pub(crate) fn plan() -> Option<Arc<Plan>> {
    static PLAN: OnceLock<Option<Arc<Plan>>> = OnceLock::new();
    let make = || Plan::new(&Rules::naytife().ok()?).ok();
    PLAN.get_or_init(make).clone()
}

/// A request a line, its parts divided by spaces: method, path, query, host, subdomain, body, the
/// response's body. Every fact has a plausible value and every label its bound.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn requests(data: &[u8]) {
    let Some(plan) = plan() else {
        unreachable!("the rules built in are none")
    };
    let settings = Settings {
        label_values: LABEL_VALUES,
        trust_path_ids: data.len().is_multiple_of(2),
        trusted_path_ids: 3,
        unmatched_endpoints: 3,
        graphql_operations: 3,
        pending: 2,
        ..Settings::default()
    };
    let mut interpreter = Interpreter::new(plan, &settings, Box::new(One));
    let connection = Connection {
        key: ConnectionKey(1),
        identity: observer_ebpf::Identity::default(),
        vantage: Side::Server,
        other_end: None,
        elsewhere: false,
        joined_sql: false,
    };
    let connection = Body::Connection(Arc::new(connection));
    let requests = data.split(|byte| *byte == b'\n').map(request);
    for (time, body) in (1..).zip(std::iter::once(connection).chain(requests)) {
        let exchange = Exchange {
            connection: ConnectionKey(1),
            ended: Timestamp(time),
            body,
        };
        interpreter.exchange(&exchange, &mut |fact| plausible(&fact));
    }
    interpreter.settle(Timestamp(u64::MAX), &mut |fact| plausible(&fact));
    let symbols = interpreter.symbols();
    assert!(symbols.stored() <= LABEL_VALUES, "more labels than may be");
}

fn request(line: &[u8]) -> Body {
    let mut parts = line.splitn(7, |byte| *byte == b' ');
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (method, path, query) = (text(), text(), text());
    let (host, shop_subdomain) = (text(), text());
    let (body, response_body) = (text().into_bytes(), text().into_bytes());
    Body::Http(Box::new(http::Exchange {
        request: Request {
            method,
            path,
            query,
            host,
            shop_subdomain,
            body,
            ..Request::default()
        },
        status: 200,
        began: Timestamp(0),
        waited: 0.0,
        ended: Timestamp(1),
        response_size: 1,
        response_body,
    }))
}

fn plausible(fact: &Fact) {
    assert!(fact.value.is_finite(), "{fact:?}");
    assert!(fact.labels.len() == fact.metric.row().labels.len());
}

/// A file of rules: refused in a sentence, or good for a plan.
///
/// # Panics
/// Where it is neither; the target of fuzzers.
pub fn rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let plan = Rules::parse(&text).and_then(|rules| Plan::new(&rules));
    if let Err(error) = plan {
        assert!(!error.to_string().is_empty(), "refused without a word");
    }
}

#[cfg(test)]
mod tests {
    use super::{requests, rules};

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..500)) {
            requests(&data);
            rules(&data);
        }
    }
}
