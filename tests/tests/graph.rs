//! The service graph on real servers, each in a cgroup of its own: edges = issued, whichever ends
//! are observed; and the names of hosts that are not ours.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::network::{SERVER, pair};
use observer_tests::nginx::Nginx;
use observer_tests::pgbouncer::{PgBouncer, Pooling};
use observer_tests::postgres::Postgres;
use observer_tests::process::{Place, Process, finish, need};
use observer_tests::redis::Redis;
use observer_tests::scrape::Scrape;
use postgres::{Client, NoTls};

const REQUESTS: &str = "naytife_service_requests_total";
const DURATIONS: &str = "naytife_service_request_duration_seconds_count";

/// Requests by client, server, protocol and outcome.
type Edges = BTreeMap<[String; 4], f64>;

fn edges(scrape: &Scrape) -> Edges {
    scrape
        .select(REQUESTS)
        .by(["client", "server", "protocol", "outcome"])
}

fn expected(rows: &[(&str, &str, &str, &str, usize)]) -> Edges {
    #[expect(clippy::cast_precision_loss, reason = "tests count below 2^53")]
    let edge = |(client, server, protocol, outcome, number): &(&str, &str, &str, &str, usize)| {
        (
            [*client, *server, *protocol, *outcome].map(str::to_owned),
            *number as f64,
        )
    };
    rows.iter().map(edge).collect()
}

/// Who is there: a gateway before a web server, a pooler before a database, a cache, and who asks.
struct Platform {
    clients: Cgroup,
    poolers: Cgroup,
    gateways: Cgroup,
    servers: [Cgroup; 3],
    web: Nginx,
    gateway: Nginx,
    database: Postgres,
    pooler: PgBouncer,
    cache: Redis,
}

impl Platform {
    fn start() -> Result<Self> {
        let servers = [
            Cgroup::create("web")?,
            Cgroup::create("database")?,
            Cgroup::create("cache")?,
        ];
        let [web_servers, databases, caches] = &servers;
        let (gateways, poolers) = (Cgroup::create("gateway")?, Cgroup::create("pooler")?);
        let web = Nginx::start(&Place::within(web_servers))?;
        let database = Postgres::start(Place::within(databases))?;
        database.create("shop")?;
        Ok(Self {
            clients: Cgroup::create("client")?,
            gateway: Nginx::before(&Place::within(&gateways), web.address())?,
            pooler: PgBouncer::start(Place::within(&poolers), &database, Pooling::Transaction)?,
            cache: Redis::start(&Place::within(caches))?,
            poolers,
            gateways,
            servers,
            web,
            database,
        })
    }

    fn curl(&self, address: SocketAddr, targets: &[&str]) -> Result<()> {
        let mut curl = Command::new(need("curl")?);
        curl.arg("-sS");
        for target in targets {
            curl.args(["-o", "/dev/null", &format!("http://{address}{target}")]);
        }
        Place::within(&self.clients).apply(&mut curl)?;
        finish(&mut curl).map(drop)
    }

    /// 7 requests, 9 statements of which one fails, 5 commands of which one does.
    fn load(&self) -> Result<()> {
        self.curl(
            self.gateway.address(),
            &["/v1/shops/1", "/missing", "/", "/empty", "/"],
        )?;
        self.curl(self.web.address(), &["/", "/missing"])?;
        let url = self.pooler.url("shop");
        let mut client: Client = self.clients.host(|| Ok(Client::connect(&url, NoTls)?))?;
        for _ in 0..8 {
            client.simple_query("SELECT 1")?;
        }
        ensure!(client.simple_query("SELECT 1 / 0").is_err());
        drop(client);
        let mut cache = self.clients.host(|| self.cache.client())?;
        let () = redis::cmd("SET").arg("a").arg("b").query(&mut cache)?;
        for _ in 0..3 {
            let _: String = redis::cmd("GET").arg("a").query(&mut cache)?;
        }
        ensure!(
            redis::cmd("INCR")
                .arg("a")
                .query::<u64>(&mut cache)
                .is_err()
        );
        Ok(())
    }
}

#[test]
fn every_request_is_on_one_edge_whichever_of_its_ends_are_observed() -> Result<()> {
    let platform = Platform::start()?;
    let [web, database, cache] = &platform.servers;
    let (clients, poolers, gateways) = (&platform.clients, &platform.poolers, &platform.gateways);
    let all = Agent::observe(&[clients, gateways, poolers, web, database, cache])?;
    let asking = Agent::observe(&[clients])?;
    let serving = Agent::observe(&[web, database, cache])?;
    platform.load()?;
    // What the pooler itself asks of a new connection is in its log.
    let upstream = platform.database.statements()?.of("shop").executions();
    ensure!(upstream >= 9, "the log has {upstream} statements");
    let (scrape, passed_on) = (all.settled()?, upstream - 1);
    let issued = expected(&[
        ("client", "gateway", "http", "success", 5),
        ("gateway", "web", "http", "success", 5),
        ("client", "web", "http", "success", 2),
        ("client", "pooler", "postgresql", "success", 8),
        ("client", "pooler", "postgresql", "error", 1),
        ("pooler", "database", "postgresql", "success", passed_on),
        ("pooler", "database", "postgresql", "error", 1),
        ("client", "cache", "redis", "success", 4),
        ("client", "cache", "redis", "error", 1),
    ]);
    ensure!(edges(&scrape) == issued, "{}", scrape.select(REQUESTS));
    let agrees = |scrape: &Scrape| -> Result<()> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a sum of counts"
        )]
        let requests = scrape.select(REQUESTS).sum() as u64;
        scrape.select(DURATIONS).is(requests)?;
        scrape
            .select("observer_bytes_total")
            .with("outcome", "lost")
            .is(0)
    };
    agrees(&scrape)?;
    let of = |metric: &str, service: &str| scrape.select(metric).with("service", service).sum();
    let sum = |client: &str, protocol: &str| -> f64 {
        let edges = scrape.select(REQUESTS).with("client", client);
        edges.with("protocol", protocol).sum()
    };
    for (client, protocol, metric) in [
        (
            "client",
            "http",
            "naytife_http_client_request_duration_seconds_count",
        ),
        (
            "gateway",
            "http",
            "naytife_http_client_request_duration_seconds_count",
        ),
        (
            "client",
            "postgresql",
            "naytife_database_query_duration_seconds_count",
        ),
        (
            "pooler",
            "postgresql",
            "naytife_database_hop_executions_total",
        ),
        ("client", "redis", "naytife_redis_commands_total"),
    ] {
        let (edge, other) = (sum(client, protocol), of(metric, client));
        ensure!(
            (edge - other).abs() < 0.5,
            "{client} {protocol}: {edge}, {metric}: {other}"
        );
    }
    // An end that nobody observes is somebody on this machine.
    let scrape = asking.settled()?;
    let issued = expected(&[
        ("client", "local", "http", "success", 7),
        ("client", "local", "postgresql", "success", 8),
        ("client", "local", "postgresql", "error", 1),
        ("client", "local", "redis", "success", 4),
        ("client", "local", "redis", "error", 1),
    ]);
    ensure!(edges(&scrape) == issued, "{}", scrape.select(REQUESTS));
    agrees(&scrape)?;
    let scrape = serving.settled()?;
    let issued = expected(&[
        ("local", "web", "http", "success", 7),
        ("local", "database", "postgresql", "success", passed_on),
        ("local", "database", "postgresql", "error", 1),
        ("local", "cache", "redis", "success", 4),
        ("local", "cache", "redis", "error", 1),
    ]);
    ensure!(edges(&scrape) == issued, "{}", scrape.select(REQUESTS));
    agrees(&scrape)
}

#[test]
fn a_host_is_called_by_the_name_in_tls_or_in_the_request_and_never_by_its_address() -> Result<()> {
    let [client, server] = pair()?;
    let (clients, files) = (Cgroup::create("client")?, tempfile::tempdir()?);
    let path = |name: &str| files.path().join(name);
    finish(
        Command::new(need("openssl")?)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=api.stripe.example", "-keyout"])
            .arg(path("key"))
            .arg("-out")
            .arg(path("certificate")),
    )?;
    let secure = SocketAddr::new(SERVER, 443);
    let _secure = server.inside(|| {
        let mut command = Command::new(need("openssl")?);
        command
            .args(["s_server", "-quiet", "-www", "-accept", &secure.to_string()])
            .args(["-key", "key", "-cert", "certificate"])
            .current_dir(files.path());
        let mut process = Process::start(command, &path("log"), &Place::default())?;
        process.listens(secure)?;
        Ok(process)
    })?;
    let web = server.inside(|| Nginx::listening(&Place::default(), SERVER, ""))?;
    let agent = Agent::observe(&[&clients])?;
    for (scheme, host, port) in [
        ("https", "api.stripe.example", secure.port()),
        ("http", "Hooks.Example", web.address().port()),
        ("http", &SERVER.to_string(), web.address().port()),
    ] {
        let mut curl = Command::new(need("curl")?);
        curl.args(["-sS", "--insecure", "--output", "/dev/null"])
            .args(["--connect-to", &format!("::{SERVER}:{port}")])
            .arg(format!("{scheme}://{host}:{port}/v1/charges"));
        Place::within(&clients).apply(&mut curl)?;
        client.inside(|| finish(&mut curl))?;
    }
    let opened = |scrape: &Scrape| {
        let opened = scrape.select("naytife_tcp_connections_opened_total");
        let by: Vec<_> = opened.by(["service", "peer"]).into_iter().collect();
        let named = ["api.stripe.example", "external", "hooks.example"];
        let expected: Vec<_> = named
            .map(|peer| (["client".to_owned(), peer.to_owned()], 1.0))
            .into();
        ensure!(by == expected, "{opened}");
        Ok(())
    };
    let scrape = agent.eventually(opened)?;
    let issued = expected(&[
        ("client", "external", "http", "success", 1),
        ("client", "hooks.example", "http", "success", 1),
    ]);
    ensure!(edges(&scrape) == issued, "{}", scrape.select(REQUESTS));
    let (_, text) = agent.get("/metrics")?;
    ensure!(!text.contains(&SERVER.to_string()), "an address is a label");
    agent.settled()?;
    Ok(())
}
