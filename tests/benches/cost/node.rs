//! A scrape of the machine beside node-exporter's: its processor time, its latency, and what it
//! takes to be ready for it.

use std::io::Read as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flate2::read::GzDecoder;
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

/// How a scrape is asked for.
struct Way {
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const WAYS: [Way; 2] = [
    // What Prometheus 2.42 sends: node-exporter compresses its answer then, and ours does not.
    Way {
        name: "as Prometheus asks",
        headers: &[
            (
                "Accept",
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", "Prometheus/2.42.0"),
            ("X-Prometheus-Scrape-Timeout-Seconds", "10"),
        ],
    },
    Way {
        name: "of plain text",
        headers: &[],
    },
];

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
    for way in &WAYS {
        let (mut ours, mut theirs) = (Cost::default(), Cost::default());
        for _ in 0..ROUNDS {
            theirs.round(way, exporter.pid(), exporter.address())?;
            ours.round(way, agent.process().pid(), agent.address())?;
        }
        for (what, ours, theirs) in [
            ("CPU", &ours.cpu, &theirs.cpu),
            ("latency", &ours.latency, &theirs.latency),
        ] {
            let ratio = ours.over(theirs).median();
            report.add(
                format!(
                    "scrape with the machine's tables, {}, {what}, over node-exporter's",
                    way.name
                ),
                format!(
                    "{ratio:.2} × ({:.2} ms, {:.2} ms)",
                    ours.median(),
                    theirs.median()
                ),
                "⅓ ×",
                Verdict::at_most(ratio, LIMIT),
            );
        }
        for (unit, ours, theirs) in [
            ("CPU ms", ours.cpu, theirs.cpu),
            ("latency ms", ours.latency, theirs.latency),
        ] {
            report.keep(
                &format!("scrape {}", way.name),
                unit,
                [("observer", ours), ("node-exporter", theirs)],
            );
        }
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
    Ok(())
}

impl Way {
    /// The bytes of the answer as they came.
    fn ask(&self, client: &ureq::Agent, url: &str) -> Result<Vec<u8>> {
        let mut request = client.get(url);
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        Ok(request.call()?.body_mut().read_to_vec()?)
    }
}

impl Cost {
    fn round(&mut self, way: &Way, pid: u32, address: SocketAddr) -> Result<()> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
        let spent = || clock_gettime(clock).map(Duration::from);
        let url = format!("http://{address}/metrics");
        // Which keeps its connection where the exporter does, as Prometheus does.
        let client = ureq::Agent::new_with_defaults();
        // The first after a pause pays for cold caches.
        let (mut latency, mut before, mut whole) = (Series::new(), Duration::ZERO, 0);
        for number in 0..=SCRAPES {
            let start = Instant::now();
            let answer = way.ask(&client, &url)?;
            if number == 0 {
                ensure!(has_machine(&answer)?, "{url} has no machine");
                (before, whole) = (spent()?, answer.len());
            } else {
                latency.push(start.elapsed().as_secs_f64() * 1e3);
                ensure!(answer.len() > whole / 2, "{url} has lost its machine");
            }
        }
        let spent = spent()?.saturating_sub(before);
        self.cpu
            .push(spent.as_secs_f64() * 1e3 / f64::from(SCRAPES));
        self.latency.push(latency.median());
        Ok(())
    }
}

/// Whether it has the machine's tables, of those that come last too.
fn has_machine(answer: &[u8]) -> Result<bool> {
    let mut text = String::new();
    if answer.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(answer).read_to_string(&mut text)?;
    } else {
        text.push_str(str::from_utf8(answer)?);
    }
    Ok(text.contains("\nnode_cpu_seconds_total{") && text.contains("\nnode_vmstat_pgfault "))
}
