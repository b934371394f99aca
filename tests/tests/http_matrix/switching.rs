//! Connections that become something else, and those that do not.

use anyhow::Result;

use super::scene::Scene;
use super::talk::Turn::{Client, ClientEnds, Server, ServerEnds};
use super::talk::said;

const GET: &str = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const WEBSOCKET: &str = "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const CONNECT: &str = "CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n";

/// What looks like HTTP behind a switch is none.
const FALSE_FRIENDS: [super::talk::Turn<'static>; 6] = [
    Client(GET),
    Server(OK),
    Client("\u{1}\u{23}GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"),
    Server("HTTP/1.1 500 Internal Server Error\r\n\r\n"),
    ClientEnds,
    ServerEnds,
];

/// A switch that is agreed on is one exchange; every byte behind it is skipped, at both ends.
fn switches(request: &str, answer: &str, issued: &str) -> Result<()> {
    let scene = Scene::new()?;
    scene.talk(&[&[Client(request), Server(answer)], &FALSE_FRIENDS[..]].concat())?;
    let scrape = scene.counts(&[(issued, 1)].into())?;
    Scene::nothing_lost(&scrape)?;
    let (client, server) = said(&FALSE_FRIENDS);
    let skipped = scrape
        .select("observer_bytes_total")
        .with("outcome", "skipped");
    let behind = 2 * (client + server) as u64;
    skipped.clone().with("reason", "upgraded").is(behind)?;
    skipped.is(behind)
}

#[test]
fn frames_of_a_websocket_that_look_like_requests_are_none() -> Result<()> {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    switches(WEBSOCKET, answer, "GET /plain 101")
}

#[test]
fn requests_inside_a_tunnel_are_none() -> Result<()> {
    let answer = "HTTP/1.1 200 Connection established\r\n\r\n";
    switches(CONNECT, answer, "CONNECT _other 200")
}

#[test]
fn a_switch_that_is_refused_is_an_exchange_like_any_other() -> Result<()> {
    let turns = [
        Client(WEBSOCKET),
        Server(
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno",
        ),
        Client(WEBSOCKET),
        Server(OK),
        Client(CONNECT),
        Server("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"),
        Client(GET),
        Server(OK),
    ];
    let issued = [
        ("GET /plain 426", 1),
        ("GET /plain 200", 2),
        ("CONNECT _other 407", 1),
    ];
    Scene::new()?.talk_counts(&turns, issued)
}
