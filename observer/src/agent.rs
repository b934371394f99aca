//! The agent: the stages, joined to the kernel below and to the exporter above.
//!
//! ```text
//!   capture ─▶ pipeline ─▶ facts (interpret, record) ─▶ export
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context as _;

use crate::capture::capabilities::{self, Duty};
use crate::capture::{Capture, Settings as CaptureSettings, host, listeners};
use crate::cli::{Parts, Requirement, Running, Setup, State};
use crate::config::{Config, Note, Selection, notes};
use crate::containers::View;
use crate::correlate::postgres::Shared;
use crate::correlate::vantage::Vantages;
use crate::decode::Side;
use crate::export::Observed;
use crate::interpret::{Authority, Interpreter, Needs, Plan};
use crate::pipeline::protocols::Known;
use crate::pipeline::{Lane, Pipeline};
use crate::workloads::cgroup::Cgroups;
use crate::workloads::tree::Paths;
use crate::workloads::{Directory, Selectors, Workloads};

mod arrival;
mod asked;
mod facts;
mod follow;
mod kernel;
mod names;
pub mod record;
mod reload;
pub mod replay;
pub mod rules;
mod strangers;
mod watch;

use asked::Asked;
use facts::Facts;
use follow::{Follow, Sources};
use kernel::{Ring, Seen, Sink};
use names::{Names, Others, Wanted};
use reload::{Files, Reload};
use watch::{Wake, Watch, Watched};

/// What `observer` is made of.
pub const PARTS: Parts = Parts {
    requirements,
    start,
    record: record::record,
    replay: replay::replay,
    test: rules::test,
};

fn requirements(config: &Config) -> Vec<Requirement> {
    host::requirements()
        .into_iter()
        .map(requirement)
        .chain(elsewhere(config))
        .chain(notes::unasked(config).into_iter().map(unasked))
        .collect()
}

/// Of what selects pods and asks nobody about them.
fn unasked(note: Note) -> Requirement {
    Requirement {
        name: note.key.to_owned(),
        state: State::Degraded(note.why),
        remedy: note.remedy.to_owned(),
    }
}

fn requirement(row: host::Requirement) -> Requirement {
    Requirement {
        name: row.name.to_owned(),
        state: match (row.met, row.required) {
            (true, _) => State::Met(row.found),
            (false, true) => State::Missing(row.found),
            (false, false) => State::Degraded(row.found),
        },
        remedy: row.remedy.to_owned(),
    }
}

/// A row for each listener by whose connections the selection would miss, or misname, a service.
fn elsewhere(config: &Config) -> Vec<Requirement> {
    let degraded = |name: String, why: String, remedy: &str| Requirement {
        name,
        state: State::Degraded(why),
        remedy: remedy.to_owned(),
    };
    let Ok(selection) = Selection::of(config) else {
        // Nothing is selected, which has a row of its own.
        return Vec::new();
    };
    let chosen = Selection::chosen(config, &Directory::default()).unwrap_or_default();
    let chosen = chosen.into_iter().map(|(_, path)| path);
    let directories: Vec<PathBuf> = selection.directories().into_iter().chain(chosen).collect();
    let selects = |path: &Path| directories.iter().any(|cgroup| path.starts_with(cgroup));
    let apart = match listeners::apart() {
        Ok(apart) => apart,
        Err(error) => {
            let why = format!("cannot be asked for: {error}");
            return vec![degraded("cgroups of listeners".into(), why, "")];
        }
    };
    let remedy = "select the listener's cgroup, or let the service open its socket itself";
    let concerns = |row: &listeners::Apart| {
        let mut ends = row.made_in.iter().chain([&row.held_in]);
        ends.any(|path| selects(path))
    };
    apart
        .into_iter()
        .filter(concerns)
        .map(|row| {
            let made_in = match &row.made_in {
                Some(path) => path.display().to_string(),
                None => "a cgroup that is gone".into(),
            };
            let why = format!(
                "its connections count for {made_in}, where it was made, and not for {}, where {} \
                 ({}) is",
                row.held_in.display(),
                row.command,
                row.process
            );
            degraded(format!("listener {}", row.address), why, remedy)
        })
        .collect()
}

/// The running stages.
struct Live {
    watch: Watch,
    seen: Arc<Seen>,
    _asked: Asked,
    directory: Directory,
    /// Where the selected cgroups are.
    mount: PathBuf,
    selected: Arc<follow::Tally>,
}

/// Loads and attaches the programs and starts every stage.
///
/// # Errors
/// One sentence that says what cannot be had; what was attached goes with it.
pub fn start(setup: Setup) -> anyhow::Result<Box<dyn Running>> {
    let files = Files::new(&setup.layers, &setup.config);
    let plan = plan(&setup.config)?;
    let mut machine = host::requirements();
    let mut capture = Capture::load(&setup.config.capture)?;
    report(&setup.config.capture);
    machine.push(lay_down());
    // Before anything is attached: what the agent says to Prometheus is not the platform's.
    let own = capture.own();
    own.mark(&setup.listener)
        .context("cannot mark the agent's own listener")?;
    let paths = Paths::default();
    let cgroups = Cgroups::at(capture.cgroup_mount().to_owned()).told_by(paths.clone());
    let directory = Directory::default();
    let mount = cgroups.mount().to_owned();
    let (wake, orders) = Wake::new();
    let called = wake.clone();
    directory.listen(move || called.call());
    let asked = Asked::start(&setup.config, &directory, own)?;
    let selectors = Selectors::new(&setup.config.select)?;
    let wanted = Wanted::new(&setup.config, &selectors);
    let vantages = vantages(&setup.config, directory.clone(), wanted.clone());
    let workloads = Workloads::new(Some(cgroups), directory.clone());
    let roster = workloads.roster();
    let names = Names(workloads);
    let needs = Needs::new(Arc::clone(&plan));
    let interpreter = Interpreter::new(plan, &setup.config.interpret, Box::new(names));
    let done = Arc::new(AtomicU64::new(0));
    let facts = Facts::new(
        interpreter,
        needs.follow(),
        setup.recorder,
        Arc::clone(&done),
        roster.clone(),
    );
    let statements = Arc::new(Shared::new(Box::new(needs.clone())));
    let known = Known::new(Arc::new(needs.clone()), Arc::clone(&statements));
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
    let pipeline =
        Pipeline::start(settings, vantages, lanes, facts).context("cannot start a thread")?;
    setup.agent.starts(asked.waits());
    asked.wait();
    setup.agent.starts(None);
    // The readers run by now: what the first packets say is not left to fill the rings.
    let sources = Sources {
        directory: directory.clone(),
        paths,
        wake: wake.clone(),
    };
    let follow = Follow::start(
        &mut capture,
        setup.selection.directories(),
        selectors,
        setup.config.capture.cgroups,
        sources,
    )?;
    reload::tell(&setup.config, None);
    let reloads = Arc::new(reload::Books::new());
    let books = pipeline.books().to_vec();
    let selected = follow.tally();
    let told = (Arc::clone(&reloads), Arc::clone(&selected));
    let mut seen = Seen::new(&capture, books, failed, done, told, machine);
    seen.kubernetes = asked.books();
    let seen = Arc::new(seen);
    let reload = Reload {
        layers: setup.layers,
        in_force: setup.config.clone(),
        started: setup.config,
        needs,
        statements,
        wanted,
        namespaces: asked.namespaces(),
        books: reloads,
        files,
    };
    let watched = Watched {
        capture,
        pipeline,
        follow,
        roster,
        failure: setup.failure,
        reload,
    };
    let watch = Watch::start(watched, wake, orders).context("cannot start a thread")?;
    Ok(Box::new(Live {
        watch,
        seen,
        _asked: asked,
        directory,
        mount,
        selected,
    }))
}

/// Gives up what loading took and what runs does not need, before any other thread is started.
fn lay_down() -> host::Requirement {
    let kept = capabilities::keep(Duty::Capture);
    if let Err(error) = &kept {
        tracing::warn!(%error, "the privileges that are not needed any more cannot be given up");
    }
    let found = kept.map_or_else(|error| error.to_string(), |names| names.join(", "));
    tracing::info!(
        kept = found,
        "privileges that are not needed any more are given up"
    );
    host::Requirement {
        name: "privileges kept",
        met: true,
        found,
        remedy: "",
        required: false,
    }
}

/// Where connections count whose client another node may observe.
fn vantages(config: &Config, directory: Directory, wanted: Wanted) -> Vantages {
    let others = Others::new(directory, config.kubernetes.node.clone(), wanted);
    let owner = match config.interpret.authority {
        Authority::Client => Side::Client,
        Authority::Server => Side::Server,
    };
    Vantages::new(Box::new(others), owner)
}

/// The rules of a configuration, ready for use.
fn plan(config: &Config) -> anyhow::Result<Arc<Plan>> {
    Ok(Plan::new(&config.rules()?)?)
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

    fn view(&self) -> View {
        let (mount, selected) = (self.mount.clone(), Arc::clone(&self.selected));
        let below = move |cgroup: PathBuf| {
            let path = cgroup.strip_prefix(&mount).ok()?.to_str()?;
            Some(format!("/{path}"))
        };
        View {
            directory: self.directory.clone(),
            selected: Box::new(move || {
                let cgroups = selected.selection().into_iter();
                cgroups.filter_map(&below).collect()
            }),
        }
    }

    fn reload(&self) {
        self.watch.reload();
    }

    fn stop(self: Box<Self>) {
        self.watch.stop();
    }
}
