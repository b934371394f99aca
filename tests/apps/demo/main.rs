//! A small shop under load, seen through the agent.
#![forbid(unsafe_code)]

mod screen;
mod table;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use observer_tests::account;
use observer_tests::agent::Agent;
use observer_tests::apps::App;
use observer_tests::cgroup::Cgroup;
use observer_tests::load::{self, Plan, Progress, Sent};
use observer_tests::postgres::Postgres;
use observer_tests::process::Place;
use observer_tests::redis::Redis;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::Screen;

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

/// What is started, in the order in which it is stopped.
struct Stage {
    agent: Agent,
    shop: App,
    _cgroup: Cgroup,
    redis: Redis,
    postgres: Postgres,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that was sent was counted.
fn run(args: &Args) -> Result<bool> {
    let runtime = Runtime::new()?;
    let (sender, events) = channel();
    listen_for_signals(&runtime, sender.clone())?;
    let stage = match start(&events) {
        Ok(stage) => stage,
        Err(_) if interrupted(&events) => bail!("interrupted; everything is stopped"),
        Err(error) => return Err(error),
    };

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
    let Some(sent) = watch(&stage, &events, &progress, plan.duration)? else {
        bail!("interrupted; everything is stopped");
    };

    say("waiting until everything that was seen is counted");
    let agrees = conclude(&stage, &sent)?;
    Ok(agrees)
}

fn start(events: &Receiver<Event>) -> Result<Stage> {
    let go_on = || {
        if interrupted(events) {
            bail!("interrupted");
        }
        Ok(())
    };
    say("starting PostgreSQL, Redis and the shop");
    let postgres = Postgres::start(Place::default())?;
    postgres.create(DATABASE)?;
    go_on()?;
    let redis = Redis::start(&Place::default())?;
    let cgroup = Cgroup::create(SERVICE)?;
    let url = postgres.url(DATABASE);
    let shop = App::shop(&Place::within(&cgroup), &url, redis.address())?;
    go_on()?;
    say(&format!("observing the cgroup {}", cgroup.path().display()));
    let agent = Agent::observe(&[&cgroup])?;
    go_on()?;
    Ok(Stage {
        agent,
        shop,
        _cgroup: cgroup,
        redis,
        postgres,
    })
}

/// Shows what the agent exposes until the load is over; `None` when the user ended it.
fn watch(
    stage: &Stage,
    events: &Receiver<Event>,
    progress: &Progress,
    duration: Duration,
) -> Result<Option<Sent>> {
    let mut screen = Screen::new(SERVICE, stage.agent.address());
    let start = Instant::now();
    let mut due = start + REFRESH;
    loop {
        match events.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(Event::Sent(sent)) => {
                screen.show(
                    &stage.agent.scrape()?,
                    progress.requests(),
                    start.elapsed(),
                    duration,
                );
                screen.finish();
                return Ok(Some(sent?));
            }
            Ok(Event::Interrupted) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                due += REFRESH;
                screen.show(
                    &stage.agent.scrape()?,
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
    let scrape = stage.agent.scrape()?;
    // The shop's own connections have no application name.
    let log = stage.postgres.statements()?.of(DATABASE).by("");
    let redis = (stage.redis.usage()?, stage.redis.lookups()?);
    let sections = [
        (
            "HTTP, against the load",
            account::http(sent, &scrape, SERVICE),
        ),
        (
            "SQL, against PostgreSQL's statement log",
            account::sql(&log, &scrape, SERVICE),
        ),
        (
            "Redis, against INFO",
            account::redis(&redis.0, redis.1, &scrape, SERVICE),
        ),
    ];
    let wrong: usize = sections
        .iter()
        .map(|(title, lines)| {
            eprintln!("\n{}", table::accounts(title, lines));
            lines.iter().filter(|line| !line.agrees()).count()
        })
        .sum();
    let verdict = match (wrong, &settled) {
        (0, Ok(_)) => {
            "Everything that was sent was counted, and the ledger of bytes closes.".into()
        }
        (0, Err(error)) => format!("Everything was counted, but {error:#}"),
        (n, _) => format!("{n} lines do not agree."),
    };
    eprintln!(
        "\n{verdict}\n\nWhere to look next: docs/metrics.md for every metric, docs/architecture.md for how it \
         works,\n`cargo xtask run -- --cgroup PATH` to observe something of your own, and\n\
         `curl http://127.0.0.1:9464/metrics` to see it."
    );
    Ok(wrong == 0 && settled.is_ok())
}

fn listen_for_signals(runtime: &Runtime, sender: Sender<Event>) -> Result<()> {
    let _context = runtime.enter();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let sender = sender.clone();
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(Event::Interrupted).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

fn interrupted(events: &Receiver<Event>) -> bool {
    matches!(events.try_recv(), Ok(Event::Interrupted))
}

fn say(what: &str) {
    eprintln!("==> {what}");
}
