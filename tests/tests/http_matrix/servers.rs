//! Real servers under real clients: what clients say they issued, what servers say they answered
//! and what is counted at both ends are the same.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_tests::apps::App;
use observer_tests::languages::Language;
use observer_tests::nginx::{Access, Nginx};
use observer_tests::process::{PATIENCE, Place};

use super::clients::{PROGRAMS, WRK, curl, run, wrk};
use super::raw::ROWS;
use super::scene::Scene;
use super::tally::{ABORTED, Tally};

/// What every server here can answer.
const COMMON: [&str; 14] = [
    "plain",
    "pipelined",
    "head",
    "empty",
    "fresh",
    "missing",
    "broken",
    "echo",
    "chunked",
    "expect",
    "stream",
    "download",
    "upload",
    "events",
];

/// A server that runs.
struct Tested<'a> {
    address: SocketAddr,
    /// What it can answer beside [`COMMON`].
    more: &'a [&'a str],
    /// The row on which it waits for more, where others answer.
    waits: &'a str,
    /// What it says it answered.
    answered: &'a dyn Fn() -> Result<Tally>,
}

impl Tested<'_> {
    /// Has every client do everything: that is what is answered and counted.
    fn under_every_client(&self, scene: &Scene) -> Result<()> {
        let behaviours = [&COMMON, self.more].concat();
        let mut issued = curl(self.address, &behaviours, &scene.clients).context("curl")?;
        for language in PROGRAMS {
            let client = run(language, self.address, &behaviours, &scene.clients);
            issued.merge(client.with_context(|| format!("{language:?}"))?);
        }
        let start = Instant::now();
        let asked = issued.clone().whole();
        while (self.answered)()?.whole() != asked && start.elapsed() < PATIENCE {
            sleep(Duration::from_millis(20));
        }
        asked.agrees(&(self.answered)()?.whole(), "answered, as the server says")?;
        scene.counts(&issued)?;
        for row in &ROWS {
            let waits = row.name == self.waits;
            issued.merge(row.run(self.address, &scene.clients, waits)?);
        }
        scene.counts(&issued).context("from raw sockets")?;
        Ok(())
    }

    /// How much wrk asked is in the server's log; it does not say so itself.
    fn under_wrk(&self, scene: &Scene) -> Result<()> {
        wrk(self.address, &scene.clients)?;
        let counted = Tally::at_server(&scene.agent.settled()?, "server").of(WRK);
        let logged = (self.answered)()?.of(WRK);
        ensure!(counted > 8, "wrk made {counted} requests");
        // What its eight connections had asked last may be whole to one and broken off to the other.
        ensure!(
            counted.abs_diff(logged) <= 8,
            "{counted} counted, {logged} answered"
        );
        Ok(())
    }
}

/// A program in `apps`; `waits` as in [`Tested`].
fn app(language: Language, name: &str, more: &[&str], waits: &str) -> Result<()> {
    let scene = Scene::new()?;
    let place = Place::within(&scene.servers);
    let Some(server) = App::server(&place, language, name)? else {
        return Ok(());
    };
    let tested = Tested {
        address: server.address(),
        more,
        waits,
        answered: &|| Ok(Tally::of_log(&server.process().printed())),
    };
    tested.under_every_client(&scene)?;
    tested.under_wrk(&scene)
}

#[test]
fn a_go_server_is_counted_exactly_under_every_client() -> Result<()> {
    let more = [
        "trailing",
        "trailers",
        "hints",
        "abort",
        "websocket",
        "connect",
    ];
    app(Language::Go, "http_server", &more, "")
}

#[test]
fn a_fiber_server_is_counted_exactly_under_every_client() -> Result<()> {
    app(Language::Go, "fiber_server", &["trailing"], "")
}

#[test]
fn a_node_server_is_counted_exactly_under_every_client() -> Result<()> {
    let more = [
        "trailing",
        "trailers",
        "hints",
        "abort",
        "websocket",
        "connect",
    ];
    app(Language::Node, "http_server", &more, "")
}

#[test]
fn an_aiohttp_server_is_counted_exactly_under_every_client() -> Result<()> {
    app(
        Language::Python,
        "http_server",
        &["trailing", "abort", "websocket"],
        "",
    )
}

#[test]
fn a_uvicorn_server_is_counted_exactly_under_every_client() -> Result<()> {
    app(Language::Python, "asgi_server", &["trailing", "abort"], "")
}

#[test]
fn a_java_server_is_counted_exactly_under_every_client() -> Result<()> {
    app(
        Language::Java,
        "HttpApp",
        &["abort"],
        "a head of bare line feeds",
    )
}

#[test]
fn nginx_is_counted_exactly_under_every_client_and_as_a_client_itself() -> Result<()> {
    let scene = Scene::new()?;
    // Not observed itself: what nginx asks of it is counted at nginx's end.
    let Some(upstream) = App::server(&Place::default(), Language::Node, "http_server")? else {
        return Ok(());
    };
    let server = Nginx::before(&Place::within(&scene.servers), upstream.address())?;
    let tested = Tested {
        address: server.address(),
        more: &["abort", "websocket"],
        waits: "",
        answered: &|| Ok(logged(&server.accesses()?)),
    };
    tested.under_every_client(&scene)?;
    let scrape = scene.agent.settled()?;
    let answered = Tally::of_log(&upstream.process().printed()).whole();
    answered.agrees(
        &Tally::at_client(&scrape, "server").whole(),
        "counted where nginx is the client",
    )?;
    tested.under_wrk(&scene)
}

/// The access log's lines, of requests that nginx could read.
fn logged(log: &[Access]) -> Tally {
    let mut tally = Tally::default();
    for access in log {
        let Access {
            method,
            target,
            status,
            ..
        } = access;
        let whole = format!("{method} {target} {status}");
        tally.add(if access.complete { &whole } else { ABORTED }, 1);
    }
    tally
}
