//! Where a status comes from: an agent that answers over HTTP, or one in this process.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::cli::{Overrides, Parts, run};
use crate::export::Overview;
use crate::export::status::{FORMAT, MOST_ROWS, Status};

/// The agent's address where nobody names one.
const USUAL: &str = "http://127.0.0.1:9464";
/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes an answer may have; [`MOST_ROWS`] of each table are far below.
const ANSWER_LIMIT: u64 = 16 << 20;

/// An agent.
pub(super) enum Source {
    Http { client: ureq::Agent, base: String },
    Local(Local),
}

/// An agent in this process.
pub(super) struct Local {
    overview: Arc<Overview>,
    /// Dropped to end it.
    end: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Source {
    /// An agent at an address or URL.
    pub(super) fn http(agent: Option<&str>) -> anyhow::Result<Self> {
        let client = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // An agent is asked directly, also where the environment names a proxy.
            .proxy(None)
            .build()
            .into();
        let base = base(agent.unwrap_or(USUAL))?;
        Ok(Self::Http { client, base })
    }

    /// Starts one in this process and waits until its programs are attached.
    pub(super) fn local(
        config: Option<PathBuf>,
        cgroups: Vec<PathBuf>,
        parts: Parts,
    ) -> anyhow::Result<Self> {
        let overrides = Overrides {
            config: config.or_else(|| std::env::var_os("OBSERVER_CONFIG").map(PathBuf::from)),
            cgroups,
            ..Overrides::default()
        };
        let layers = overrides.layers();
        let config = layers.load()?.config;
        let (sender, started) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let host = run::Host {
            started: sender,
            end: ended,
        };
        let thread = std::thread::Builder::new().name("agent".to_owned());
        let thread = thread
            .spawn(move || run::inside(config, layers, parts, host))
            .context("cannot start a thread")?;
        match started.recv() {
            Ok(overview) => Ok(Self::Local(Local {
                overview,
                end,
                thread,
            })),
            // It ended before it ran, and says why.
            Err(_) => Err(joined(thread).err().unwrap_or_else(|| anyhow!("it ended"))),
        }
    }

    /// What is shown of it, for the title.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Http { base, .. } => base.strip_prefix("http://").unwrap_or(base),
            Self::Local(_) => "in this process",
        }
    }

    /// Its status now.
    pub(super) fn status(&mut self) -> anyhow::Result<Status> {
        match self {
            Self::Local(local) if local.thread.is_finished() => {
                bail!("the agent in this process has ended")
            }
            Self::Local(local) => Ok(local.overview.status(MOST_ROWS)),
            Self::Http { client, base } => ask(client, base),
        }
    }

    /// Ends an agent in this process.
    pub(super) fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Http { .. } => Ok(()),
            Self::Local(local) => {
                drop(local.end);
                joined(local.thread)
            }
        }
    }
}

fn joined(thread: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    match thread.join() {
        Ok(result) => result,
        Err(_) => bail!("the agent in this process ended by a panic"),
    }
}

/// Where the paths of an agent begin.
fn base(agent: &str) -> anyhow::Result<String> {
    let rest = agent.strip_prefix("http://").unwrap_or(agent);
    let rest = rest.trim_end_matches('/');
    if rest.contains("://") {
        bail!("{agent}: an agent is asked by http://, or by its address alone");
    }
    let url = format!("http://{rest}");
    if rest.is_empty() || url.parse::<ureq::http::Uri>().is_err() {
        bail!("{agent:?} is no address such as 127.0.0.1:9464, and no URL");
    }
    Ok(url)
}

/// What every layout begins with.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

fn ask(client: &ureq::Agent, base: &str) -> anyhow::Result<Status> {
    let url = format!("{base}/api/v1/status?rows={MOST_ROWS}");
    let mut answer = client.get(&url).call().map_err(|error| match error {
        ureq::Error::Io(error) => anyhow!("no agent answers at {base}: {error}"),
        other => anyhow!("no agent answers at {base}: {other}"),
    })?;
    let status = answer.status().as_u16();
    if status == 503 {
        bail!("the agent at {base} has too many to answer");
    }
    if status == 401 {
        bail!("the agent at {base} asks for a password or a token, which `top` has not");
    }
    if status != 200 {
        bail!("{url} answers {status}: that is no observer, or an older one");
    }
    let body = answer.body_mut().with_config().limit(ANSWER_LIMIT);
    let text = body
        .read_to_vec()
        .with_context(|| format!("the answer of {base} breaks off"))?;
    let head: Head = serde_json::from_slice(&text)
        .map_err(|_| anyhow!("{url} answers with something else: that is no observer"))?;
    if head.format != FORMAT {
        bail!(
            "the agent at {base} tells its status in format {}, and this is for format {FORMAT}",
            head.format
        );
    }
    serde_json::from_slice(&text).with_context(|| format!("the answer of {base} is not whole"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_named_by_address_or_url() {
        let cases = [
            ("127.0.0.1:9464", "http://127.0.0.1:9464"),
            ("[::1]:80", "http://[::1]:80"),
            ("http://node-3:9464/", "http://node-3:9464"),
            ("http://proxy/observer", "http://proxy/observer"),
        ];
        for (agent, expected) in cases {
            assert_eq!(base(agent).unwrap(), expected);
        }
        for wrong in ["https://a", "ftp://a", "", "http://", "a b", "http://[::1"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
