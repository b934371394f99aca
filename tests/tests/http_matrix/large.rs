//! Bodies of 8 MiB, of which the kernel copies 64 KiB a turn: counts and sizes stay exact by
//! position, and what is hidden is named.

use anyhow::Result;

use super::scene::Scene;
use super::talk::Turn::{Client, ClientBlock, Server, ServerBlock, ServerEnds};
use super::tally::{ABORTED, Tally};

const LARGE: usize = 8 << 20;
const GET: &str = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn bodies_of_8_mib_and_known_length_are_counted_with_every_byte() -> Result<()> {
    let head = format!("Content-Length: {LARGE}\r\n\r\n");
    let (post, ok) = (
        format!("POST /plain HTTP/1.1\r\n{head}"),
        format!("HTTP/1.1 200 OK\r\n{head}"),
    );
    let turns = [
        Client(GET),
        Server(&ok),
        ServerBlock(LARGE),
        Client(&post),
        ClientBlock(LARGE),
        Server(&ok),
        ServerBlock(LARGE),
        Client(GET),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 2), ("POST /plain 200", 1)])
}

#[test]
fn bodies_of_8_mib_in_chunks_are_counted_with_every_byte() -> Result<()> {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let (post, ok) = (
        format!("POST /plain HTTP/1.1\r\n{chunked}"),
        format!("HTTP/1.1 200 OK\r\n{chunked}"),
    );
    // Borders of chunks lie where nothing is copied.
    let chunk = format!("{:x}\r\n{}\r\n", 3 << 16, "x".repeat(3 << 16));
    let body = chunk.repeat(LARGE / chunk.len()) + "0\r\n\r\n";
    let turns = [
        Client(GET),
        Server(&ok),
        Server(&body),
        Client(&post),
        Client(&body),
        Server(&ok),
        Server(&body),
        Client(GET),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 2), ("POST /plain 200", 1)])
}

#[test]
fn an_answer_that_ends_with_its_connection_is_counted_with_every_byte() -> Result<()> {
    let turns = [
        Client("GET /plain HTTP/1.0\r\n\r\n"),
        Server("HTTP/1.0 200 OK\r\n\r\n"),
        ServerBlock(LARGE),
        ServerEnds,
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 1)])
}

#[test]
fn a_short_answer_behind_a_large_one_in_its_turn_is_met() -> Result<()> {
    let ok = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let both = GET.repeat(2);
    let turns = [
        Client(&both),
        Server(&ok),
        ServerBlock(LARGE),
        Server(OK),
        Client(GET),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 3)])
}

#[test]
fn a_long_head_behind_a_large_body_in_its_turn_is_unknown_and_named() -> Result<()> {
    let scene = Scene::new()?;
    let ok = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let long = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\n{}",
        "x".repeat(500),
        "Content-Length: 0\r\n\r\n"
    );
    let both = GET.repeat(2);
    scene.talk(&[
        Client(&both),
        Server(&ok),
        ServerBlock(LARGE),
        Server(&long),
        Client(GET),
        Server(OK),
    ])?;
    let scrape = scene.counts(&Tally::from([("GET /plain 200", 2), (ABORTED, 1)]))?;
    let aborted = scrape.select("naytife_http_requests_aborted_total");
    aborted.with("reason", "lost").is(1)?;
    let lost = scrape
        .select("observer_bytes_total")
        .with("outcome", "lost");
    lost.clone()
        .with("reason", "budget")
        .is(2 * long.len() as u64)?;
    lost.is(2 * long.len() as u64)
}

#[test]
fn a_chunk_of_8_mib_is_passed_over_up_to_the_trailers_behind_it() -> Result<()> {
    let chunk = format!("{LARGE:x}\r\n");
    let turns = [
        Client(GET),
        Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Server(&chunk),
        ServerBlock(LARGE),
        Server("\r\n0\r\nX-Sum: 1\r\n\r\n"),
        Client(GET),
        Server(OK),
    ];
    Scene::new()?.talk_counts(&turns, [("GET /plain 200", 2)])
}
