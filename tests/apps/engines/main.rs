//! Runs the Compose file beside a shop, under real Docker and real Podman, and counts: what was sent
//! beside what the agent says, under the names that Compose gave.
#![forbid(unsafe_code)]

mod engine;
mod platform;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use observer_tests::account::Line;
use observer_tests::agent::sibling;
use observer_tests::cgroup::{Forest, mount};
use observer_tests::load::Sent;
use observer_tests::process::finish;
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use self::engine::{Engine, Kind};
use self::platform::{BACKEND, PROJECT, Platform, Teller};

#[derive(Debug, Parser)]
struct Args {
    /// The agent's image
    #[arg(long)]
    image: PathBuf,
    /// An image around the machine's programs
    #[arg(long)]
    host: PathBuf,
    /// What the Compose file of the project is in
    #[arg(long)]
    deploy: PathBuf,
    /// How long each load lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// What is tried: the engine, who tells the agent, and what the backend is called then. Podman's
/// files have no labels, so there it goes by its container's name.
const TRIALS: [(Kind, Teller, Option<&str>); 4] = [
    (Kind::Docker, Teller::Socket, Some(BACKEND)),
    (Kind::Docker, Teller::Files, Some(BACKEND)),
    (Kind::Podman, Teller::Socket, Some(BACKEND)),
    (Kind::Podman, Teller::Files, None),
];

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let name = format!("observer-engines-{}", std::process::id());
    end_in_order(mount()?.join(&name))?;
    let files = tempfile::tempdir()?;
    let mut rows = Vec::new();
    for kind in [Kind::Docker, Kind::Podman] {
        let directory = files.path().join(format!("{kind:?}").to_lowercase());
        let forest = Forest::plant(&name)?;
        let engine = Engine::start(kind, &directory)?;
        finish(
            engine
                .command("docker")?
                .arg("load")
                .stdin(File::open(&args.image)?),
        )?;
        let host = args.host.to_string_lossy();
        finish(
            engine
                .command("docker")?
                .args(["import", &host, "naytife/host:0.1.0"]),
        )?;
        for (_, teller, service) in TRIALS.iter().filter(|(engine, ..)| *engine == kind) {
            let directory = directory.join(format!("{teller:?}"));
            fs::create_dir(&directory)?;
            let trial = format!("{kind:?}, {teller:?}");
            eprintln!("{trial}");
            let service = service.map_or_else(|| format!("{PROJECT}_{BACKEND}_1"), str::to_owned);
            let platform = (&engine, &*directory, forest.name(), *teller);
            let counted = run(&args, platform, &service).with_context(|| trial.clone())?;
            rows.extend(
                counted
                    .into_iter()
                    .map(|(what, lines)| (format!("{trial}: {what} of {service}"), lines)),
            );
        }
    }
    Ok(report(&rows))
}

/// Has a signal end the containers rather than this program: what waits for them fails then, and all
/// that was started is taken down as after any other failure.
fn end_in_order(cgroup: PathBuf) -> Result<()> {
    let runtime = Runtime::new()?;
    let mut terminate = {
        let _inside = runtime.enter();
        signal(SignalKind::terminate())?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                // Not there yet, or not any more.
                let _ = fs::write(cgroup.join("cgroup.kill"), "1");
            }
        });
    });
    Ok(())
}

/// Starts and loads the backend under the agent's eyes, then another container of it; the lines of
/// each.
fn run(
    args: &Args,
    (engine, files, cgroup, teller): (&Engine, &Path, &str, Teller),
    service: &str,
) -> Result<Vec<(String, Vec<Line>)>> {
    let shop = sibling("shop")?;
    let programs = shop.parent().context("no directory")?;
    let platform = Platform::start(engine, files, (&args.deploy, programs), cgroup, teller)?;
    let mut sent = Sent::default();
    let mut rows = Vec::new();
    for (seed, container) in [(1, "a container"), (2, "the next")] {
        platform.renew_backend(&mut sent)?;
        let (before, _) = platform.account(&sent, service)?;
        sent.add(platform.load(seed, Duration::from_secs(args.seconds))?);
        let (after, scrape) = platform.account(&sent, service)?;
        for (carrier, lines) in after.since(&before)? {
            rows.push((format!("{carrier} of {container}"), lines));
        }
        let names = scrape.samples().filter_map(|one| one.labels.get("service"));
        let ids = names.filter(|name| name.len() == 64).count();
        rows.push((
            "ids for names".to_owned(),
            vec![Line {
                what: "services".to_owned(),
                sent: 0,
                counted: u64::try_from(ids)?,
            }],
        ));
    }
    Ok(rows)
}

/// A row each, with what differs below it.
fn report(rows: &[(String, Vec<Line>)]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    eprintln!("{:<64} {:>9} {:>9}", "what", "sent", "counted");
    for (what, lines) in rows {
        let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>();
        let differ: Vec<&Line> = lines.iter().filter(|line| !line.agrees()).collect();
        let verdict = if differ.is_empty() { "ok" } else { "NOT OK" };
        let (sent, counted) = (sum(|line| line.sent), sum(|line| line.counted));
        eprintln!("{what:<64} {sent:>9} {counted:>9} {verdict}");
        for line in differ {
            eprintln!(
                "    {}: {} sent, {} counted",
                line.what, line.sent, line.counted
            );
            code = ExitCode::FAILURE;
        }
    }
    code
}
