//! Real servers under load: what they lose by being observed, and what the agent takes for it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use observer_tests::cgroup::Cgroup;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;

use crate::bed::Bed;
use crate::floor::attach_floor;
use crate::machine::Used;
use crate::report::{Report, Verdict, figure, percent, progress};
use crate::series::{Series, Spread};
use crate::workload::{Limit, Server, Workload};

const ROUNDS: usize = 7;
/// The agent looks for records every few milliseconds.
const DRAIN: Duration = Duration::from_millis(100);

/// A server in a cgroup, and what its rounds gave.
struct Variant<'a> {
    name: &'static str,
    cgroup: &'a Cgroup,
    server: Server,
    /// Operations per second of time.
    rate: Series,
    /// Operations per second of processor time of the server and its load.
    economy: Series,
}

/// What a ratio says was lost of the bare throughput.
struct Loss {
    floor: f64,
    observed: f64,
    spread: Spread,
}

/// The agent's processor time per exchange in the rounds that it observed.
struct Own {
    user: Series,
    all: Series,
    /// What it had counted before the next.
    scrape: Scrape,
}

/// Throughput of a server, bare and observed; the agent's processor time per exchange.
pub(crate) fn measure(bed: &Bed, workload: &Workload, report: &mut Report) -> Result<()> {
    progress(workload.name);
    let mut variants = [
        Variant::start("bare", bed, &bed.bare, workload)?,
        Variant::start("bare again", bed, &bed.again, workload)?,
        Variant::start("floor program", bed, &bed.floor, workload)?,
        Variant::start("observed", bed, &bed.observed, workload)?,
    ];
    let _floor = attach_floor(&bed.object, &bed.floor, workload.floor, bed.cores.observer)?;
    let mut own = Own::of(bed)?;
    let first = own.scrape.clone();
    for round in 0..=ROUNDS {
        for variant in &mut variants {
            let used = Used::by(&bed.home)?;
            let (rate, economy) = variant.run(bed, workload)?;
            sleep(DRAIN);
            let used = Used::by(&bed.home)?.since(used);
            // The first round warms caches up.
            let counts = round > 0;
            if counts {
                variant.rate.push(rate);
                variant.economy.push(economy);
            }
            if variant.name == "observed" {
                own.add(bed, workload, used, counts)?;
            }
        }
    }
    let rates = variants.each_ref().map(|variant| &variant.rate);
    let economies = variants.each_ref().map(|variant| &variant.economy);
    for (what, series) in [
        ("throughput", rates),
        ("throughput per CPU second", economies),
    ] {
        let what = format!("{}, {what}", workload.name);
        Loss::of(series).report(&what, workload.limit, report);
    }
    own.report(workload, report);
    lost(workload, &first, &own.scrape, report);
    let names = variants.each_ref().map(|variant| variant.name);
    for (unit, series) in [("per second", rates), ("per CPU second", economies)] {
        report.keep(
            workload.name,
            unit,
            names.into_iter().zip(series.map(Clone::clone)),
        );
    }
    let comparison = format!("{}, the agent's CPU per {}", workload.name, workload.unit);
    let series = [("user", own.user), ("user and system", own.all)];
    report.keep(&comparison, "µs", series);
    Ok(())
}

/// What the agent takes when nothing happens.
pub(crate) fn idle(bed: &Bed, report: &mut Report) -> Result<()> {
    progress("the agent, idle");
    sleep(Duration::from_secs(1));
    let (before, start) = (Used::by(&bed.home)?, Instant::now());
    sleep(Duration::from_secs(5));
    let used = Used::by(&bed.home)?.since(before);
    let share = used.all / 1e6 / start.elapsed().as_secs_f64();
    report.add(
        "the agent without traffic, of a core",
        format!("{:.2} %", share * 100.0),
        "",
        Verdict::Stated,
    );
    Ok(())
}

/// By how much a metric grew.
fn grown(before: &Scrape, after: &Scrape, metric: &str) -> f64 {
    after.select(metric).sum() - before.select(metric).sum()
}

/// What of the payload was not decoded.
fn lost(workload: &Workload, before: &Scrape, after: &Scrape, report: &mut Report) {
    let of = |outcome| {
        let sum = |scrape: &Scrape| {
            scrape
                .select("observer_bytes_total")
                .with("outcome", outcome)
                .sum()
        };
        sum(after) - sum(before)
    };
    report.add(
        format!("{}, payload lost", workload.name),
        format!("{:.3} %", of("lost") / of("seen") * 100.0),
        "",
        Verdict::Stated,
    );
}

impl<'a> Variant<'a> {
    fn start(
        name: &'static str,
        bed: &Bed,
        cgroup: &'a Cgroup,
        workload: &Workload,
    ) -> Result<Self> {
        let start = || (workload.start)(&Place::within(cgroup));
        Ok(Self {
            name,
            cgroup,
            server: bed.cores.observed.run(start)?,
            rate: Series::new(),
            economy: Series::new(),
        })
    }

    /// Operations per second, and per second of processor time.
    fn run(&self, bed: &Bed, workload: &Workload) -> Result<(f64, f64)> {
        let used = || Ok::<_, anyhow::Error>(Used::by(self.cgroup)?.all + Used::by(&bed.load)?.all);
        let before = used()?;
        let place = Place::within(&bed.load);
        let done = bed
            .cores
            .observed
            .run(|| workload.run(&self.server, &place))?;
        Ok((done.rate, done.operations * 1e6 / (used()? - before)))
    }
}

impl Loss {
    fn of([bare, again, floor, observed]: [&Series; 4]) -> Self {
        let lost = |series: &Series| 1.0 - series.over(bare).median();
        Self {
            floor: lost(floor),
            observed: lost(observed),
            spread: again.over(bare).spread(),
        }
    }

    fn report(&self, what: &str, limit: Limit, report: &mut Report) {
        let (limit, verdict) = match limit {
            Limit::Share(share) => (
                percent(share),
                Verdict::within(self.observed, share, self.spread),
            ),
            Limit::TwiceTheFloor => (
                format!("2 × {}", percent(self.floor)),
                Verdict::within(self.observed, 2.0 * self.floor, self.spread),
            ),
            Limit::None => (String::new(), Verdict::Stated),
        };
        report.add(
            format!("{what}, lost when observed"),
            format!(
                "{} (A/A {})",
                percent(self.observed),
                percent(self.spread.0)
            ),
            limit,
            verdict,
        );
    }
}

impl Own {
    fn of(bed: &Bed) -> Result<Self> {
        Ok(Self {
            user: Series::new(),
            all: Series::new(),
            scrape: bed.agent.settled()?,
        })
    }

    /// A round is over that took so much; `counts` unless it only warmed up.
    fn add(&mut self, bed: &Bed, workload: &Workload, used: Used, counts: bool) -> Result<()> {
        let scrape = bed.agent.settled()?;
        let exchanges = grown(&self.scrape, &scrape, workload.metric);
        self.scrape = scrape;
        if counts {
            self.user.push(used.user / exchanges);
            self.all.push(used.all / exchanges);
        }
        Ok(())
    }

    fn report(&self, workload: &Workload, report: &mut Report) {
        let user = self.user.median();
        report.add(
            format!(
                "{}, the agent's user CPU per {}",
                workload.name, workload.unit
            ),
            format!(
                "{} µs (with system {} µs)",
                figure(user),
                figure(self.all.median())
            ),
            format!("{} µs", workload.user_limit),
            Verdict::at_most(user, workload.user_limit),
        );
    }
}
