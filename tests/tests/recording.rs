//! A recording beside a run: the same counts, and nothing in it that no rule reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer::capture::record::Body;
use observer::capture::recording::{Ending, Item, Reader};
use observer_tests::agent::{Agent, binary};
use observer_tests::apps::App;
use observer_tests::cgroup::Cgroup;
use observer_tests::load::{self, Plan, Progress};
use observer_tests::postgres::Postgres;
use observer_tests::process::{Place, Process, finish, need};
use observer_tests::redis::Redis;
use observer_tests::scrape::Scrape;
use serde::Deserialize;

const DATABASE: &str = "naytifedb";

/// What the scenario sends, or is sent, that no rule reads.
const SECRETS: [&str; 13] = [
    "@example.com",
    "Ada Example",
    "1 Example Street",
    "zelda.private",
    "Zelda Confidential",
    "tok-8f2c61d0",
    "emVsZGE6aHVudGVyMg",
    "cookie-77aa01",
    "sk_live_51Jx",
    "4242424242424242",
    "hunter2",
    "+4915112345678",
    "Elm Street 9",
];

struct Scenario {
    app: App,
    cgroup: Cgroup,
    redis: Redis,
    postgres: Postgres,
}

impl Scenario {
    fn start() -> Result<Self> {
        let postgres = Postgres::start(Place::default())?;
        postgres.create(DATABASE)?;
        let redis = Redis::start(&Place::default())?;
        let cgroup = Cgroup::create("shop")?;
        let url = postgres.url(DATABASE);
        let app = App::shop(&Place::within(&cgroup), &url, redis.address())?;
        Ok(Self {
            app,
            cgroup,
            redis,
            postgres,
        })
    }

    /// The shop under load, and one customer of whom everything is a secret.
    fn drive(&self) -> Result<()> {
        let plan = Plan {
            address: self.app.address(),
            seed: 7,
            rate: 100,
            connections: 4,
            duration: Duration::from_secs(2),
        };
        tokio::runtime::Runtime::new()?.block_on(load::run(plan, Arc::new(Progress::default())))?;
        let body = "{\"shop_id\":1,\"email\":\"zelda.private@example.com\",\"name\":\"Zelda Confidential\",\
                    \"phone\":\"+4915112345678\",\"address\":\"Elm Street 9\"}";
        let client: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let path = "v1/auth/register-customer?token=tok-8f2c61d0";
        let order = "{\"customer_name\":\"Zelda Confidential\",\"shipping_address\":\"Elm Street 9\",\
                     \"shipping_method\":\"standard\",\"payment_method\":\"paystack\",\
                     \"transaction_id\":\"hunter2\",\"items\":[{\"product_variation_id\":\"1\",\
                     \"quantity\":2,\"price\":\"19.99\"}]}";
        let sent = client
            .post(format!("http://{}/v1/shops/1/orders", self.app.address()))
            .content_type("application/json")
            .send(order)?;
        ensure!(sent.status() == 201, "{}", sent.status());
        client
            .post(format!("http://{}/{path}", self.app.address()))
            .header("authorization", "Basic emVsZGE6aHVudGVyMg==")
            .header("cookie", "session=cookie-77aa01")
            .content_type("application/json")
            .send(body)?;
        let mut sql = self.postgres.command("psql", DATABASE)?;
        let text = "SELECT 'sk_live_51Jx' AS key, E'Elm Street 9', $$hunter2$$ -- zelda.private";
        sql.args(["-c", text]);
        self.inside(&mut sql)?;
        let port = self.redis.address().port().to_string();
        for words in [
            &["SET", "card:zelda.private", "4242424242424242"][..],
            &["GET", "card:zelda.private"],
            &["AUTH", "hunter2"],
        ] {
            let mut command = Command::new(need("redis-cli")?);
            command.args(["-p", &port]).args(words);
            self.inside(&mut command)?;
        }
        Ok(())
    }

    fn inside(&self, command: &mut Command) -> Result<String> {
        Place::within(&self.cgroup).apply(command)?;
        finish(command)
    }

    fn record(&self, directory: &Path, name: &str, more: &[&str]) -> Result<Process> {
        let mut command = Command::new(binary()?);
        command.arg("record").arg(directory.join(name)).args(more);
        command.arg("--cgroup").arg(self.cgroup.path());
        let log = directory.join(format!("{name}.log"));
        let mut process = Process::start(command, &log, &Place::default())?;
        let told = || {
            fs::read_to_string(&log)
                .ok()
                .filter(|text| text.contains("recording"))
        };
        process.until("record", told)?;
        Ok(process)
    }
}

fn replay(file: &Path, more: &[&str]) -> Result<String> {
    finish(Command::new(binary()?).arg("replay").arg(file).args(more))
}

/// What a file holds in the clear and unpacked.
fn held(file: &Path) -> Result<Vec<u8>> {
    let mut all = fs::read(file)?;
    let (_, mut reader) = Reader::new(fs::File::open(file)?)?;
    while let Some(item) = reader.item()? {
        match item {
            Item::Record(record) => match record.body {
                Body::Segment(head, tail) => {
                    all.extend_from_slice(head);
                    all.extend_from_slice(tail);
                }
                Body::Early(_, head) => all.extend_from_slice(head),
                Body::Connection(_, identity) => all.extend_from_slice(&identity.command),
                Body::Process(_, process) => all.extend_from_slice(&process.command),
            },
            Item::Name(_, path) => all.extend_from_slice(path.as_bytes()),
        }
        all.push(0);
    }
    ensure!(
        matches!(reader.ending(), Some(Ending::Whole(_))),
        "it has its end"
    );
    Ok(all)
}

fn found(all: &[u8]) -> Vec<&'static str> {
    let holds = |text: &str| {
        all.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let hexadecimal = |text: &str| {
        let mut digits = String::new();
        for byte in text.bytes() {
            // Writing to a string does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    };
    let secrets = SECRETS.into_iter();
    secrets
        .filter(|secret| holds(secret) || holds(&hexadecimal(secret)))
        .collect()
}

/// What metrics of traffic begin with.
const TRAFFIC: [&str; 4] = [
    "naytife_http_",
    "naytife_database_",
    "naytife_redis_",
    "naytife_graphql_",
];
/// What metrics of the business begin with.
const BUSINESS: [&str; 9] = [
    "naytife_checkout_",
    "naytife_customers_",
    "naytife_inventory_",
    "naytife_order",
    "naytife_payment",
    "naytife_revenue_",
    "naytife_shops",
    "naytife_stock_",
    "observer_facts_total",
];

/// What is counted of the platform: not when, to the microsecond, two agents saw it.
fn counts(scrape: &Scrape) -> BTreeMap<String, f64> {
    let begins = |name: &str, kinds: &[&str]| kinds.iter().any(|kind| name.starts_with(kind));
    let is_time = |name: &str| name.ends_with("_sum") || name.ends_with("_bucket");
    let is_count = |name: &str| name.ends_with("_count") || name.ends_with("_total");
    scrape
        .samples()
        .filter(|sample| {
            let name = sample.name.as_str();
            begins(name, &TRAFFIC) && is_count(name) || begins(name, &BUSINESS) && !is_time(name)
        })
        .map(|sample| (format!("{} {:?}", sample.name, sample.labels), sample.value))
        .collect()
}

#[test]
fn a_recording_counts_as_the_run_beside_it_and_keeps_no_secret() -> Result<()> {
    let scenario = Scenario::start()?;
    let directory = tempfile::tempdir()?;
    let agent = Agent::observe(&[&scenario.cgroup])?;
    let mut redacted = scenario.record(directory.path(), "redacted", &[])?;
    let mut plain = scenario.record(directory.path(), "plain", &["--unredacted"])?;
    scenario.drive()?;
    let live = agent.settled()?;
    let facts = live.select("observer_facts_total");
    for (rule, outcome) in [
        ("CreateOrder", "published"),
        ("CreateOrder", "rolled_back"),
        ("UpdateOrderStatusByTransactionID", "published"),
    ] {
        let some = facts.clone().with("rule", rule).with("outcome", outcome);
        ensure!(some.sum() > 0.0, "{rule} {outcome}:\n{facts}");
    }
    let paid = live.select("naytife_revenue_total");
    ensure!(paid.sum() > 0.0, "nobody paid");
    ensure!(redacted.stop()?.success() && plain.stop()?.success());
    ensure!(plain.printed().contains("warning: "), "{}", plain.printed());
    ensure!(
        !redacted.printed().contains("warning: "),
        "{}",
        redacted.printed()
    );

    let (redacted, plain) = (
        directory.path().join("redacted"),
        directory.path().join("plain"),
    );
    let mode = fs::metadata(&redacted)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
    assert_eq!(found(&held(&redacted)?), [""; 0], "of these none is kept");
    assert_eq!(found(&held(&plain)?), SECRETS, "all of them passed");

    let text = replay(&redacted, &[])?;
    assert_eq!(replay(&redacted, &[])?, text, "twice is the same");
    let replayed = Scrape::parse(&text)?;
    replayed.ledger_closes()?;
    explains(&redacted, &live)?;
    let (live, replayed) = (counts(&live), counts(&replayed));
    ensure!(live.len() > 80, "{live:#?}");
    assert_eq!(replayed, live);
    assert_eq!(counts(&Scrape::parse(&replay(&plain, &[])?)?), live);

    let transcript = replay(&plain, &["--transcript"])?;
    for said in [
        "POST /v1/auth/register-customer?",
        "status 2",
        "CommandComplete INSERT",
        "set with 2 arguments",
    ] {
        ensure!(transcript.contains(said), "{said}");
    }
    assert_eq!(
        found(transcript.as_bytes()),
        [""; 0],
        "a transcript tells none either"
    );
    Ok(())
}

/// What is told of a row.
#[derive(Deserialize)]
struct Told {
    rule: String,
    outcome: String,
    moved: Vec<Moved>,
}

#[derive(Deserialize)]
struct Moved {
    metric: String,
    by: f64,
}

/// Whether what is told of each row adds up to what was counted live, and tells no secret.
fn explains(recording: &Path, counted: &Scrape) -> Result<()> {
    let tell = |more: &[&str]| {
        let mut command = Command::new(binary()?);
        finish(command.args(["rules", "test"]).arg(recording).args(more))
    };
    let (text, json) = (tell(&[])?, tell(&["--json"])?);
    for told in [&text, &json] {
        assert_eq!(found(told.as_bytes()), [""; 0], "no reason tells a secret");
    }
    let rolled_back = "the transaction was rolled back on request, after SQLSTATE 23503";
    ensure!(text.contains(rolled_back), "{text}");
    let lines = json.lines().map(serde_json::from_str::<Told>);
    let mut outcomes = BTreeMap::new();
    let mut revenue = 0.0;
    // Those of rules and of queries have other fields.
    for told in lines.filter_map(Result::ok) {
        if told.outcome != "none" {
            *outcomes.entry((told.rule, told.outcome)).or_insert(0) += 1;
        }
        let mut moved = told.moved.iter();
        let money = moved.find(|moved| moved.metric == "naytife_revenue_total");
        revenue += money.map_or(0.0, |moved| moved.by);
    }
    let facts = counted.select("observer_facts_total");
    for ((rule, outcome), times) in &outcomes {
        let one = facts.clone().with("rule", rule);
        one.with("outcome", outcome).is(*times)?;
    }
    facts.is(outcomes.values().sum())?;
    let published = counted.select("naytife_revenue_total").sum();
    ensure!(
        (revenue - published).abs() < 0.005,
        "{revenue} of {published}"
    );
    Ok(())
}

#[test]
fn anybody_replays_what_they_may_read_and_a_cut_file_as_far_as_it_goes() -> Result<()> {
    let scenario = Scenario::start()?;
    let directory = tempfile::tempdir()?;
    let mut process = scenario.record(directory.path(), "whole", &["--max-bytes", "1"])?;
    scenario.drive()?;
    ensure!(process.stop()?.success());
    let again = Command::new(binary()?)
        .arg("record")
        .arg(directory.path().join("whole"))
        .output()?;
    let said = String::from_utf8(again.stderr)?;
    ensure!(
        !again.status.success() && said.contains("--force"),
        "{said}"
    );

    let file = directory.path().join("whole");
    let bytes = fs::read(&file)?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let mut command = Command::new(binary()?);
    command.arg("replay").arg(&file);
    Place::default().as_user("nobody")?.apply(&mut command)?;
    assert_eq!(finish(&mut command)?, replay(&file, &[])?);

    let cut = directory.path().join("cut");
    fs::write(&cut, &bytes[..bytes.len() - 9])?;
    let output = Command::new(binary()?).arg("replay").arg(&cut).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.success() && said.contains("has no end"),
        "{said}"
    );
    let stranger = directory.path().join("whole.log");
    let output = Command::new(binary()?)
        .arg("replay")
        .arg(&stranger)
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        !output.status.success() && said.contains("not a recording"),
        "{said}"
    );
    Ok(())
}
