//! The agent: the stages, joined to the kernel below and to the exporter above.
//!
//! ```text
//!   capture ─▶ pipeline ─▶ facts (interpret, record) ─▶ export
//! ```

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context as _;

use crate::capture::{Capture, Settings as CaptureSettings, host};
use crate::cli::{Parts, Requirement, Running, Setup, State};
use crate::config::{Config, Selection};
use crate::correlate::postgres::Shared;
use crate::export::Observed;
use crate::interpret::{Interpreter, Needs, Plan, Rules};
use crate::pipeline::protocols::Known;
use crate::pipeline::{Lane, Pipeline};
use crate::workloads::Workloads;
use crate::workloads::cgroup::Cgroups;

mod facts;
mod kernel;
mod names;
pub mod record;
pub mod replay;
mod watch;

use facts::Facts;
use kernel::{Ring, Seen, Sink};
use names::Names;
use watch::{Watch, Watched};

/// What `observer` is made of.
pub const PARTS: Parts = Parts {
    requirements,
    start,
    record: record::record,
    replay: replay::replay,
};

fn requirements(_config: &Config) -> Vec<Requirement> {
    host::requirements()
        .into_iter()
        .map(|row| Requirement {
            name: row.name.to_owned(),
            state: match (row.met, row.required) {
                (true, _) => State::Met(row.found),
                (false, true) => State::Missing(row.found),
                (false, false) => State::Degraded(row.found),
            },
            remedy: row.remedy.to_owned(),
        })
        .collect()
}

/// The running stages.
struct Live {
    watch: Watch,
    seen: Arc<Seen>,
}

/// Loads and attaches the programs and starts every stage.
///
/// # Errors
/// One sentence that says what cannot be had; what was attached goes with it.
pub fn start(setup: Setup) -> anyhow::Result<Box<dyn Running>> {
    let plan = plan(&setup.config)?;
    let mut capture = Capture::load(&setup.config.capture)?;
    report(&setup.config.capture);
    // Before anything is attached: what the agent says to Prometheus is not the platform's.
    capture
        .disown(&setup.listener)
        .context("cannot mark the agent's own listener")?;
    let cgroups = Cgroups::at(capture.cgroup_mount().to_owned());
    let workloads = Workloads::new(Some(cgroups));
    let roster = workloads.roster();
    let names = Names(workloads);
    let interpreter = Interpreter::new(Arc::clone(&plan), &setup.config.interpret, Box::new(names));
    let done = Arc::new(AtomicU64::new(0));
    let facts = Facts::new(
        interpreter,
        setup.recorder,
        Arc::clone(&done),
        roster.clone(),
    );
    let needs = Needs(plan);
    let statements = Arc::new(Shared::new(Box::new(needs.clone())));
    let known = Known::new(Arc::new(needs), statements);
    let verdicts = capture.verdicts();
    let failed = Arc::new(AtomicU64::new(0));
    let lanes = capture
        .rings()
        .into_iter()
        .map(|reader| Lane {
            source: Box::new(Ring(reader)),
            protocols: Box::new(known.clone()),
            verdicts: Box::new(Sink::new(verdicts.clone(), Arc::clone(&failed))),
        })
        .collect();
    let settings = setup.config.pipeline();
    let pipeline = Pipeline::start(settings, lanes, facts).context("cannot start a thread")?;
    // The readers run by now: what the first packets say is not left to fill the rings.
    let selection = match setup.selection {
        Selection::Everything(mount) => vec![mount],
        Selection::Cgroups(cgroups) => cgroups,
    };
    for cgroup in &selection {
        capture.attach(cgroup)?;
    }
    let seen = Arc::new(Seen::new(&capture, pipeline.books().to_vec(), failed, done));
    let watch = Watch::start(Watched {
        capture,
        pipeline,
        selection,
        roster,
        failure: setup.failure,
    })
    .context("cannot start a thread")?;
    Ok(Box::new(Live { watch, seen }))
}

/// The rules of a configuration, ready for use.
fn plan(config: &Config) -> anyhow::Result<Arc<Plan>> {
    let rules = match &config.rules {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the rules {}", path.display()))?;
            Rules::parse(&text).with_context(|| format!("the rules {}", path.display()))?
        }
        None => Rules::naytife()?,
    };
    Ok(Plan::new(&rules)?)
}

fn report(settings: &CaptureSettings) {
    let maps = settings.map_memory();
    let total: u64 = maps.iter().map(|map| map.bytes).sum();
    let list: Vec<String> = maps
        .iter()
        .map(|map| format!("{} {} KiB", map.map, map.bytes / 1024))
        .collect();
    tracing::info!(
        total_kib = total / 1024,
        maps = list.join(", "),
        "kernel memory at the bounds of every map"
    );
}

impl Running for Live {
    fn observed(&self) -> Arc<dyn Observed> {
        Arc::clone(&self.seen) as Arc<dyn Observed>
    }

    fn stop(self: Box<Self>) {
        self.watch.stop();
    }
}
