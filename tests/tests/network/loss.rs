//! Packets that get lost, come twice, late or in another order: TCP repairs it, and every request
//! is counted once.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_tests::account::{self, Line};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::network::{Faults, Namespace, Relay, SERVER};
use observer_tests::nginx::Nginx;
use observer_tests::postgres::{Postgres, ROLE};
use observer_tests::process::{PATIENCE, Place, finish};
use observer_tests::redis::Redis;
use observer_tests::scrape::Scrape;
use tempfile::TempDir;

use crate::scene::{CLIENT_REQUESTS, REQUESTS, Scene, undisturbed};

const FAULTS: Faults = Faults {
    seed: 7,
    dropped: 2,
    repeated: 2,
    delayed: 2,
};
const TARGETS: [&str; 7] = [
    "/",
    "/v1/shops/7/orders",
    "/empty",
    "/missing",
    "/files/large",
    "/sendfile/large",
    "/health",
];
const ROUNDS: usize = 6;

/// Three servers behind one wire.
struct Servers {
    http: Nginx,
    database: Postgres,
    cache: Redis,
    cgroups: [Cgroup; 2],
    files: TempDir,
}

impl Servers {
    fn start(scene: &Scene) -> Result<Self> {
        let http = scene.serve(|place| Nginx::listening(place, SERVER, ""))?;
        fs::write(http.files().join("large"), vec![b'x'; 1 << 20])?;
        let cgroups = [Cgroup::create("db")?, Cgroup::create("cache")?];
        let [db, cache] = &cgroups;
        // initdb trusts only the loopback.
        let files = tempfile::tempdir()?;
        let access = files.path().join("pg_hba.conf");
        fs::write(&access, "host all all all trust\n")?;
        let place = Place::within(db).as_user("postgres")?;
        place.own(files.path())?;
        let access = access.display().to_string();
        let settings = [("listen_addresses", "*"), ("hba_file", access.as_str())];
        let (database, cache) = scene.server.inside(|| {
            let database = Postgres::with(place, &settings)?;
            Ok((database, Redis::listening(&Place::within(cache), SERVER)?))
        })?;
        Ok(Self {
            http,
            database,
            cache,
            cgroups,
            files,
        })
    }

    /// What clients do to them, over the wire.
    fn use_all(&self, scene: &Scene) -> Result<()> {
        for _ in 0..ROUNDS {
            scene.curl(self.http.address(), &TARGETS)?;
        }
        let mut pgbench = self.database.command("pgbench", ROLE)?;
        let script = self.files.path().join("script");
        fs::write(
            &script,
            "-- name: Series :many\nSELECT generate_series(1, 500);\nSELECT 1;\n",
        )?;
        pgbench
            .env("PGHOST", SERVER.to_string())
            .args(["-n", "-M", "prepared", "-c", "4", "-t", "15", "-f"])
            .arg(script);
        Place::within(&scene.clients).apply(&mut pgbench)?;
        scene.client.inside(|| finish(&mut pgbench))?;
        let port = self.cache.address().port().to_string();
        let host = SERVER.to_string();
        let benchmark = [
            "-h", &host, "-p", &port, "-q", "-c", "4", "-P", "8", "-n", "800", "-d", "600",
        ];
        scene.run(
            "redis-benchmark",
            &[&benchmark[..], &["-t", "set,get,mset,incr"]].concat(),
        )?;
        Ok(())
    }
}

/// What one agent says, and of which ends.
struct View {
    scrape: Scrape,
    of_client: bool,
    of_servers: bool,
}

impl View {
    /// Each request once at each end; SQL and Redis at the client's, where it is observed.
    fn agrees(&self, servers: &Servers, scene: &Scene) -> Result<()> {
        undisturbed(&self.scrape)?;
        let log = servers.http.accesses()?;
        ensure!(log.len() == ROUNDS * TARGETS.len(), "{log:?}");
        let issued = |observed| if observed { log.len() as u64 } else { 0 };
        self.scrape.select(REQUESTS).is(issued(self.of_servers))?;
        let client = self.scrape.select(CLIENT_REQUESTS);
        client.is(issued(self.of_client))?;
        let [database, cache] = if self.of_client {
            ["client"; 2]
        } else {
            ["db", "cache"]
        };
        let log = servers.database.statements()?.by("pgbench");
        let cached = || Ok((servers.cache.usage()?, servers.cache.lookups()?));
        let (usage, lookups) = scene.server.inside(cached)?;
        let mut lines = account::sql(&log, &self.scrape, database);
        lines.extend(account::redis(&usage, lookups, &self.scrape, cache));
        let differ: Vec<&Line> = lines.iter().filter(|line| !line.agrees()).collect();
        ensure!(differ.is_empty(), "{differ:?}");
        ensure!(log.executions() >= 120 && lines.len() > 6, "{lines:?}");
        Ok(())
    }

    /// What each observed end sent again, against what its namespace's TCP counted, which at times
    /// is one more than the packets that pass a socket's cgroup.
    fn repeats_agree(&self, scene: &Scene) -> Result<()> {
        let repeats = self
            .scrape
            .select("naytife_tcp_segments_retransmitted_total");
        let of_client = repeats.clone().with("service", "client");
        let of_servers = repeats.without("service", "client");
        for (network, counted, observed) in [
            (&scene.client, of_client, self.of_client),
            (&scene.server, of_servers, self.of_servers),
        ] {
            if !observed {
                counted.is(0)?;
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let sent = again(network)? as f64;
            ensure!(
                counted.sum() > 0.0 && counted.sum() <= sent,
                "{sent}: {counted}"
            );
        }
        Ok(())
    }
}

/// Segments that a namespace's TCP sent again; a SYN, and the answer to one, is none of a stream.
fn again(network: &Namespace) -> Result<u64> {
    Ok(network.counted("RetransSegs")? - network.counted("TCPSynRetrans")?)
}

/// Waits until every connection has ended, so that nothing is sent again any more.
fn quiet(scene: &Scene) -> Result<()> {
    let start = Instant::now();
    for network in [&scene.client, &scene.server] {
        while network.connections()? > 0 {
            ensure!(start.elapsed() < PATIENCE, "there are still connections");
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Three agents see the same packets: one at both ends, one at each.
#[test]
fn over_a_wire_that_loses_repeats_and_reorders_every_request_is_counted_once() -> Result<()> {
    let scene = Scene::of(Namespace::new()?, Namespace::new()?)?;
    for network in [&scene.client, &scene.server] {
        // As much as there is room for on so bad a wire, and fewer gaps than a socket remembers.
        network.set("ipv4/tcp_rmem", "4096 65536 65536")?;
        network.set("ipv4/tcp_wmem", "4096 65536 65536")?;
    }
    let wire = Relay::between(&scene.client, &scene.server, FAULTS)?;
    let servers = Servers::start(&scene)?;
    let [db, cache] = &servers.cgroups;
    let ends: [&[&Cgroup]; 3] = [
        &[&scene.clients, &scene.servers, db, cache],
        &[&scene.clients],
        &[&scene.servers, db, cache],
    ];
    let agents = ends.map(Agent::observe);
    servers.use_all(&scene)?;
    quiet(&scene)?;
    let mut views = Vec::new();
    for (agent, (of_client, of_servers)) in
        agents
            .into_iter()
            .zip([(true, true), (true, false), (false, true)])
    {
        let agent = agent?;
        views.push(View {
            scrape: agent.settled()?,
            of_client,
            of_servers,
        });
    }
    for view in views {
        view.agrees(&servers, &scene)?;
        view.repeats_agree(&scene)?;
    }
    let tally = wire.cut()?;
    let least = tally.dropped.min(tally.repeated).min(tally.delayed);
    ensure!(least > 20, "{tally:?}");
    Ok(())
}
