//! A long run: the shop under load, one fault after the other, exact again after each.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::sys::signal::Signal;
use observer_tests::trial::{Round, Trial};

#[derive(Debug, Parser)]
struct Args {
    /// How long; the round that has begun is finished
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

/// Load between two faults.
const CALM: Duration = Duration::from_secs(20);
/// Memory that the agent may have more of than after the first rounds.
const SLACK: u64 = 16 << 20;

/// What is done to the agent while the shop is under load.
struct Fault {
    name: &'static str,
    lasts: Duration,
    act: fn(&mut Trial) -> Result<()>,
    /// Bytes must be lost, or none may be.
    loses: bool,
}

const FAULTS: [Fault; 4] = [
    Fault {
        name: "nothing",
        lasts: CALM,
        act: |_| Ok(()),
        loses: false,
    },
    Fault {
        name: "SIGSTOP for 30 s",
        lasts: Duration::from_secs(40),
        act: stop,
        loses: true,
    },
    Fault {
        name: "SIGKILL and a new start",
        lasts: CALM,
        act: kill,
        loses: false,
    },
    Fault {
        name: "scrapers that never read",
        lasts: CALM,
        act: scrape,
        loses: false,
    },
];

fn stop(trial: &mut Trial) -> Result<()> {
    sleep(Duration::from_secs(2));
    let process = trial.agent().process();
    process.signal(Signal::SIGSTOP)?;
    sleep(Duration::from_secs(30));
    process.signal(Signal::SIGCONT)
}

fn kill(trial: &mut Trial) -> Result<()> {
    sleep(Duration::from_secs(5));
    trial.agent().process().signal(Signal::SIGKILL)?;
    trial.restart()
}

fn scrape(trial: &mut Trial) -> Result<()> {
    for _ in 0..3 {
        let mut stream = TcpStream::connect(trial.agent().address())?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
        sleep(Duration::from_secs(5));
        trial.agent().scrape()?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let start = Instant::now();
    // Of the ring's default size a pause of 30 s fills several.
    let mut trial = Trial::start("")?;
    let mut least = None;
    let mut rounds = 0_u32;
    while start.elapsed() < Duration::from_secs(60 * args.minutes) || rounds == 0 {
        for fault in &FAULTS {
            let round = faulty(&mut trial, fault).with_context(|| fault.name)?;
            let after = trial.round(CALM, |_| Ok(()))?;
            after
                .is_exact_but_for_names()
                .with_context(|| format!("after {}", fault.name))?;
            let resident = trial.resident()?;
            let first = *least.get_or_insert(resident);
            ensure!(resident <= first + SLACK, "{resident} bytes, first {first}");
            report(fault, &round, resident);
        }
        rounds += 1;
    }
    eprintln!("{rounds} times each fault, and exact after each");
    Ok(())
}

fn faulty(trial: &mut Trial, fault: &Fault) -> Result<Round> {
    let before = lost(trial)?;
    let round = trial.round(fault.lasts, fault.act)?;
    round.is_honest()?;
    let more = lost(trial)? > before;
    ensure!(!more || fault.loses, "bytes were lost");
    ensure!(more || !fault.loses, "nothing was lost");
    Ok(round)
}

/// Bytes that found no room in the ring.
fn lost(trial: &Trial) -> Result<f64> {
    let scrape = trial.agent().scrape()?;
    let lost = scrape.select("observer_bytes_total");
    Ok(lost.with("reason", "ring_full").sum())
}

fn report(fault: &Fault, round: &Round, resident: u64) {
    let sent: u64 = round.account.lines().map(|line| line.sent).sum();
    let counted: u64 = round.account.lines().map(|line| line.counted).sum();
    eprintln!(
        "{:<26} sent {sent:>7}, counted {counted:>7}, then exact; {} KiB of its own",
        fault.name,
        resident / 1024
    );
}
