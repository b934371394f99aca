//! A small shop under load, seen through the agent.
#![forbid(unsafe_code)]

mod figures;
mod layout;
mod screen;
mod table;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nix::unistd::geteuid;
use observer_tests::account;
use observer_tests::agent::Agent;
use observer_tests::apps::App;
use observer_tests::cgroup::Cgroup;
use observer_tests::load::{self, Plan, Progress, Sent};
use observer_tests::orders;
use observer_tests::postgres::Postgres;
use observer_tests::process::Place;
use observer_tests::redis::Redis;
use observer_tests::scrape::Scrape;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::{Screen, size};

const DATABASE: &str = "naytifedb";
/// The cgroup's name, and so the service's.
const SERVICE: &str = "shop";
const CONNECTIONS: u32 = 8;
const REFRESH: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
struct Args {
    /// How long the shop is under load
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Requests per second
    #[arg(long, default_value_t = 400)]
    rate: u32,
    /// The same seed, the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What ends the wait.
enum Event {
    Sent(Result<Sent>),
    Interrupted,
}

/// Whether the user wants it to end.
#[derive(Debug, Default)]
struct Interrupted(Arc<AtomicBool>);

/// What is started, in the order in which it is stopped.
struct Stage {
    agent: Agent,
    shop: App,
    _cgroup: Cgroup,
    redis: Redis,
    postgres: Postgres,
}

/// What shells make of a program that SIGINT ended.
const BY_SIGNAL: u8 = 130;

fn main() -> ExitCode {
    let interrupted = Interrupted::default();
    let result = run(&Args::parse(), &interrupted);
    // A signal from the terminal also ends what we started, which then is no error of its own.
    if interrupted.is_set() {
        eprintln!("interrupted; everything is stopped");
        return ExitCode::from(BY_SIGNAL);
    }
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that was sent was counted.
fn run(args: &Args, interrupted: &Interrupted) -> Result<bool> {
    if !geteuid().is_root() {
        bail!("the demo takes root: run `cargo xtask demo` as root");
    }
    let runtime = Runtime::new()?;
    let (sender, events) = channel();
    interrupted.listen(&runtime, &sender)?;
    show(args, &runtime, sender, &events, interrupted)
}

/// The whole show; what it started is stopped when it returns.
fn show(
    args: &Args,
    runtime: &Runtime,
    sender: Sender<Event>,
    events: &Receiver<Event>,
    interrupted: &Interrupted,
) -> Result<bool> {
    let stage = start(interrupted)?;

    let plan = Plan {
        address: stage.shop.address(),
        seed: args.seed,
        rate: args.rate,
        connections: CONNECTIONS,
        duration: Duration::from_secs(args.seconds.into()),
    };
    let progress = Arc::new(Progress::default());
    let load = load::run(plan, Arc::clone(&progress));
    runtime.spawn(async move { sender.send(Event::Sent(load.await)) });
    let sent = watch(&stage, events, &progress, plan.duration)?;
    say("waiting until everything that was seen is counted");
    conclude(&stage, &sent)
}

fn start(interrupted: &Interrupted) -> Result<Stage> {
    say("starting PostgreSQL, Redis and the shop");
    let postgres = Postgres::start(Place::default())?;
    postgres.create(DATABASE)?;
    interrupted.check()?;
    let redis = Redis::start(&Place::default())?;
    let cgroup = Cgroup::create(SERVICE)?;
    let url = postgres.url(DATABASE);
    let shop = App::shop(&Place::within(&cgroup), &url, redis.address())?;
    // In the shop's own transactions, and without a word on its connections.
    orders::note(&url)?;
    interrupted.check()?;
    say(&format!("observing the cgroup {}", cgroup.path().display()));
    let agent = Agent::observe(&[&cgroup])?;
    interrupted.check()?;
    Ok(Stage {
        agent,
        shop,
        _cgroup: cgroup,
        redis,
        postgres,
    })
}

/// Shows what the agent exposes until the load is over.
fn watch(
    stage: &Stage,
    events: &Receiver<Event>,
    progress: &Progress,
    duration: Duration,
) -> Result<Sent> {
    let mut screen = Screen::new(SERVICE, stage.agent.address());
    let start = Instant::now();
    let mut due = start + REFRESH;
    loop {
        match events.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Event::Sent(sent)) => {
                screen.finish(&stage.agent.scrape()?, start.elapsed());
                return sent;
            }
            Ok(Event::Interrupted) => bail!("interrupted"),
            Err(RecvTimeoutError::Timeout) => {
                due += REFRESH;
                screen.show(
                    stage.agent.scrape()?,
                    progress.requests(),
                    start.elapsed(),
                    duration,
                );
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the load ended without a word"),
        }
    }
}

/// Puts sent beside counted; whether they agree.
fn conclude(stage: &Stage, sent: &Sent) -> Result<bool> {
    let settled = stage.agent.settled();
    let (_, text) = stage.agent.get("/metrics")?;
    let scrape = Scrape::parse(&text)?;
    // The shop's own connections have no application name.
    let log = stage.postgres.statements()?.of(DATABASE).by("");
    let (usage, lookups) = (stage.redis.usage()?, stage.redis.lookups()?);
    let orders = orders::account(&mut stage.postgres.client(DATABASE)?, &scrape)?;
    let sections = [
        ("Orders, noted by a trigger", orders),
        (
            "HTTP, sent by the load",
            account::http(sent, &scrape, SERVICE),
        ),
        (
            "SQL, in PostgreSQL's statement log",
            account::sql(&log, &scrape, SERVICE),
        ),
        (
            "Redis, in its INFO",
            account::redis(&usage, lookups, &scrape, SERVICE),
        ),
    ];
    let wrong = sections
        .iter()
        .flat_map(|(_, lines)| lines)
        .filter(|line| !line.agrees())
        .count();
    let sum = |metric| scrape.select(metric).with("service", SERVICE).sum();
    let verdict = match (wrong, sent.unanswered, &settled) {
        (0, 0, Ok(_)) => format!(
            "Counted as sent: {} orders, to the cent; {} requests, {} SQL executions, {} Redis commands.\n\
             The ledger closes: every byte is accounted for.",
            scrape
                .select("naytife_orders_total")
                .with("status", "pending")
                .sum(),
            sum("naytife_http_request_duration_seconds_count"),
            sum("naytife_database_query_duration_seconds_count"),
            sum("naytife_redis_commands_total"),
        ),
        (0, 0, Err(error)) => format!("Everything was counted, but {error:#}"),
        (0, unanswered, _) => format!("The shop did not answer {unanswered} requests."),
        (wrong, ..) => format!("{wrong} lines do not agree."),
    };
    eprintln!(
        "{}\n{verdict}\n",
        table::accounts(&sections, size().columns)
    );
    eprintln!("Some of the {} lines of /metrics:\n", scrape.lines());
    for line in EXAMPLES.iter().filter_map(|start| largest(&text, start)) {
        eprintln!("  {line}");
    }
    eprintln!("{NEXT}");
    Ok(wrong == 0 && sent.unanswered == 0 && settled.is_ok())
}

/// The beginnings of lines that show what there is.
const EXAMPLES: [&str; 4] = [
    "naytife_revenue_total{",
    "naytife_http_request_duration_seconds_count{method=\"POST\",endpoint=\"/v1/shops/{shop_id}/orders\"",
    "naytife_database_query_duration_seconds_count{service=\"shop\",database=\"naytifedb\",query=\"CreateOrder\"",
    "naytife_redis_lookups_total{service=\"shop\",result=\"hit\"",
];

const NEXT: &str = "
Where to look next
  docs/metrics.md                   every metric, and where it comes from
  docs/operations.md                run it on a host, have Prometheus scrape it
  docs/architecture.md              how it works
  cargo xtask run -- --cgroup PATH  observe something of your own; then:
                                    curl http://127.0.0.1:9464/metrics";

/// Of the lines that begin like this, the one with the largest value.
fn largest<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    text.lines()
        .filter(|line| line.starts_with(start))
        .max_by(|a, b| value(a).unwrap_or(0.0).total_cmp(&value(b).unwrap_or(0.0)))
}

// === impl Interrupted ===

impl Interrupted {
    fn listen(&self, runtime: &Runtime, sender: &Sender<Event>) -> Result<()> {
        let _context = runtime.enter();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            let mut signals = signal(kind).context("cannot listen for signals")?;
            let (flag, sender) = (Arc::clone(&self.0), sender.clone());
            runtime.spawn(async move {
                while signals.recv().await.is_some() {
                    flag.store(true, Ordering::Relaxed);
                    // Nobody waits any more when the show is over.
                    let _ = sender.send(Event::Interrupted);
                }
            });
        }
        Ok(())
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        if self.is_set() {
            bail!("interrupted");
        }
        Ok(())
    }
}

fn say(what: &str) {
    eprintln!("==> {what}");
}
