//! What is not ours: other protocols are skipped by their reason, and nothing of them is counted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::spawn;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::process::{Place, Process, finish, free_port, need};
use observer_tests::scrape::Scrape;

/// What carries a request, a statement or a command.
const COUNTED: [&str; 8] = [
    "naytife_http_request_duration_seconds_count",
    "naytife_http_requests_aborted_total",
    "naytife_http_client_request_duration_seconds_count",
    "naytife_http_client_requests_aborted_total",
    "naytife_database_query_duration_seconds_count",
    "naytife_database_executions_untimed_total",
    "naytife_database_errors_total",
    "naytife_redis_commands_total",
];

/// Two ends in cgroups of their own, and an agent that sees both.
struct Scene {
    clients: Cgroup,
    servers: Cgroup,
    agent: Agent,
}

impl Scene {
    fn new() -> Result<Self> {
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("server")?);
        let agent = Agent::observe(&[&clients, &servers])?;
        Ok(Self {
            clients,
            servers,
            agent,
        })
    }

    /// A connection on which both ends say these things in turn; an empty one is passed over.
    fn talk(&self, turns: &[(&[u8], &[u8])]) -> Result<()> {
        let (address, listener) = self.servers.host(|| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            Ok((listener.local_addr()?, listener))
        })?;
        let script: Vec<(usize, Vec<u8>)> = turns
            .iter()
            .map(|(request, answer)| (request.len(), answer.to_vec()))
            .collect();
        let server = spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            for (length, answer) in script {
                let mut request = vec![0; length];
                stream.read_exact(&mut request)?;
                stream.write_all(&answer)?;
            }
            Ok(())
        });
        let mut client = self.clients.host(|| Ok(TcpStream::connect(address)?))?;
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        for (request, answer) in turns {
            client.write_all(request)?;
            let mut read = vec![0; answer.len()];
            client.read_exact(&mut read)?;
        }
        server.join().map_err(|_| anyhow!("the server panicked"))?
    }

    /// Nothing was counted; so many bytes at least were skipped for this reason.
    fn skipped(&self, reason: &str, bytes: f64) -> Result<Scrape> {
        let scrape = self.agent.settled()?;
        for metric in COUNTED {
            scrape.select(metric).is(0)?;
        }
        let skipped = scrape
            .select("observer_bytes_total")
            .with("outcome", "skipped")
            .with("reason", reason);
        ensure!(
            skipped.sum() >= bytes,
            "{bytes} bytes of {reason}, skipped: {}",
            scrape.select("observer_bytes_total")
        );
        scrape
            .select("observer_bytes_total")
            .with("outcome", "lost")
            .is(0)?;
        Ok(scrape)
    }
}

#[test]
fn tls_is_skipped_as_tls() -> Result<()> {
    let scene = Scene::new()?;
    let files = tempfile::tempdir()?;
    let (key, certificate) = (files.path().join("key"), files.path().join("certificate"));
    finish(
        Command::new(need("openssl")?)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
    )?;
    let address: SocketAddr = free_port()?;
    let mut command = Command::new(need("openssl")?);
    command
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &address.to_string(),
        ])
        .arg("-key")
        .arg(&key)
        .arg("-cert")
        .arg(&certificate);
    let log = files.path().join("log");
    let mut server = Process::start(command, &log, &Place::within(&scene.servers))?;
    server.listens(address)?;
    for _ in 0..3 {
        let mut curl = Command::new(need("curl")?);
        curl.args(["--silent", "--insecure", "--output", "/dev/null"])
            .arg(format!("https://{address}/v1/shops/1"));
        Place::within(&scene.clients).apply(&mut curl)?;
        finish(&mut curl)?;
    }
    scene.skipped("tls", 3000.0).map(drop)
}

#[test]
fn http2_is_skipped_as_http2() -> Result<()> {
    let scene = Scene::new()?;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let settings = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";
    // GET / on stream 1, and its answer with a body that looks like HTTP/1.
    let headers = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";
    let answer = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x13\0\x01\0\0\0\x01HTTP/1.1 200 OK\r\n\r\n";
    let turns: Vec<(&[u8], &[u8])> = [(&preface[..], &settings[..])]
        .into_iter()
        .chain(std::iter::repeat_n((&headers[..], &answer[..]), 20))
        .collect();
    scene.talk(&turns)?;
    scene.skipped("http2", 20.0 * 40.0).map(drop)
}

#[test]
fn mysql_is_skipped_as_something_else() -> Result<()> {
    let scene = Scene::new()?;
    let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0\xff\xdf\x15\
        \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0";
    let login = b"\x3b\0\0\x01\x85\xa6\xff\x01\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0root\0\0mysql_native_password\0";
    let fine = b"\x07\0\0\x02\0\0\0\x02\0\0\0";
    let query = b"\x22\0\0\0\x03SELECT * FROM orders WHERE id = 1";
    let turns: Vec<(&[u8], &[u8])> = [(&b""[..], &greeting[..]), (&login[..], &fine[..])]
        .into_iter()
        .chain(std::iter::repeat_n((&query[..], &fine[..]), 50))
        .collect();
    scene.talk(&turns)?;
    scene.skipped("other", 50.0 * 40.0).map(drop)
}

#[test]
fn arbitrary_bytes_are_skipped_as_something_else() -> Result<()> {
    let scene = Scene::new()?;
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20 {
        let stretches: Vec<(Vec<u8>, Vec<u8>)> = (0..40)
            .map(|_| {
                let mut bytes = |most| {
                    let length = random.usize(1..most);
                    std::iter::repeat_with(|| random.u8(..))
                        .take(length)
                        .collect::<Vec<u8>>()
                };
                (bytes(300), bytes(3000))
            })
            .collect();
        let turns: Vec<(&[u8], &[u8])> = stretches
            .iter()
            .map(|(request, answer)| (&request[..], &answer[..]))
            .collect();
        scene.talk(&turns)?;
    }
    scene.skipped("other", 20.0 * 40.0 * 100.0).map(drop)
}
