//! What arbitrary bytes may not do to a decoder and the correlator behind it.

use std::sync::Arc;

use super::http::{self, AbortReason, Parts, Wants};
use super::postgres::{self, Interest, Shared, Statement, Wanted};
use super::{Body, redis};
use crate::decode::fuzz::{says, survives};
use crate::decode::http1::Http1;
use crate::decode::postgres::Postgres;
use crate::decode::redis::{Message, Redis};

/// Wants all there is.
struct All;

impl Wants for All {
    fn parts(&self, _: &str, _: &str) -> Parts {
        Parts {
            request: true,
            response: true,
            headers: std::iter::once("host".into()).collect(),
        }
    }
}

impl Interest for All {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::new(Wanted {
            parameters: vec![1, 2],
            columns: vec!["id".into(), "shop_id".into()],
            rows: false,
        })
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        None
    }
}

/// Every request that began ends once, and no duration is negative.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn http1(data: &[u8]) {
    survives(Http1::default(), data);
    let mut correlator = http::Correlator::new(Arc::new(All));
    let mut open = 0_i64;
    let mut count = |body: Body| {
        match body {
            Body::HttpBegan => open += 1,
            Body::Http(exchange) => {
                open -= 1;
                assert!(exchange.began <= exchange.ended && exchange.waited >= 0.0);
            }
            Body::HttpAborted(_) => open -= 1,
            other => unreachable!("HTTP says {other:?}"),
        }
        assert!(open >= 0, "more ends than beginnings");
    };
    let time = says(Http1::default(), data, &mut |message| {
        correlator.on(message, &mut count);
    });
    correlator.end(AbortReason::Closed, time, &mut count);
    assert_eq!(open, 0, "requests without an end");
}

/// What is measured ended after it began, and a time that is not known is none.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn postgres(data: &[u8]) {
    survives(Postgres::new(), data);
    let mut correlator = postgres::Correlator::new(Arc::new(Shared::new(Box::new(All))));
    let mut last = crate::time::Timestamp::default();
    let mut check = |body: Body| {
        if let Body::Sql(execution) = body {
            assert!(execution.began <= execution.ended, "{execution:?}");
            assert!(execution.seconds >= 0.0 && execution.waited >= 0.0);
            // An hour is longer than any input here.
            assert!(!execution.timed || execution.seconds < 3600.0);
            assert!(execution.columns.len() <= 64);
            last = last.max(execution.ended);
        }
    };
    let time = says(Postgres::new(), data, &mut |message| {
        correlator.on(&message, &mut check);
    });
    correlator.end(time, &mut check);
    assert!(last <= time, "an execution ended after the last byte");
}

/// Every command that is told has one exchange; so has one that was hidden and answered.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn redis(data: &[u8]) {
    for decoder in [Redis::opened, Redis::joined] {
        survives(decoder(), data);
        let mut correlator = redis::Correlator::new();
        let (mut commands, mut exchanges) = (0_u64, 0_u64);
        let mut count = |body: Body| {
            let Body::Redis(exchange) = body else {
                unreachable!("Redis says {body:?}")
            };
            exchanges += 1;
            assert!(exchange.began <= exchange.ended && exchange.waited >= 0.0);
        };
        let time = says(decoder(), data, &mut |message| {
            commands += u64::from(matches!(message, Message::Request(_)));
            correlator.on(message, &mut count);
        });
        correlator.end(time, &mut count);
        assert!(exchanges >= commands, "{exchanges} of {commands} commands");
    }
}

#[cfg(test)]
mod tests {
    use super::{http1, postgres, redis};

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            http1(&data);
            postgres(&data);
            redis(&data);
        }
    }
}
