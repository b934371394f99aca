//! The ways a server's bytes take through the kernel.

use std::fs;

use anyhow::{Result, ensure};
use observer_tests::apps::App;
use observer_tests::network::SERVER;
use observer_tests::nginx::Nginx;

use crate::scene::{Scene, counted};

/// Small bodies, and some that take many segments.
const TARGETS: [&str; 6] = [
    "/",
    "/bytes/1",
    "/bytes/100000",
    "/v1/shops/7",
    "/bytes/1000000",
    "/bytes/0",
];

fn answers(way: &str) -> Result<()> {
    let scene = Scene::new()?;
    let server = scene.serve(|place| App::responder(place, SERVER, &["--way", way]))?;
    let agent = scene.observe()?;
    for _ in 0..5 {
        scene.curl(server.address(), &TARGETS)?;
    }
    let scrape = agent.settled()?;
    let answered = server.process().printed().lines().count();
    ensure!(answered == 30, "{answered} answered");
    counted(&scrape, answered)?;
    let head = |length: &str| "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n".len() + length.len();
    let sizes = [
        ("3", 3),
        ("1", 1),
        ("100000", 100_000),
        ("3", 3),
        ("1000000", 1_000_000),
        ("0", 0),
    ];
    let sent: usize = sizes.iter().map(|(text, length)| head(text) + length).sum();
    scrape
        .select("naytife_http_response_size_bytes_sum")
        .with("service", "web")
        .is(5 * u64::try_from(sent)?)
}

#[test]
fn a_server_on_io_uring_is_counted_exactly() -> Result<()> {
    answers("io-uring")
}

#[test]
fn a_server_that_sends_files_is_counted_exactly() -> Result<()> {
    answers("sendfile")
}

#[test]
fn a_server_that_splices_is_counted_exactly() -> Result<()> {
    answers("splice")
}

#[test]
fn a_server_whose_bytes_are_not_copied_is_counted_exactly() -> Result<()> {
    answers("zerocopy")
}

#[test]
fn nginx_that_sends_files_is_counted_with_every_byte() -> Result<()> {
    let scene = Scene::new()?;
    let server = scene.serve(|place| Nginx::listening(place, SERVER, ""))?;
    fs::write(server.files().join("large"), vec![b'x'; 20 << 20])?;
    let agent = scene.observe()?;
    scene.curl(
        server.address(),
        &["/sendfile/large", "/empty", "/sendfile/large"],
    )?;
    let scrape = agent.settled()?;
    let log = server.finish()?;
    ensure!(log.len() == 3, "{log:?}");
    counted(&scrape, 3)?;
    scrape
        .select("naytife_http_response_size_bytes_sum")
        .is(log.iter().map(|access| access.sent).sum())
}
