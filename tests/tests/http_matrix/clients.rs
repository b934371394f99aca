//! curl, wrk, and programs in Go, Node and Python: each does what a server is able to answer, and
//! says what it issued.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer_tests::cgroup::Cgroup;
use observer_tests::languages::{Language, program};
use observer_tests::process::{Place, finish, need};

use super::tally::{ABORTED, Tally};

/// What curl does: a behaviour, its arguments, and the path they go to.
const CURL: [(&str, &[&str], &str); 17] = [
    ("plain", &[], "/plain"),
    ("plain", &["--http1.0"], "/plain"),
    ("plain", &["-H", "Connection: close"], "/plain"),
    ("head", &["--head"], "/plain"),
    ("empty", &[], "/empty"),
    ("fresh", &[], "/fresh"),
    ("missing", &["-X", "DELETE"], "/missing"),
    ("broken", &["-X", "PATCH", "--data", "{}"], "/broken"),
    ("echo", &["--data", "said"], "/echo"),
    (
        "chunked",
        &[
            "-X",
            "PUT",
            "-H",
            "Transfer-Encoding: chunked",
            "--data",
            "said",
        ],
        "/echo",
    ),
    (
        "expect",
        &["-H", "Expect: 100-continue", "--data", "may I"],
        "/echo",
    ),
    ("stream", &[], "/stream"),
    ("trailers", &[], "/trailers"),
    ("hints", &[], "/hints"),
    ("download", &[], "/download"),
    ("upload", &["-T", "LARGE", "-X", "POST"], "/upload"),
    (
        "upload",
        &["-T", "LARGE", "-H", "Transfer-Encoding: chunked"],
        "/upload",
    ),
];

/// Does each of these behaviours with curl.
pub(super) fn curl(server: SocketAddr, behaviours: &[&str], clients: &Cgroup) -> Result<Tally> {
    let files = tempfile::tempdir()?;
    let large = files.path().join("large");
    std::fs::write(&large, vec![b'x'; 8 << 20])?;
    let large = large.to_str().context("no UTF-8")?;
    let mut issued = Tally::default();
    for (behaviour, arguments, path) in CURL {
        if !behaviours.contains(&behaviour) {
            continue;
        }
        let mut command = Command::new(need("curl")?);
        command
            .args(["-sS", "--max-time", "20", "-o", "/dev/null"])
            .args(["-w", "%{method} %{response_code}"])
            .args(
                arguments
                    .iter()
                    .map(|a| if *a == "LARGE" { large } else { a }),
            )
            .arg(format!("http://{server}{path}"));
        Place::within(clients).apply(&mut command)?;
        let said = finish(&mut command).with_context(|| format!("{behaviour} {arguments:?}"))?;
        let (method, status) = said.split_once(' ').context("curl said nothing")?;
        issued.add(&format!("{method} {path} {status}"), 1);
    }
    if behaviours.contains(&"events") {
        let mut command = Command::new(need("curl")?);
        command
            .args(["-sS", "--max-time", "0.5", "-o", "/dev/null"])
            .arg(format!("http://{server}/events"));
        Place::within(clients).apply(&mut command)?;
        let output = command.output()?;
        // Its own time is over.
        ensure!(output.status.code() == Some(28), "{output:?}");
        issued.add(ABORTED, 1);
    }
    Ok(issued)
}

/// The client programs.
pub(super) const PROGRAMS: [Language; 3] = [Language::Go, Language::Node, Language::Python];

/// Does each of these behaviours that it knows with the language's libraries; nothing, loudly,
/// where the machine lacks the language.
pub(super) fn run(
    language: Language,
    server: SocketAddr,
    behaviours: &[&str],
    clients: &Cgroup,
) -> Result<Tally> {
    let Some(mut command) = program(language, "http_client")? else {
        return Ok(Tally::default());
    };
    command.arg(server.to_string()).arg(behaviours.join(","));
    Place::within(clients).apply(&mut command)?;
    Tally::of_json(&finish(&mut command)?)
}

/// What wrk asks for: nobody else does with this method.
pub(super) const WRK: &str = "GET /missing 404";

/// Has wrk ask for a second, on eight connections; it leaves in the middle of its last requests.
pub(super) fn wrk(server: SocketAddr, clients: &Cgroup) -> Result<()> {
    let mut command = Command::new(need("wrk")?);
    command
        .args(["-t1", "-c8", "-d1s"])
        .arg(format!("http://{server}/missing"));
    Place::within(clients).apply(&mut command)?;
    finish(&mut command).map(drop)
}
