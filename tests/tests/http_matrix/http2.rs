//! HTTP/2 without TLS: a stream that begins with it, one that switches to it, and one that only
//! asked to.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use observer_tests::nginx::Nginx;
use observer_tests::process::{Place, finish, need};
use observer_tests::scrape::Scrape;

use super::scene::Scene;
use super::tally::Tally;

impl Scene {
    /// What curl says of its request, and in which version it was answered.
    fn ask(&self, version: &str, url: &str) -> Result<String> {
        let mut curl = Command::new(need("curl")?);
        curl.args(["-sS", "--max-time", "10", "-o", "/dev/null", version])
            .args(["-w", "%{http_version} %{response_code}", url]);
        Place::within(&self.clients).apply(&mut curl)?;
        finish(&mut curl)
    }
}

/// Bytes skipped for this reason, and those skipped at all.
fn skipped(scrape: &Scrape, reason: &str) -> (f64, f64) {
    let skipped = scrape
        .select("observer_bytes_total")
        .with("outcome", "skipped");
    (skipped.clone().with("reason", reason).sum(), skipped.sum())
}

#[test]
fn a_stream_of_http2_is_skipped_and_nothing_of_it_counts() -> Result<()> {
    let scene = Scene::new()?;
    let place = Place::within(&scene.servers);
    let server = Nginx::listening(&place, Ipv4Addr::LOCALHOST.into(), "http2")?;
    let url = format!("http://{}/plain", server.address());
    for _ in 0..5 {
        let said = scene.ask("--http2-prior-knowledge", &url)?;
        ensure!(said == "2 200", "curl says {said}");
    }
    let scrape = scene.counts(&Tally::default())?;
    Scene::nothing_lost(&scrape)?;
    let (http2, all) = skipped(&scrape, "http2");
    ensure!(
        http2 > 1000.0 && (all - http2).abs() < 0.5,
        "{http2} of {all}"
    );
    ensure!(server.finish()?.len() == 5, "nginx answered otherwise");
    Ok(())
}

#[test]
fn an_offer_of_http2_that_is_declined_is_an_exchange_like_any_other() -> Result<()> {
    let scene = Scene::new()?;
    let server = Nginx::start(&Place::within(&scene.servers))?;
    let said = scene.ask("--http2", &format!("http://{}/plain", server.address()))?;
    ensure!(said == "1.1 200", "curl says {said}");
    let scrape = scene.counts(&[("GET /plain 200", 1)].into())?;
    Scene::nothing_lost(&scrape)?;
    ensure!(skipped(&scrape, "http2").1 < 0.5);
    Ok(())
}

#[test]
fn behind_an_agreed_switch_to_http2_everything_is_skipped_as_http2() -> Result<()> {
    let scene = Scene::new()?;
    let listener = scene
        .servers
        .host(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> Result<usize> {
        let (mut stream, _) = listener.accept()?;
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while !said.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "curl left");
            said.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        )?;
        // SETTINGS, and on stream 1 a HEADERS with `:status 200` that ends it (RFC 9113).
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88")?;
        // Its preface and SETTINGS, perhaps acknowledgements, until it leaves.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        Ok(rest.len() + 9 + 10)
    });
    let said = scene.ask("--http2", &format!("http://{address}/plain"))?;
    ensure!(said == "2 200", "curl says {said}");
    let behind = server
        .join()
        .map_err(|_| anyhow!("the server panicked"))??;
    let scrape = scene.counts(&[("GET /plain 101", 1)].into())?;
    Scene::nothing_lost(&scrape)?;
    let bytes = scrape.select("observer_bytes_total");
    let skipped = bytes.with("outcome", "skipped");
    skipped
        .clone()
        .with("reason", "http2")
        .is(2 * behind as u64)?;
    skipped.is(2 * behind as u64)
}
