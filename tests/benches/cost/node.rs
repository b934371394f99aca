//! A scrape of the machine beside node-exporter's: its processor time, its latency, and what it
//! takes to be ready for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::node_exporter::NodeExporter;
use observer_tests::scrape::Scrape;

use crate::report::{Report, Verdict, progress};
use crate::series::Series;

const ROUNDS: usize = 15;
/// Scrapes of one exporter in a round.
const SCRAPES: u32 = 20;
const LIMIT: f64 = 1.0 / 3.0;

/// What a round of one exporter took for each scrape, in milliseconds.
#[derive(Default)]
struct Cost {
    cpu: Series,
    latency: Series,
}

/// Both in turns, with their defaults: `/metrics` of either has everything that it has.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    progress("scrapes of the machine");
    let idle = Cgroup::create("node-cost")?;
    let (agent, exporter) = (Agent::observe(&[&idle])?, NodeExporter::start()?);
    let (mut ours, mut theirs) = (Cost::default(), Cost::default());
    for _ in 0..ROUNDS {
        theirs.round(exporter.pid(), exporter.address())?;
        ours.round(agent.process().pid(), agent.address())?;
    }
    for (what, ours, theirs) in [
        ("CPU", &ours.cpu, &theirs.cpu),
        ("latency", &ours.latency, &theirs.latency),
    ] {
        let ratio = ours.over(theirs).median();
        report.add(
            format!("scrape with the machine's tables, {what}, over node-exporter's"),
            format!(
                "{ratio:.2} × ({:.2} ms, {:.2} ms)",
                ours.median(),
                theirs.median()
            ),
            "⅓ ×",
            Verdict::at_most(ratio, LIMIT),
        );
    }
    let resident = |scrape: &Scrape| scrape.select("process_resident_memory_bytes").sum();
    report.add(
        "resident memory after these scrapes, the whole agent; node-exporter",
        format!(
            "{:.1} MiB; {:.1} MiB",
            resident(&agent.scrape()?) / f64::from(1 << 20),
            resident(&exporter.scrape()?) / f64::from(1 << 20)
        ),
        "",
        Verdict::Stated,
    );
    report.keep(
        "scrape",
        "CPU ms",
        [("observer", ours.cpu), ("node-exporter", theirs.cpu)],
    );
    report.keep(
        "scrape",
        "latency ms",
        [
            ("observer", ours.latency),
            ("node-exporter", theirs.latency),
        ],
    );
    Ok(())
}

impl Cost {
    fn round(&mut self, pid: u32, address: SocketAddr) -> Result<()> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
        let spent = || clock_gettime(clock).map(Duration::from);
        let url = format!("http://{address}/metrics");
        // The first after a pause pays for cold caches.
        let (mut latency, mut before) = (Series::new(), Duration::ZERO);
        for number in 0..=SCRAPES {
            let start = Instant::now();
            let text = ureq::get(&url).call()?.body_mut().read_to_string()?;
            ensure!(text.contains("\nnode_uname_info{"), "{url} has no machine");
            if number == 0 {
                before = spent()?;
            } else {
                latency.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        let spent = spent()?.saturating_sub(before);
        self.cpu
            .push(spent.as_secs_f64() * 1e3 / f64::from(SCRAPES));
        self.latency.push(latency.median());
        Ok(())
    }
}
