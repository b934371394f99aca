//! Redis: *counted = issued*, against the server's own `INFO commandstats`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::process::{Place, finish, need};
use observer_tests::redis::{Redis, client};

const COMMANDS: &str = "naytife_redis_commands_total";
const LOOKUPS: &str = "naytife_redis_lookups_total";

struct Scene {
    server: Redis,
    clients: Cgroup,
    servers: Cgroup,
}

impl Scene {
    fn new() -> Result<Self> {
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("cache")?);
        let server = Redis::start(&Place::within(&servers))?;
        Ok(Self {
            server,
            clients,
            servers,
        })
    }

    fn benchmark(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(need("redis-benchmark")?);
        command
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.server.address().port().to_string(),
                "-q",
            ])
            .args(arguments);
        Place::within(&self.clients).apply(&mut command)?;
        finish(&mut command).map(drop)
    }

    /// A connection whose socket is the clients'.
    fn connect(&self) -> Result<redis::Connection> {
        self.clients
            .host(|| Ok(client(self.server.address())?.get_connection()?))
    }

    /// What the server counted since `before`: calls and rejected calls by command.
    fn since(&self, before: &BTreeMap<String, u64>) -> Result<BTreeMap<String, u64>> {
        let mut counts = self.counts()?;
        for (command, count) in &mut counts {
            *count -= before.get(command).copied().unwrap_or(0);
        }
        // Our own question.
        counts.remove("info");
        counts.retain(|_, count| *count > 0);
        Ok(counts)
    }

    fn counts(&self) -> Result<BTreeMap<String, u64>> {
        let usage = self.server.usage()?;
        Ok(usage
            .into_iter()
            .map(|(name, u)| (name, u.calls + u.rejected))
            .collect())
    }
}

/// Each command of the client equals the server's count of it.
fn counted(agent: &Agent, issued: &BTreeMap<String, u64>) -> Result<()> {
    ensure!(!issued.is_empty(), "the server counted nothing");
    let scrape = agent.settled()?;
    let all = scrape.select(COMMANDS).with("service", "client");
    for (command, count) in issued {
        all.clone().with("command", command).is(*count)?;
    }
    all.is(issued.values().sum())?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)
}

fn benchmark(pipeline: &str) -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.counts()?;
    let agent = Agent::observe(&[&scene.clients])?;
    scene.benchmark(&[
        "-P",
        pipeline,
        "-n",
        "4000",
        "-c",
        "10",
        "-r",
        "100",
        "-t",
        "ping,set,get,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset",
    ])?;
    counted(&agent, &scene.since(&before)?)
}

#[test]
fn redis_benchmark_one_at_a_time_is_counted_exactly() -> Result<()> {
    benchmark("1")
}

#[test]
fn redis_benchmark_sixteen_deep_is_counted_exactly() -> Result<()> {
    benchmark("16")
}

#[test]
fn lookups_are_counted_by_key_and_a_nil_is_a_miss() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut connection = scene.connect()?;
    let before = scene.counts()?;
    let lookups = scene.server.lookups()?;
    let keys: Vec<String> = (0..100).map(|n| format!("product:{n}")).collect();
    for key in keys.iter().step_by(2) {
        let () = redis::cmd("SET")
            .arg(key)
            .arg("page")
            .query(&mut connection)?;
    }
    let pages: Vec<Option<String>> = redis::cmd("MGET").arg(&keys).query(&mut connection)?;
    ensure!(pages.iter().flatten().count() == 50);
    let () = redis::cmd("GET").arg("product:0").query(&mut connection)?;
    let _: Option<String> = redis::cmd("GET").arg("absent").query(&mut connection)?;
    let _: Option<String> = redis::cmd("GETDEL")
        .arg("product:2")
        .query(&mut connection)?;
    let now = scene.server.lookups()?;
    let (hits, misses) = (now.0 - lookups.0, now.1 - lookups.1);
    ensure!((hits, misses) == (52, 51), "{hits} {misses}");
    counted(&agent, &scene.since(&before)?)?;
    let scrape = agent.settled()?;
    scrape.select(LOOKUPS).with("result", "hit").is(hits)?;
    scrape.select(LOOKUPS).with("result", "miss").is(misses)
}

#[test]
fn a_transaction_counts_its_queued_commands_and_the_lookups_of_exec() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut connection = scene.connect()?;
    let before = scene.counts()?;
    for _ in 0..20 {
        let _: redis::Value = redis::pipe()
            .atomic()
            .cmd("SET")
            .arg("a")
            .arg("1")
            .cmd("GET")
            .arg("a")
            .cmd("GET")
            .arg("absent")
            .cmd("INCR")
            .arg("a")
            .query(&mut connection)?;
    }
    let wrong = redis::cmd("LPUSH")
        .arg("a")
        .arg("x")
        .query::<i64>(&mut connection);
    ensure!(wrong.is_err());
    counted(&agent, &scene.since(&before)?)?;
    let scrape = agent.settled()?;
    scrape
        .select(COMMANDS)
        .with("outcome", "queued")
        .is(20 * 4)?;
    scrape
        .select(COMMANDS)
        .with("command", "lpush")
        .with("outcome", "WRONGTYPE")
        .is(1)?;
    scrape.select(LOOKUPS).with("result", "hit").is(20)?;
    scrape.select(LOOKUPS).with("result", "miss").is(20)
}

#[test]
fn values_of_a_mebibyte_are_skipped_by_their_length() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut connection = scene.connect()?;
    let before = scene.counts()?;
    let value = vec![b'v'; 1 << 20];
    for number in 0..10 {
        let key = format!("big:{number}");
        let () = redis::cmd("SET")
            .arg(&key)
            .arg(&value)
            .query(&mut connection)?;
        let back: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection)?;
        ensure!(back.len() == value.len());
    }
    counted(&agent, &scene.since(&before)?)?;
    let scrape = agent.settled()?;
    scrape.select(LOOKUPS).with("result", "hit").is(10)
}

#[test]
fn both_ends_observed_count_each_command_once_at_the_client() -> Result<()> {
    let scene = Scene::new()?;
    let before = scene.counts()?;
    let agent = Agent::observe(&[&scene.clients, &scene.servers])?;
    scene.benchmark(&["-n", "1000", "-c", "5", "-t", "set,get"])?;
    counted(&agent, &scene.since(&before)?)
}

#[test]
fn where_only_the_server_is_observed_it_answers_under_its_own_name() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.servers])?;
    scene.benchmark(&["-n", "1000", "-c", "5", "-P", "8", "-t", "set,get"])?;
    let scrape = agent.settled()?;
    let of = |command| {
        scrape
            .select(COMMANDS)
            .with("service", "cache")
            .with("command", command)
    };
    of("set").is(1000)?;
    of("get").is(1000)
}

#[test]
fn a_password_stands_nowhere() -> Result<()> {
    const SECRET: &str = "hunter2-s3cret";
    const WRONG: &str = "wr0ng-s3cret";
    let scene = Scene::new()?;
    let agent = Agent::start(&Options {
        cgroups: &[&scene.clients],
        arguments: &["--log-level", "trace"],
        ..Options::default()
    })?;
    let mut connection = scene.connect()?;
    let before = scene.counts()?;
    let mut say = |words: &[&str]| {
        let mut command = redis::cmd(words.first().copied().unwrap_or_default());
        command.arg(words.get(1..).unwrap_or_default());
        command.query::<redis::Value>(&mut connection)
    };
    say(&["CONFIG", "SET", "requirepass", SECRET])?;
    ensure!(say(&["AUTH", WRONG]).is_err());
    say(&["AUTH", SECRET])?;
    say(&["HELLO", "2", "AUTH", "default", SECRET])?;
    say(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        &format!(">{SECRET}"),
        "~*",
        "+@all",
    ])?;
    say(&["AUTH", "app", SECRET])?;
    say(&[
        "EVAL",
        &format!("return redis.error_reply('{SECRET} oops')"),
        "0",
    ])
    .unwrap_err();
    ensure!(say(&["NOSUCH", SECRET]).is_err());
    say(&["AUTH", "default", SECRET])?;
    say(&["CONFIG", "SET", "requirepass", ""])?;
    let issued: u64 = 10;
    let scrape = agent.settled()?;
    let all = scrape.select(COMMANDS).with("service", "client");
    all.is(issued)?;
    all.clone().with("command", "auth").is(4)?;
    all.clone()
        .with("command", "auth")
        .with("outcome", "WRONGPASS")
        .is(1)?;
    all.clone()
        .with("command", "_other")
        .with("outcome", "ERR")
        .is(1)?;
    ensure!(scene.since(&before)?.get("auth") == Some(&4));
    let (_, text) = agent.get("/metrics")?;
    let said = agent.process().printed();
    for secret in [SECRET, WRONG, "oops"] {
        ensure!(!text.contains(secret), "/metrics shows {secret}");
        ensure!(!said.contains(secret), "the log shows {secret}");
    }
    Ok(())
}

#[test]
fn subscriptions_inside_a_transaction_of_resp3_are_elements_of_its_reply() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut stream = scene
        .clients
        .host(|| Ok(std::net::TcpStream::connect(scene.server.address())?))?;
    let before = scene.counts()?;
    let script = "HELLO 3\r\nSET a 1\r\nMULTI\r\nSUBSCRIBE one two\r\nGET a\r\nGET none\r\n\
        UNSUBSCRIBE one\r\nEXEC\r\nGET a\r\nPING\r\nGET none\r\nQUIT\r\n";
    for line in script.split_inclusive("\r\n") {
        stream.write_all(line.as_bytes())?;
        sleep(Duration::from_millis(30));
    }
    stream.read_to_end(&mut Vec::new())?;
    drop(stream);
    counted(&agent, &scene.since(&before)?)?;
    let scrape = agent.settled()?;
    let all = scrape.select(COMMANDS).with("service", "client");
    all.clone().with("outcome", "unknown").is(0)?;
    all.clone().with("outcome", "queued").is(4)?;
    all.with("outcome", "ok").is(12 - 4)?;
    scrape.select(LOOKUPS).with("result", "hit").is(2)?;
    scrape.select(LOOKUPS).with("result", "miss").is(2)
}
