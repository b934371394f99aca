//! What no client or server of repute sends, and what only patience makes them send.

use std::time::Duration;

use anyhow::Result;

use super::scene::Scene;
use super::talk::Turn::{
    Client, ClientBytewise, ClientEnds, ClientResets, Idle, Server, ServerBytewise, ServerEnds,
    ServerResets,
};
use super::tally::{ABORTED, Tally};

const GET: &str = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn folded_fields_count_once_even_where_they_say_the_length() -> Result<()> {
    let turns = [
        Client("GET /plain HTTP/1.1\r\nHost: a\r\nX-Folded: one\r\n two\r\n\tthree\r\n\r\n"),
        Server("HTTP/1.1 200 OK\r\nX-Folded: one\r\n two\r\nContent-Length: 2\r\n\r\nok"),
        Client("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 4\r\n\r\nsaid"),
        Server("HTTP/1.1 201 Created\r\nContent-Length:\r\n\t4\r\n\r\nsaid"),
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 1), ("POST /plain 201", 1)])
}

#[test]
fn heads_of_bare_line_feeds_count_once() -> Result<()> {
    let turns = [
        Client("POST /plain HTTP/1.1\nHost: a\nContent-Length: 4\n\nsaid"),
        Server("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nsaid\n0\n\n"),
        Client(GET),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("POST /plain 200", 1), ("GET /plain 200", 1)])
}

#[test]
fn a_length_said_twice_is_that_length() -> Result<()> {
    let turns = [
        Client("POST /plain HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nsaid"),
        Server("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
        Client("PUT /plain HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Client("4\r\nsaid\r\n0\r\n\r\n"),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("POST /plain 200", 1), ("PUT /plain 200", 1)])
}

#[test]
fn a_request_of_two_lengths_counts_with_its_refusal_and_its_body_is_malformed() -> Result<()> {
    let scene = Scene::new()?;
    scene.talk(&[
        Client("POST /plain HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nsaid"),
        Server("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"),
        ServerEnds,
    ])?;
    let scrape = scene.counts(&Tally::from([("POST /plain 400", 1)]))?;
    let lost = scrape
        .select("observer_bytes_total")
        .with("outcome", "lost");
    // At each of two ends.
    lost.clone().with("reason", "malformed").is(2 * 4)?;
    lost.is(2 * 4)
}

#[test]
fn a_response_of_two_lengths_is_not_believed_and_the_next_request_counts() -> Result<()> {
    let scene = Scene::new()?;
    scene.talk(&[
        Client(GET),
        Server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nno"),
        Client(GET),
        Server(OK),
    ])?;
    let scrape = scene.counts(&Tally::from([(ABORTED, 1), ("GET /plain 200", 1)]))?;
    let aborted = scrape.select("naytife_http_requests_aborted_total");
    aborted.with("reason", "lost").is(1)?;
    let lost = scrape
        .select("observer_bytes_total")
        .with("outcome", "lost");
    lost.clone().with("reason", "malformed").is(2 * 2)?;
    lost.is(2 * 2)
}

#[test]
fn an_answer_before_the_upload_ends_counts_once_and_the_connection_goes_on() -> Result<()> {
    let turns = [
        Client("POST /plain HTTP/1.1\r\nContent-Length: 8\r\n\r\nfour"),
        Server("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"),
        Client("more"),
        Client("PUT /plain HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfo"),
        Server("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        Client("ur\r\n4\r\nmore\r\n0\r\n\r\n"),
        Client(GET),
        Server(OK),
    ];
    let issued = [
        ("POST /plain 413", 1),
        ("PUT /plain 403", 1),
        ("GET /plain 200", 1),
    ];
    let scene = Scene::new()?;
    scene.talk(&turns)?;
    // What of an upload follows its answer is in no size.
    Scene::nothing_lost(&scene.counts(&issued.into())?)
}

#[test]
fn a_storm_of_interim_answers_is_no_answer() -> Result<()> {
    let storm = [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 199 Whatever\r\nContent-Length: 7\r\n\r\n",
    ]
    .concat()
    .repeat(50);
    let turns = [
        Client("POST /plain HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
        Server(&storm),
        Client("said"),
        Server(&storm),
        Server(OK),
        Client(GET),
        Server(OK),
    ];
    let scene = Scene::new()?;
    scene.talk(&turns)?;
    let issued = [("POST /plain 200", 1), ("GET /plain 200", 1)];
    Scene::nothing_lost(&scene.counts(&issued.into())?)
}

#[test]
fn a_client_that_ends_its_half_is_answered_and_counted() -> Result<()> {
    let turns = [Client(GET), Client(GET), ClientEnds, Server(OK), Server(OK)];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 2)])
}

#[test]
fn an_answer_that_ends_with_the_servers_half_is_whole() -> Result<()> {
    let scene = Scene::new()?;
    let turns = [
        Client("GET /plain HTTP/1.0\r\n\r\n"),
        Server("HTTP/1.0 200 OK\r\n\r\nuntil the "),
        Server("end"),
        ServerEnds,
    ];
    scene.talk_counts(&turns, [("GET /plain 200", 1)])
}

#[test]
fn http_1_0_with_a_length_may_keep_its_connection() -> Result<()> {
    let turns = [
        Client("GET /plain HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        Server("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
        Client("GET /plain HTTP/1.0\r\n\r\n"),
        Server("HTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
        ServerEnds,
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 1), ("GET /plain 404", 1)])
}

#[test]
fn chunk_extensions_and_trailers_are_no_messages() -> Result<()> {
    let turns = [
        Client("POST /plain HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"),
        Client("4;note=\"GET / HTTP/1.1\"\r\nsaid\r\n"),
        Client("0;last\r\nX: GET / HTTP/1.1\r\nY: 2\r\n\r\n"),
        Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        Server("000a ;x\r\nHTTP/1.1 2\r\n0\r\nX: HTTP/1.1 500 No\r\n\r\n"),
        Client(GET),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("POST /plain 200", 1), ("GET /plain 200", 1)])
}

#[test]
fn answers_without_a_body_have_none_whatever_their_length_says() -> Result<()> {
    let turns = [
        Client("HEAD /plain HTTP/1.1\r\n\r\n"),
        Server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        Client("HEAD /plain HTTP/1.1\r\n\r\n"),
        Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Client(GET),
        Server("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
        Client(GET),
        Server("HTTP/1.1 204 No Content\r\n\r\n"),
        Client(GET),
        Server(OK),
    ];
    let issued = [
        ("HEAD /plain 200", 2),
        ("GET /plain 304", 1),
        ("GET /plain 204", 1),
        ("GET /plain 200", 1),
    ];
    Scene::new()?.talk_counts(&turns, issued)
}

#[test]
fn ten_requests_in_one_segment_meet_their_own_answers() -> Result<()> {
    let requests = [
        "HEAD /plain HTTP/1.1\r\n\r\n",
        "POST /plain HTTP/1.1\r\nContent-Length: 4\r\n\r\nsaid",
        "GET /plain HTTP/1.1\r\n\r\n",
        "DELETE /plain HTTP/1.1\r\n\r\n",
        "GET /plain HTTP/1.1\r\n\r\n",
    ]
    .concat()
    .repeat(2);
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        OK,
    ]
    .concat()
    .repeat(2);
    let issued = [
        ("HEAD /plain 200", 2),
        ("POST /plain 201", 2),
        ("GET /plain 304", 2),
        ("DELETE /plain 204", 2),
        ("GET /plain 200", 2),
    ];
    Scene::new()?.talk_counts(&[Client(&requests), Server(&answers)], issued)
}

#[test]
fn a_request_line_in_two_segments_counts_once() -> Result<()> {
    let turns = [
        Client("GE"),
        Client("T /plain HTTP/1.1\r\n\r\n"),
        Server(OK),
        Client("GET /pla"),
        Client("in HTTP/1.1\r\n\r\n"),
        Server("HTTP/1.1 20"),
        Server("0 OK\r\nContent-Length: 2\r\n\r\nok"),
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 2)])
}

#[test]
fn three_idle_seconds_before_a_request_are_not_its_duration() -> Result<()> {
    let scene = Scene::new()?;
    let idle = Idle(Duration::from_secs(3));
    scene.talk(&[idle, Client(GET), Server(OK)])?;
    let scrape = scene.counts(&Tally::from([("GET /plain 200", 1)]))?;
    for family in ["request", "client_request"] {
        let buckets = scrape.select(&format!("naytife_http_{family}_duration_seconds_bucket"));
        buckets.with("le", "1").is(1)?;
    }
    Ok(())
}

#[test]
fn a_byte_in_each_segment_counts_once() -> Result<()> {
    let turns = [
        ClientBytewise("POST /plain HTTP/1.1\r\nContent-Length: 4\r\n\r\nsaid"),
        ServerBytewise("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ClientBytewise(GET),
        ServerBytewise(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("POST /plain 200", 1), ("GET /plain 200", 1)])
}

#[test]
fn an_answer_that_breaks_off_is_aborted_with_its_reason() -> Result<()> {
    let scene = Scene::new()?;
    let half = Server("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
    let event = Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n");
    for [answer, end] in [
        [half, ClientResets],
        [half, ServerResets],
        [half, ServerEnds],
        [event, ClientResets],
        [event, ClientEnds],
        [Server(""), ServerResets],
        [Server(""), ServerEnds],
        [Server(""), ClientEnds],
    ] {
        scene.talk(&[Client(GET), Server(OK), Client(GET), answer, end])?;
    }
    let scrape = scene.counts(&Tally::from([("GET /plain 200", 8), (ABORTED, 8)]))?;
    for family in ["requests", "client_requests"] {
        let aborted = scrape.select(&format!("naytife_http_{family}_aborted_total"));
        aborted.clone().with("reason", "reset").is(4)?;
        aborted.with("reason", "closed").is(4)?;
    }
    Scene::nothing_lost(&scrape)
}

#[test]
fn a_request_that_breaks_off_in_its_head_is_none_and_in_its_body_aborted() -> Result<()> {
    let scene = Scene::new()?;
    scene.talk(&[Client(GET), Server(OK), Client("GET /plain HT"), ClientEnds])?;
    let begun = Client("POST /plain HTTP/1.1\r\nContent-Length: 1000\r\n\r\nhalf");
    scene.talk(&[begun, ClientEnds])?;
    scene.talk(&[begun, ClientResets])?;
    let scrape = scene.counts(&Tally::from([("GET /plain 200", 1), (ABORTED, 2)]))?;
    Scene::nothing_lost(&scrape)
}

#[test]
fn an_answer_that_nobody_asked_for_is_none() -> Result<()> {
    let scene = Scene::new()?;
    let late = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    scene.talk(&[Client(GET), Server(OK), Server(late), ServerEnds])?;
    scene
        .counts(&Tally::from([("GET /plain 200", 1)]))
        .map(drop)
}
