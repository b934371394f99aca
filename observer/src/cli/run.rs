//! `observer run`: everything is checked before anything starts, and what started is stopped.
//!
//! ```text
//!   port ─▶ cgroups ─▶ requirements ─▶ serve (not ready) ─▶ start ─▶ ready … signal ─▶ drain ─▶ 0
//! ```

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{Parts, check};
use crate::config::{Config, Selection};
use crate::export::http::Patience;
use crate::export::{Agent, Observed, Recorder, http};

/// How long draining may take; the process ends within two seconds of the signal.
const DRAIN: Duration = Duration::from_millis(1500);
/// How long tasks that still run may take to notice.
const LINGER: Duration = Duration::from_millis(100);

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Setup {
    /// The configuration, valid.
    pub config: Config,
    /// What to observe.
    pub selection: Selection,
    /// Where `/metrics` is served; its traffic is the agent's own.
    pub listener: TcpListener,
    /// Where facts go.
    pub recorder: Recorder,
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
    /// Detaches the programs, drains what they left in the rings, and returns when every thread has
    /// ended.
    fn stop(self: Box<Self>);
}

/// Runs until a signal comes or a stage dies.
///
/// # Errors
/// One sentence that says why nothing was started, or what died.
pub fn run(config: Config, parts: Parts) -> anyhow::Result<()> {
    let listener = http::listen(config.listen)?;
    let selection = Selection::resolve(&config.cgroups)?;
    require(&config, parts)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("observer-http")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(observe(config, selection, listener, parts));
    runtime.shutdown_timeout(LINGER);
    result
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
    selection: Selection,
    listener: TcpListener,
    parts: Parts,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let listen = listener.local_addr().context("cannot tell the address")?;
    let own = listener.try_clone().context("cannot share the listener")?;
    let (recorder, registry) = Recorder::new(&config.limits);
    let agent = Arc::new(Agent::default());
    let server = http::serve(listener, registry, Arc::clone(&agent), Patience::default());
    let mut server = tokio::spawn(server);
    let (failure, mut failures) = mpsc::channel(1);
    let setup = Setup {
        config,
        selection,
        listener: own,
        recorder,
        failure: Failure(failure),
    };
    let starting = tokio::task::spawn_blocking(move || (parts.start)(setup));
    let running = tokio::select! {
        running = starting => running.context("starting broke off")??,
        // Whatever is attached by then goes with the process.
        () = signals.any() => return Ok(()),
    };
    agent.observe(running.observed());
    tracing::info!(%listen, "observing");
    let result = tokio::select! {
        () = signals.any() => Ok(()),
        Some(sentence) = failures.recv() => Err(anyhow!(sentence)),
        ended = &mut server => Err(match ended {
            Ok(Err(error)) => anyhow!(error).context("the HTTP server ended"),
            Ok(Ok(())) | Err(_) => anyhow!("the HTTP server ended"),
        }),
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

/// The signals that ask a process to end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
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
        let error = run(config(), parts).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "root: this is user 1000; run it with sudo"
        );
    }

    #[test]
    fn a_failed_start_ends_the_run_with_its_reason() {
        let error = run(config(), parts(|_| Vec::new())).unwrap_err();
        assert_eq!(format!("{error:#}"), "the verifier refused the program");
    }

    #[test]
    fn a_busy_port_comes_before_everything_else() {
        let taken = http::listen(config().listen).unwrap();
        let config = Config {
            listen: taken.local_addr().unwrap(),
            ..config()
        };
        let error = run(config, parts(|_| panic!("asked"))).unwrap_err();
        assert!(format!("{error:#}").contains("another process already does"));
    }

    #[test]
    fn an_absent_cgroup_is_one_clear_sentence() {
        let config = Config {
            cgroups: vec!["no-such-cgroup".into()],
            ..config()
        };
        let error = format!("{:#}", run(config, parts(|_| Vec::new())).unwrap_err());
        assert!(
            error.starts_with("there is no cgroup /") || error.starts_with("cgroup v2"),
            "{error}"
        );
    }
}
