//! What a request costs from bytes to exchange: decode and correlate, one keep-alive connection.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use observer::correlate::http::{Correlator, Parts, Wants};
use observer::decode::http1::Http1;
use observer::decode::{Decoder as _, Side};
use observer::reassemble::Input;
use observer::time::Timestamp;

/// What a proxy in front of the backend sends.
const REQUEST: &[u8] = b"GET /v1/shops/42/orders/1001?expand=items HTTP/1.1\r\n\
    Host: backend:8000\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhQGIuYyJ9.c2ln\r\n\
    X-Forwarded-For: 10.0.0.1\r\n\
    X-Forwarded-Host: acme.naytife.com\r\n\
    X-Request-Id: 7b0d9f1e-52b8-4f0a-9a55-0f4a3b1d2c3e\r\n\
    X-User-Id: someone@example.com\r\n\r\n";

/// What the backend answers.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Wed, 25 Nov 2026 18:24:40 GMT\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 64\r\n\
    X-Request-Id: 7b0d9f1e-52b8-4f0a-9a55-0f4a3b1d2c3e\r\n\r\n\
    {\"status\":\"success\",\"data\":{\"order_id\":1001,\"amount\":199900}}    ";

struct Bodies(bool);

impl Wants for Bodies {
    fn parts(&self, _: &str, _: &str) -> Parts {
        Parts {
            request: self.0,
            response: self.0,
            ..Parts::default()
        }
    }
}

fn exchanges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1");
    group.throughput(Throughput::Elements(1));
    for (name, wanted) in [
        ("keep_alive_get", false),
        ("keep_alive_get_body_kept", true),
    ] {
        let mut decoder = Http1::default();
        let mut correlator = Correlator::new(Arc::new(Bodies(wanted)));
        let mut now = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut whole = 0;
                for (side, bytes) in [(Side::Client, REQUEST), (Side::Server, RESPONSE)] {
                    now += 1000;
                    let input = Input::Bytes(black_box(bytes));
                    decoder.feed(side, Timestamp(now), input, &mut |message| {
                        correlator.on(message, &mut |body| {
                            black_box(&body);
                            whole += 1;
                        });
                    });
                }
                assert_eq!(whole, 2, "began and ended");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
