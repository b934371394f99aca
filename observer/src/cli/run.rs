//! `observer run`: everything is checked before anything starts, and what started is stopped.
//!
//! ```text
//!   port ─▶ cgroups ─▶ requirements ─▶ serve (not ready) ─▶ start ─▶ ready … signal ─▶ drain ─▶ 0
//! ```

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::{Parts, check};
use crate::capture::capabilities::{self, Duty};
use crate::config::{Config, Layers, Selection};
use crate::containers::{Containers, View};
use crate::export::http::{Gate, Patience};
use crate::export::{Agent, Observed, Overview, Recorder, Source, Sources, http};
use crate::node::Node;

/// How long draining may take; the process ends within two seconds of the signal.
const DRAIN: Duration = Duration::from_millis(1500);
/// How long tasks that still run may take to notice.
const LINGER: Duration = Duration::from_millis(100);

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Setup {
    /// The configuration, valid.
    pub config: Config,
    /// What it was put together from, to do so again.
    pub layers: Layers,
    /// What to observe.
    pub selection: Selection,
    /// Where `/metrics` is served; its traffic is the agent's own.
    pub listener: TcpListener,
    /// Where facts go.
    pub recorder: Recorder,
    /// Where to say what the start waits for.
    pub agent: Arc<Agent>,
    /// Where to say that a stage has died.
    pub failure: Failure,
}

/// Ends the run: without all its stages an agent would show half of the truth.
#[derive(Clone, Debug)]
pub struct Failure(mpsc::Sender<String>);

impl Failure {
    /// Says in one sentence what has died. Only the first one is heard.
    pub fn tell(&self, sentence: String) {
        // Full or closed: the run is ending already.
        let _ending = self.0.try_send(sentence);
    }
}

/// A running pipeline.
pub trait Running: Send {
    /// What scrapes see of it.
    fn observed(&self) -> Arc<dyn Observed>;
    /// What the containers' metrics need to know of workloads.
    fn view(&self) -> View;
    /// Asks for the configuration to be read again; returns at once.
    fn reload(&self);
    /// Detaches the programs, drains what they left in the rings, and returns when every thread has
    /// ended.
    fn stop(self: Box<Self>);
}

/// Runs until a signal comes or a stage dies.
///
/// # Errors
/// One sentence that says why nothing was started, or what died.
pub fn run(config: Config, layers: Layers, parts: Parts) -> anyhow::Result<()> {
    start(config, layers, parts, None)
}

/// What an agent inside another command is told by, and what it tells.
pub struct Host {
    /// Where to say that it observes.
    pub started: std::sync::mpsc::Sender<Arc<Overview>>,
    /// Ends it, also by being dropped.
    pub end: oneshot::Receiver<()>,
}

/// Runs for another command of this process, until that ends it or a stage dies. It listens on a
/// port of its own, so that an agent of this machine keeps its.
///
/// # Errors
/// One sentence that says why nothing was started, or what died.
pub fn inside(mut config: Config, layers: Layers, parts: Parts, host: Host) -> anyhow::Result<()> {
    config.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.web_config = None;
    start(config, layers, parts, Some(host))
}

fn start(config: Config, layers: Layers, parts: Parts, host: Option<Host>) -> anyhow::Result<()> {
    let listener = http::listen(config.listen)?;
    let selection = Selection::of(&config)?;
    let gate = config.gate()?;
    require(&config, parts)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("observer-http")
        .on_thread_start(lay_down)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let server = (listener, gate);
    let result = runtime.block_on(observe(config, layers, selection, server, parts, host));
    runtime.shutdown_timeout(LINGER);
    result
}

/// Has a thread that answers requests, or waits, do so without what it does not need for that.
fn lay_down() {
    if let Err(error) = capabilities::keep(Duty::Serve) {
        tracing::warn!(%error, "the HTTP server keeps privileges that it does not need");
    }
}

/// Says what this machine lacks, and fails where it cannot do without.
pub(super) fn require(config: &Config, parts: Parts) -> anyhow::Result<()> {
    for requirement in (parts.requirements)(config) {
        match requirement.state {
            check::State::Met(_) => {}
            check::State::Degraded(_) => tracing::warn!("{}", requirement.sentence()),
            check::State::Missing(_) => bail!(requirement.sentence()),
        }
    }
    Ok(())
}

async fn observe(
    config: Config,
    layers: Layers,
    selection: Selection,
    (listener, gate): (TcpListener, Gate),
    parts: Parts,
    host: Option<Host>,
) -> anyhow::Result<()> {
    let (started, told) = host.map(|host| (host.started, host.end)).unzip();
    // From here on it no longer ends the process; one that comes early is answered once it runs.
    // Inside another command it is that command's terminal that went.
    let mut hangups = match told {
        Some(_) => None,
        None => Some(listen(SignalKind::hangup())?),
    };
    let mut end = match told {
        Some(told) => End::Told(told),
        None => End::Signals(Signals::new()?),
    };
    let address = listener.local_addr().context("cannot tell the address")?;
    let own = listener.try_clone().context("cannot share the listener")?;
    let (recorder, registry) = Recorder::new(&config.limits);
    let agent = Arc::new(Agent::default());
    let overview = Arc::new(Overview::new(registry, Arc::clone(&agent)));
    let node = &config.node;
    let containers = Containers::new(&config.containers, &node.procfs, &node.rootfs);
    let sources = sources(&config, &containers)?;
    let patience = Patience::default();
    let server = http::serve(listener, Arc::clone(&overview), sources, gate, patience);
    let mut server = tokio::spawn(server);
    let (failure, mut failures) = mpsc::channel(1);
    let setup = Setup {
        config,
        layers,
        selection,
        listener: own,
        recorder,
        agent: Arc::clone(&agent),
        failure: Failure(failure),
    };
    let (send, starting) = oneshot::channel();
    // On a thread of its own: those of the runtime may load and attach nothing.
    let start = std::thread::Builder::new().name("start".to_owned());
    start
        .spawn(move || {
            // Nobody waits for it where the end came first.
            let _unheard = send.send((parts.start)(setup));
        })
        .context("cannot start a thread")?;
    let running = tokio::select! {
        running = starting => running.context("starting broke off")??,
        // Whatever is attached by then goes with the process.
        () = end.comes() => return Ok(()),
    };
    lay_down();
    agent.observe(running.observed());
    containers.observe(running.view());
    if let Some(started) = started {
        // Whoever does not listen any more drops what ends this too.
        let _unheard = started.send(overview);
    }
    tracing::info!(listen = %address, "observing");
    let result = loop {
        tokio::select! {
            () = end.comes() => break Ok(()),
            () = hung_up(&mut hangups) => running.reload(),
            Some(sentence) = failures.recv() => break Err(anyhow!(sentence)),
            ended = &mut server => break Err(match ended {
                Ok(Err(error)) => anyhow!(error).context("the HTTP server ended"),
                Ok(Ok(())) | Err(_) => anyhow!("the HTTP server ended"),
            }),
        }
    };
    tracing::info!("draining");
    let stopping = tokio::task::spawn_blocking(move || running.stop());
    match tokio::time::timeout(DRAIN, stopping).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => tracing::error!("draining broke off"),
        Err(_) => tracing::warn!("not everything was drained in time"),
    }
    result
}

/// What scrapes read beside what the pipeline publishes.
fn sources(config: &Config, containers: &Containers) -> anyhow::Result<Sources> {
    let mut list: Vec<Box<dyn Source>> = Vec::new();
    if config.node.enabled {
        list.push(Box::new(Node::new(&config.node)?));
    }
    if config.containers.enabled {
        list.push(Box::new(containers.clone()));
    }
    Ok(Sources::new(list))
}

/// What ends a run that does not end by itself.
enum End {
    Signals(Signals),
    Told(oneshot::Receiver<()>),
}

impl End {
    async fn comes(&mut self) {
        match self {
            Self::Signals(signals) => signals.any().await,
            Self::Told(told) => drop(told.await),
        }
    }
}

/// The signals that ask a process to end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn hung_up(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen for signals")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Requirement, State};

    fn parts(requirements: fn(&Config) -> Vec<Requirement>) -> Parts {
        Parts {
            requirements,
            start: |_| bail!("the verifier refused the program"),
            record: |_, _, _, _| bail!("not asked to record"),
            replay: |_, _, _| bail!("not asked to replay"),
            test: |_, _, _| bail!("not asked to try rules"),
        }
    }

    fn config() -> Config {
        Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..Config::default()
        }
    }

    #[test]
    fn a_missing_requirement_is_told_before_anything_starts() {
        let parts = parts(|_| {
            vec![Requirement {
                name: "root".into(),
                state: State::Missing("this is user 1000".into()),
                remedy: "run it with sudo".into(),
            }]
        });
        let error = run(config(), Layers::default(), parts).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "root: this is user 1000; run it with sudo"
        );
    }

    #[test]
    fn a_failed_start_ends_the_run_with_its_reason() {
        let error = run(config(), Layers::default(), parts(|_| Vec::new())).unwrap_err();
        assert_eq!(format!("{error:#}"), "the verifier refused the program");
    }

    #[test]
    fn a_busy_port_comes_before_everything_else() {
        let taken = http::listen(config().listen).unwrap();
        let config = Config {
            listen: taken.local_addr().unwrap(),
            ..config()
        };
        let error = run(config, Layers::default(), parts(|_| panic!("asked"))).unwrap_err();
        assert!(format!("{error:#}").contains("another process already does"));
    }

    #[test]
    fn an_absent_cgroup_is_one_clear_sentence() {
        let config = Config {
            cgroups: vec!["no-such-cgroup".into()],
            ..config()
        };
        let error = format!(
            "{:#}",
            run(config, Layers::default(), parts(|_| Vec::new())).unwrap_err()
        );
        assert!(
            error.starts_with("there is no cgroup /") || error.starts_with("cgroup v2"),
            "{error}"
        );
    }
}
