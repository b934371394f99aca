//! A small shop under load, seen through the agent.
#![forbid(unsafe_code)]

mod screen;
mod table;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    let interrupted = Interrupted::default();
    interrupted.listen(&runtime, &sender)?;
    // A signal from the terminal also ends what we started, which then is no error of its own.
    let ended = |result: Result<bool>| match result {
        _ if interrupted.is_set() => bail!("interrupted; everything is stopped"),
        other => other,
    };
    ended(show(args, &runtime, sender, &events, &interrupted))
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
                screen.show(
                    &stage.agent.scrape()?,
                    progress.requests(),
                    start.elapsed(),
                    duration,
                );
                screen.finish();
                return sent;
            }
            Ok(Event::Interrupted) => bail!("interrupted"),
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
