//! From transcripts to exchanges.

use std::sync::Arc;

use super::{AbortReason, BODY_LIMIT, Correlator, HEADER_LIMIT, KEPT_LIMIT, Parts, Wants};
use crate::correlate::Body;
use crate::decode::Decoder as _;
use crate::decode::Side;
use crate::decode::http1::{Http1, IN_FLIGHT_LIMIT};
use crate::decode::properties::fixtures;
use crate::decode::transcript::{Data, Step, parse};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

struct Everything;

impl Wants for Everything {
    fn parts(&self, _: &str, _: &str) -> Parts {
        Parts {
            request: true,
            response: true,
            headers: std::iter::once("X-Tier".into()).collect(),
        }
    }
}

struct Connection {
    decoder: Http1,
    correlator: Correlator,
    bodies: Vec<Body>,
}

impl Connection {
    fn new() -> Self {
        Self {
            decoder: Http1::default(),
            correlator: Correlator::new(Arc::new(Everything)),
            bodies: Vec::new(),
        }
    }

    fn feed(&mut self, step: &Step) {
        let input = match &step.data {
            Data::Bytes(bytes) => Input::Bytes(bytes),
            Data::Hole(length) => Input::Hole(*length, Cause::Budget),
        };
        let (correlator, bodies) = (&mut self.correlator, &mut self.bodies);
        self.decoder
            .feed(step.side, step.time, input, &mut |message| {
                correlator.on(message, &mut |body| bodies.push(body));
            });
    }

    /// Both directions end in order.
    fn close(mut self, stamp: Timestamp) -> Vec<Body> {
        let (correlator, bodies) = (&mut self.correlator, &mut self.bodies);
        for side in [Side::Client, Side::Server] {
            self.decoder.finish(side, stamp, &mut |message| {
                correlator.on(message, &mut |body| bodies.push(body));
            });
        }
        correlator.end(AbortReason::Closed, stamp, &mut |body| bodies.push(body));
        assert_eq!(correlator.in_flight(), 0);
        self.bodies
    }
}

fn bodies(steps: &[Step]) -> Vec<Body> {
    let mut connection = Connection::new();
    for step in steps {
        connection.feed(step);
    }
    connection.close(steps.last().map_or(Timestamp::default(), |step| step.time))
}

fn text(text: &str) -> Vec<Body> {
    bodies(&parse(text).unwrap())
}

/// `GET /path 200 size`, and of the aborted ones their reason.
fn lines(bodies: &[Body]) -> Vec<String> {
    bodies
        .iter()
        .filter_map(|body| match body {
            Body::Http(exchange) => Some(format!(
                "{} {} {} {}",
                exchange.request.method,
                exchange.request.path,
                exchange.status,
                exchange.response_size
            )),
            Body::HttpAborted(aborted) => Some(format!(
                "{} {} {}",
                aborted.request.method,
                aborted.request.path,
                aborted.reason.label()
            )),
            _ => None,
        })
        .collect()
}

fn whole(bodies: &[Body]) -> Vec<String> {
    let http = |body: &&Body| matches!(body, Body::Http(_));
    bodies
        .iter()
        .filter(http)
        .flat_map(|body| lines(std::slice::from_ref(body)))
        .collect()
}

fn is_balanced(bodies: &[Body]) -> bool {
    let began = bodies
        .iter()
        .filter(|body| matches!(body, Body::HttpBegan))
        .count();
    began == lines(bodies).len()
}

#[test]
fn a_duration_begins_with_the_request_or_with_the_end_of_the_response_before_it() {
    let rows = [
        (
            "idle keep-alive is no latency",
            r#"
            > "GET /a HTTP/1.1\r\n\r\n"
            @ +2ms
            < "HTTP/1.1 204 \r\n\r\n"
            @ +3s
            > "GET /b HTTP/1.1\r\n"
            @ +1ms
            > "\r\n"
            @ +4ms
            < "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"
            @ +5ms
            < "k"
            "#,
            vec![(2.0, 0.0), (10.0, 0.0)],
        ),
        (
            "a pipelined request waits for the one before it",
            r#"
            > "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"
            @ +2ms
            < "HTTP/1.1 204 \r\n\r\n"
            @ +3ms
            < "HTTP/1.1 204 \r\n\r\n"
            "#,
            vec![(2.0, 0.0), (3.0, 2.0)],
        ),
        (
            "an interim response is no end",
            r#"
            > "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
            @ +2ms
            < "HTTP/1.1 100 Continue\r\n\r\n"
            @ +3ms
            > "x"
            @ +4ms
            < "HTTP/1.1 204 \r\n\r\n"
            "#,
            vec![(9.0, 0.0)],
        ),
    ];
    for (what, transcript, expected) in rows {
        let times: Vec<_> = text(transcript)
            .iter()
            .filter_map(|body| match body {
                Body::Http(http) => Some((http.ended.seconds_since(http.began), http.waited)),
                _ => None,
            })
            .map(|(taken, waited)| (taken * 1e3, waited * 1e3))
            .collect();
        assert_eq!(times, expected, "{what}");
    }
}

#[test]
fn real_transcripts_give_one_exchange_for_each_response() {
    let rows: &[(&str, &[&str])] = &[
        ("bad_requests_nginx.txt", &["POST /small 400 309"]),
        ("connect_go.txt", &["CONNECT  200 39"]),
        ("early_response_go.txt", &["POST /early 413 170"]),
        ("expect_continue_go.txt", &["POST /echo 200 3122"]),
        ("sse_abort_go.txt", &["GET /sse closed"]),
        ("websocket_node.txt", &["GET /ws 101 129"]),
    ];
    for (name, expected) in rows {
        let (_, steps) = fixtures("http1")
            .into_iter()
            .find(|(n, _)| n == name)
            .unwrap();
        assert_eq!(lines(&bodies(&steps)), *expected, "{name}");
    }
}

#[test]
fn a_hundred_and_twenty_requests_of_one_write_are_as_many_exchanges() {
    let (_, steps) = fixtures("http1")
        .into_iter()
        .find(|(name, _)| name == "pipelined_nginx.txt")
        .unwrap();
    let bodies = bodies(&steps);
    assert_eq!(whole(&bodies).len(), 120);
    let Some(Body::Http(last)) = bodies.last() else {
        panic!("{bodies:?}");
    };
    assert_eq!(
        (
            last.request.query.as_str(),
            last.request.shop_subdomain.as_str()
        ),
        ("n=119", "s119")
    );
}

/// Asserts that nothing false came out: of each side some of the whole's, in order.
fn is_part_of(part: &[Body], all: &[String], what: &str) {
    assert!(is_balanced(part), "{what}: {part:?}");
    let mut all = all.iter();
    for line in whole(part) {
        assert!(
            all.any(|candidate| *candidate == line),
            "{what}: {line} is false"
        );
    }
}

#[test]
fn a_hole_anywhere_pairs_no_response_with_a_foreign_request() {
    for (name, steps) in fixtures("http1") {
        let all = whole(&bodies(&steps));
        for (index, step) in steps.iter().enumerate() {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            let stride = (bytes.len() / 200).max(1);
            for at in (0..bytes.len()).step_by(stride) {
                for length in [1, 7, 60, 500, usize::MAX] {
                    let end = at.saturating_add(length).min(bytes.len());
                    let data = [
                        Data::Bytes(bytes[..at].to_vec()),
                        Data::Hole((end - at) as u64),
                        Data::Bytes(bytes[end..].to_vec()),
                    ];
                    let holed = data.map(|data| Step {
                        data,
                        ..step.clone()
                    });
                    let mut steps = steps.clone();
                    steps.splice(index..=index, holed);
                    let what = format!("{name} step {index} from {at} to {end}");
                    is_part_of(&bodies(&steps), &all, &what);
                }
            }
        }
    }
}

#[test]
fn begun_anywhere_no_response_meets_a_foreign_request() {
    for (name, steps) in fixtures("http1") {
        // Joined between a pipeline's requests and their answers, nothing tells which are whose.
        if name.starts_with("pipelined") {
            continue;
        }
        let all = whole(&bodies(&steps));
        for (index, step) in steps.iter().enumerate() {
            let Data::Bytes(bytes) = &step.data else {
                continue;
            };
            for at in (0..=bytes.len()).step_by((bytes.len() / 300).max(1)) {
                let mut rest = steps[index..].to_vec();
                rest[0].data = Data::Bytes(bytes[at..].to_vec());
                is_part_of(
                    &bodies(&rest),
                    &all,
                    &format!("{name} step {index} from {at}"),
                );
            }
        }
    }
}

#[test]
fn interleaved_connections_do_not_know_of_each_other() {
    let all = fixtures("http1");
    let alone: Vec<_> = all.iter().map(|(_, steps)| lines(&bodies(steps))).collect();
    let mut connections: Vec<_> = all.iter().map(|_| Connection::new()).collect();
    let longest = all.iter().map(|(_, steps)| steps.len()).max().unwrap();
    for index in 0..longest {
        for ((_, steps), connection) in all.iter().zip(&mut connections) {
            if let Some(step) = steps.get(index) {
                connection.feed(step);
            }
        }
    }
    let together: Vec<_> = connections
        .into_iter()
        .map(|c| lines(&c.close(Timestamp::default())))
        .collect();
    assert_eq!(together, alone);
}

#[test]
fn only_the_beginning_of_a_json_body_is_kept() {
    let long = "1".repeat(BODY_LIMIT + 10);
    let post = |fields: &str, body: &str, length: usize| {
        format!(
            "> \"POST / HTTP/1.1\\r\\n{fields}\\r\\nContent-Length: {length}\\r\\n\\r\\n\"\n{body}\n\
             < \"HTTP/1.1 200 OK\\r\\n{fields}\\r\\nContent-Length: 2\\r\\n\\r\\n[]\""
        )
    };
    let json = "Content-Type: application/json";
    let rows = [
        (post(json, "> \"{}\"", 2), 2, 2),
        (
            post(json, &format!("> \"{long}\""), long.len()),
            BODY_LIMIT,
            2,
        ),
        (post(json, "> \"[\"\n~ > 5\n> \"]\"", 7), 1, 2),
        (post("Content-Type: text/plain", "> \"{}\"", 2), 0, 0),
        (
            post(
                &format!("{json}\\r\\nContent-Encoding: gzip"),
                "> \"{}\"",
                2,
            ),
            0,
            0,
        ),
    ];
    for (transcript, request, response) in rows {
        let bodies = text(&transcript);
        let Some(Body::Http(http)) = bodies.last() else {
            panic!("{transcript:.200}: {bodies:?}");
        };
        let kept = (http.request.body.len(), http.response_body.len());
        assert_eq!(kept, (request, response), "{transcript:.200}");
    }
}

#[test]
fn of_headers_only_short_ones_that_rules_name_are_kept() {
    let long = "g".repeat(HEADER_LIMIT + 1);
    for (fields, kept) in [
        ("x-tier: gold\\r\\nAuthorization: s3cret", Some("gold")),
        (
            "X-Tier: \\r\\nX-Tier: gold\\r\\nX-Tier: silver",
            Some("gold"),
        ),
        (&format!("X-Tier: {long}"), None),
        ("X-Tiers: gold", None),
    ] {
        let transcript = format!(
            "> \"GET / HTTP/1.1\\r\\n{fields}\\r\\n\\r\\n\"\n< \"HTTP/1.1 204 \\r\\n\\r\\n\""
        );
        let bodies = text(&transcript);
        let Some(Body::Http(http)) = bodies.last() else {
            panic!("{fields}: {bodies:?}");
        };
        let mut headers = http.request.headers.iter();
        assert_eq!(headers.next().map(|(_, value)| value.as_str()), kept);
        assert!(headers.next().is_none());
    }
}

#[test]
fn requests_in_flight_are_remembered_within_a_budget() {
    let mut connection = Connection::new();
    let (path, field) = ("p".repeat(3000), "h".repeat(250));
    for _ in 0..IN_FLIGHT_LIMIT {
        let request = format!(
            "POST /{path}?{path} HTTP/1.1\r\nHost: {field}\r\nX-Forwarded-Host: {field}\r\n\
             Content-Type: application/json\r\nContent-Length: 3000\r\n\r\n{path}"
        );
        connection.feed(&Step {
            side: Side::Client,
            time: Timestamp(1),
            data: Data::Bytes(request.into_bytes()),
        });
    }
    assert_eq!(connection.correlator.in_flight(), IN_FLIGHT_LIMIT);
    let bodies = connection.close(Timestamp(2));
    assert_eq!(lines(&bodies).len(), IN_FLIGHT_LIMIT);
    let kept: usize = bodies
        .iter()
        .map(|body| match body {
            Body::HttpAborted(aborted) => {
                let request = &aborted.request;
                let texts = request.path.len() + request.query.len() + request.host.len();
                texts + request.forwarded_host.len() + request.body.len()
            }
            _ => 0,
        })
        .sum();
    assert!(kept <= 3 * KEPT_LIMIT, "{kept}");
}

#[test]
fn a_debug_line_shows_neither_query_nor_body() {
    let shown = format!(
        "{:?}",
        text(
            r#"
            > "POST /p?s3cret HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n\"s3cret\""
            < "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n\"s3cret\""
            "#
        )
    );
    assert!(shown.contains("/p") && !shown.contains("s3cret") && !shown.contains("115, 51"));
}
