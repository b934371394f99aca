//! What may go wrong around the agent: it is stopped, killed, starved of memory, scraped by clients
//! that misbehave. What it then says is less, never false, and soon exact again.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBuf;
use observer::decode::HELD_LIMIT;
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::network::apart;
use observer_tests::nginx::Nginx;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;
use observer_tests::trial::{Trial, resident};

const REQUESTS: &str = "naytife_http_request_duration_seconds_count";
const STARTED: &str = "observer_start_time_seconds";

/// So small that in a pause of seconds more is lost than it holds.
const SMALL_RING: &str = "
capture:
  ring_bytes: 1048576
  wake_bytes: 262144
";

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Payload bytes that ended like this.
fn bytes(scrape: &Scrape, outcome: &str, reason: &str) -> f64 {
    scrape
        .select("observer_bytes_total")
        .with("outcome", outcome)
        .with("reason", reason)
        .sum()
}

#[test]
fn stopped_until_the_ring_overflows_it_says_what_it_lost_and_is_exact_again() -> Result<()> {
    let mut trial = Trial::start(SMALL_RING)?;
    trial.round(seconds(3), |_| Ok(()))?.is_exact()?;
    let paused = trial.round(seconds(11), |trial| {
        sleep(seconds(1));
        let process = trial.agent().process();
        process.signal(Signal::SIGSTOP)?;
        sleep(seconds(8));
        process.signal(Signal::SIGCONT)
    })?;
    paused.is_honest()?;
    let lost = bytes(&paused.scrape, "lost", "ring_full");
    ensure!(
        lost > f64::from(1 << 20),
        "{lost} bytes lost: less than fit"
    );
    ensure!(paused.is_exact().is_err(), "nothing is missing");
    let after = trial.round(seconds(3), |_| Ok(()))?;
    after.is_exact_but_for_names()?;
    let more = bytes(&after.scrape, "lost", "ring_full");
    ensure!((more - lost).abs() < 0.5, "{} more lost", more - lost);
    after.scrape.select("naytife_http_requests_in_flight").is(0)
}

#[test]
fn killed_and_started_again_it_counts_from_zero_and_connections_heal() -> Result<()> {
    let mut trial = Trial::start("")?;
    let first = trial.round(seconds(3), |_| Ok(()))?;
    first.is_exact()?;
    let started = first.scrape.select(STARTED).sum();
    let killed = trial.round(seconds(6), |trial| {
        sleep(seconds(2));
        trial.agent().process().signal(Signal::SIGKILL)?;
        trial.restart()?;
        let scrape = trial.agent().scrape()?;
        ensure!(scrape.select(STARTED).sum() > started, "no new start time");
        Ok(())
    })?;
    // Counted from zero, so what it says is of this round alone.
    killed.is_honest()?;
    let counted: u64 = killed.account.http.iter().map(|line| line.counted).sum();
    ensure!(counted > 100, "{counted} requests after the restart");
    trial
        .round(seconds(3), |_| Ok(()))?
        .is_exact_but_for_names()
}

/// A web server that is observed, and its agent.
fn web() -> Result<(Nginx, Cgroup, Agent)> {
    let cgroup = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&cgroup))?;
    let agent = Agent::observe(&[&cgroup])?;
    Ok((server, cgroup, agent))
}

/// As many requests on one connection.
fn request(server: &Nginx, requests: usize) -> Result<()> {
    let client = ureq::Agent::new_with_defaults();
    for _ in 0..requests {
        client
            .get(format!("http://{}/v1/shops", server.address()))
            .call()?;
    }
    Ok(())
}

#[test]
fn a_scraper_that_never_reads_holds_up_neither_the_others_nor_the_counting() -> Result<()> {
    let (server, _cgroup, agent) = web()?;
    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(agent.address())?;
        setsockopt(&stream, RcvBuf, &1)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
        silent.push(stream);
    }
    for round in 1..=20 {
        request(&server, 10)?;
        agent.settled()?.select(REQUESTS).is(10 * round)?;
    }
    // One that has read nothing for so long still gets what it asked for.
    let mut answer = [0; 12];
    silent.remove(0).read_exact(&mut answer)?;
    ensure!(answer == *b"HTTP/1.1 200", "{answer:?}");
    Ok(())
}

#[test]
fn ten_scrapers_at_once_each_get_a_whole_answer_or_a_refusal() -> Result<()> {
    let (server, _cgroup, agent) = web()?;
    let answers = thread::scope(|scope| {
        let scrapers: Vec<_> = iter::repeat_with(|| {
            scope.spawn(|| -> Result<(usize, usize)> {
                let (mut whole, mut refused) = (0, 0);
                let mut requests = 0.0;
                while whole < 20 {
                    match agent.get("/metrics")? {
                        (200, text) => {
                            let scrape = Scrape::parse(&text)?;
                            let now = scrape.select(REQUESTS).sum();
                            ensure!(now >= requests, "{now} after {requests}");
                            requests = now;
                            whole += 1;
                        }
                        (503, _) => refused += 1,
                        (status, text) => return Err(anyhow!("{status}: {text}")),
                    }
                }
                Ok((whole, refused))
            })
        })
        .take(10)
        .collect();
        request(&server, 1000)?;
        let answers = scrapers.into_iter().map(thread::ScopedJoinHandle::join);
        answers
            .map(|answer| answer.map_err(|_| anyhow!("a scraper panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    ensure!(answers.len() == 10, "{answers:?}");
    agent.settled()?.select(REQUESTS).is(1000)
}

#[test]
fn without_kernel_memory_for_a_socket_its_bytes_are_lost_to_storage_and_nothing_is_hurt()
-> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let agent = Agent::observe(&[&cgroup])?;
    apart(&[], || {
        let server = Nginx::start(&Place::within(&cgroup))?;
        request(&server, 10)?;
        // What a socket may take beside its buffers; of this network alone.
        let setting = "/proc/sys/net/core/optmem_max";
        let before = fs::read_to_string(setting)?;
        fs::write(setting, "1")?;
        request(&server, 10)?;
        fs::write(setting, before)?;
        request(&server, 10)
    })?;
    let scrape = agent.settled()?;
    scrape.select(REQUESTS).is(20)?;
    let lost = bytes(&scrape, "lost", "storage");
    ensure!(lost > 10.0 * 100.0, "{lost} bytes lost to storage");
    let all = scrape
        .select("observer_bytes_total")
        .with("outcome", "lost");
    ensure!((all.sum() - lost).abs() < 0.5, "{all}");
    Ok(())
}

/// What a client may say to be remembered; some go on for ever, some stop in the middle.
fn lies() -> Vec<Vec<u8>> {
    let headers = (0..10_000).flat_map(|n| format!("h{n}: {n}\r\n").into_bytes());
    let startup = b"\0\0\0\x17\0\x03\0\0user\0a\0database\0a\0\0";
    let formats = iter::repeat_n([0, 1], usize::from(u16::MAX)).flatten();
    let values = iter::repeat_n([0, 0, 0, 1, 7], usize::from(u16::MAX)).flatten();
    let parameters: Vec<u8> = [
        b"\0s\0\xff\xff".to_vec(),
        formats.collect(),
        b"\xff\xff".to_vec(),
    ]
    .concat()
    .into_iter()
    .chain(values)
    .chain(*b"\0\0")
    .collect();
    let length = u32::try_from(parameters.len() + 4)
        .unwrap_or(0)
        .to_be_bytes();
    vec![
        b"GET /half HTTP/1.1\r\nHost: a".to_vec(),
        [b"GET /long", &[b'a'; 65_536][..], b" HTTP/1.1\r\n\r\n"].concat(),
        [
            b"GET /many HTTP/1.1\r\n".to_vec(),
            headers.collect(),
            b"\r\n".to_vec(),
        ]
        .concat(),
        [&startup[..], b"Q\x7f\xff\xff\xff", &[b'x'; 30_000]].concat(),
        [&startup[..], b"B", &length, &parameters].concat(),
        [
            &b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2147483647\r\n"[..],
            &[b'x'; 30_000],
        ]
        .concat(),
        b"*1\r\n".repeat(1000),
        [
            &b"GET /\xff\xfe HTTP/1.1\r\nHost: \xc0\x80"[..],
            &[0xff; 30_000],
        ]
        .concat(),
        vec![0xff; 30_000],
    ]
}

#[test]
fn a_thousand_connections_that_lie_take_no_more_memory_than_theirs_and_others_stay_exact()
-> Result<()> {
    const LIARS: u32 = 1000;
    let (server, cgroup, agent) = web()?;
    let listener = cgroup.host(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
    request(&server, 10)?;
    agent.settled()?;
    let before = resident(&agent)?;
    let (mut open, mut said) = (Vec::new(), 0);
    for lie in lies().into_iter().cycle().take(LIARS as usize) {
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut listening, _) = listener.accept()?;
        said += lie.len();
        let told = thread::spawn(move || -> Result<TcpStream> {
            client.write_all(&lie)?;
            Ok(client)
        });
        let mut heard = 0;
        let mut buffer = vec![0; 1 << 16];
        while !told.is_finished() {
            listening.set_read_timeout(Some(Duration::from_millis(1)))?;
            heard += listening.read(&mut buffer).unwrap_or(0);
        }
        let client = told.join().map_err(|_| anyhow!("a liar panicked"))??;
        open.push((client, listening, heard));
        if open.len() % 100 == 0 {
            request(&server, 10)?;
        }
    }
    let paths = |scrape: &Scrape| scrape.select(REQUESTS).with("endpoint", "/v1/shops").sum();
    let expected = f64::from(10 + LIARS / 100 * 10);
    let scrape = agent.eventually(|scrape| {
        let counted = paths(scrape);
        ensure!((counted - expected).abs() < 0.5, "{counted} of {expected}");
        Ok(())
    })?;
    let tracked = scrape.select("observer_connections_tracked").sum();
    ensure!(tracked >= f64::from(LIARS), "{tracked} connections");
    let grown = resident(&agent)?.saturating_sub(before);
    // What a decoder may hold back of both directions, and as much again for all else.
    let bound = u64::from(LIARS) * 4 * HELD_LIMIT as u64;
    ensure!(grown < bound, "{grown} bytes more for {LIARS} connections");
    ensure!(grown < said as u64, "{grown} bytes kept of {said}");
    drop(open);
    agent.settled()?;
    Ok(())
}
