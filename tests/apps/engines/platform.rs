//! The shop and the agent, each started by Compose as people start them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use observer_tests::account::{self, Line};
use observer_tests::load::{self, Plan, Progress, Sent};
use observer_tests::postgres::log::StatementLog;
use observer_tests::process::{PATIENCE, finish, free_port};
use observer_tests::redis;
use observer_tests::scrape::Scrape;
use tokio::runtime::Runtime;

use crate::engine::Engine;

/// The database, as the shop knows it.
const DATABASE: &str = "naytifedb";
/// Project of Compose.
pub(crate) const PROJECT: &str = "naytife";
/// The service that is under load.
pub(crate) const BACKEND: &str = "backend";
const SHOP: &str = include_str!("shop.yaml");
const OBSERVER: &str = include_str!("observer.yaml");

/// What Debian's engines of 2023 refuse, and what `docs/operations/nodes.md` gives them instead:
/// this Docker has not heard of `CAP_BPF`, and this Podman takes a profile for the name of a file.
const STAND_INS: [(&str, &str, &str); 2] = [
    ("unknown capability", "BPF, PERFMON", "SYS_ADMIN"),
    (
        "opening seccomp profile failed",
        "seccomp:./seccomp.json",
        "seccomp:unconfined",
    ),
];

/// Who tells the agent of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Teller {
    Socket,
    Files,
}

/// What both are started with.
pub(crate) struct Platform<'a> {
    engine: &'a Engine,
    files: PathBuf,
    /// `deploy/compose` of this project.
    deploy: &'a Path,
    /// The Compose file that is there, or the one that stands in for it.
    file: PathBuf,
    teller: Teller,
    /// What the Compose files leave open.
    variables: Vec<(&'static str, String)>,
    ports: [u16; 4],
}

/// Sent and counted since the beginning, by what carried it.
pub(crate) struct Account(pub(crate) [(&'static str, Vec<Line>); 3]);

impl<'a> Platform<'a> {
    /// Starts the servers, then the agent that `teller` tells.
    pub(crate) fn start(
        engine: &'a Engine,
        files: &Path,
        (deploy, programs): (&'a Path, &Path),
        cgroup: &str,
        teller: Teller,
    ) -> Result<Self> {
        let logs = files.join("logs");
        fs::create_dir_all(&logs)?;
        // PostgreSQL's user writes there.
        fs::set_permissions(&logs, fs::Permissions::from_mode(0o777))?;
        fs::write(files.join("shop.yaml"), SHOP)?;
        fs::write(files.join("observer.yaml"), OBSERVER)?;
        let mut ports = [0; 4];
        for port in &mut ports {
            *port = free_port()?.port();
        }
        let [database, cache, backend, listen] = ports;
        let directory = engine.directory();
        let directories = match teller {
            Teller::Files => directory.clone(),
            Teller::Socket => "/nowhere".into(),
        };
        let text = |path: &Path| path.display().to_string();
        let mut platform = Self {
            engine,
            files: files.to_owned(),
            deploy,
            file: deploy.join("compose.yaml"),
            teller,
            variables: vec![
                ("CGROUP", format!("/{cgroup}")),
                (
                    "OBSERVED",
                    text(&observer_tests::cgroup::mount()?.join(cgroup)),
                ),
                ("PROGRAMS", text(programs)),
                ("LOGS", text(&logs)),
                ("DATABASE", database.to_string()),
                ("CACHE", cache.to_string()),
                ("BACKEND", backend.to_string()),
                ("LISTEN", listen.to_string()),
                ("DIRECTORIES", text(&directories)),
                ("OBSERVER_ENGINE_FILES", text(&directory)),
                ("OBSERVER_ENGINE_SOCKET", text(&engine.socket())),
            ],
            ports,
        };
        platform.shop(&["up", "--detach", "database", "cache"])?;
        let url = format!("postgres://postgres@127.0.0.1:{database}/{DATABASE}");
        let accepts = || postgres::Client::connect(&url, postgres::NoTls).ok();
        until("the database", accepts).with_context(|| platform.said())?;
        platform.start_agent()?;
        let ready = format!("http://127.0.0.1:{listen}/readyz");
        let is_ready = || ureq::get(&ready).call().ok();
        until("the agent", is_ready).with_context(|| platform.said())?;
        Ok(platform)
    }

    /// Has Compose start the agent as its file says, or as this engine lets it.
    fn start_agent(&mut self) -> Result<()> {
        let Err(refused) = self.agent(&["up", "--detach"]) else {
            return Ok(());
        };
        let refused = format!("{refused:#}");
        let stand_in = STAND_INS.iter().find(|(says, ..)| refused.contains(says));
        let Some((says, asked, given)) = stand_in else {
            bail!(refused);
        };
        eprintln!("with {given} for {asked}: {says}");
        let text = fs::read_to_string(&self.file)?.replace(asked, given);
        self.file = self.files.join("compose.yaml");
        fs::write(&self.file, text)?;
        self.agent(&["up", "--detach"]).map(drop)
    }

    /// Has the backend run in a container, another one than before; what was sent to see it answer is
    /// sent like anything else.
    pub(crate) fn renew_backend(&self, sent: &mut Sent) -> Result<()> {
        self.shop(&["up", "--detach", "--no-deps", "--force-recreate", BACKEND])?;
        let health = format!("http://{}/health", self.backend());
        let answers = || ureq::get(&health).call().ok();
        until("the backend", answers).with_context(|| self.said())?;
        let health = ("GET", "/health", 200);
        *sent.answered.entry(health).or_default() += 1;
        Ok(())
    }

    /// Sends requests of this seed for so long.
    pub(crate) fn load(&self, seed: u64, duration: Duration) -> Result<Sent> {
        let plan = Plan {
            address: self.backend(),
            seed,
            rate: 200,
            connections: 8,
            duration,
        };
        Runtime::new()?.block_on(load::run(plan, Arc::new(Progress::default())))
    }

    /// What was sent, these being the requests, and what the agent says of a service of that name.
    pub(crate) fn account(&self, sent: &Sent, service: &str) -> Result<(Account, Scrape)> {
        let scrape = self.settled()?;
        let text = fs::read(self.files.join("logs/statements"))?;
        let log = StatementLog::parse(&String::from_utf8_lossy(&text)).of(DATABASE);
        let [_, cache, ..] = self.ports;
        let usage = redis::usage_at((Ipv4Addr::LOCALHOST, cache).into())?;
        let mut commands = account::redis(&usage, (0, 0), &scrape, service);
        // Which of the look-ups found something, only commands of the harness would tell.
        commands.retain(|line| !line.what.starts_with("look-ups"));
        let account = Account([
            ("HTTP", account::http(sent, &scrape, service)),
            ("SQL", account::sql(&log.by(""), &scrape, service)),
            ("Redis", commands),
        ]);
        Ok((account, scrape))
    }

    fn settled(&self) -> Result<Scrape> {
        let [.., listen] = self.ports;
        let url = format!("http://127.0.0.1:{listen}/metrics");
        let read = || -> Result<Scrape> {
            let text = ureq::get(&url).call()?.body_mut().read_to_string()?;
            Scrape::parse(&text)
        };
        until("the ledger", || {
            let scrape = read().ok()?;
            scrape.ledger_closes().ok()?;
            scrape.stages_agree().ok()
        })?;
        read()
    }

    fn backend(&self) -> SocketAddr {
        let [_, _, backend, _] = self.ports;
        (Ipv4Addr::LOCALHOST, backend).into()
    }

    fn shop(&self, arguments: &[&str]) -> Result<String> {
        self.compose(PROJECT, &[self.files.join("shop.yaml")], arguments)
    }

    fn agent(&self, arguments: &[&str]) -> Result<String> {
        let mut files = vec![self.file.clone()];
        if self.teller == Teller::Socket {
            files.push(self.deploy.join("compose.socket.yaml"));
        }
        files.push(self.files.join("observer.yaml"));
        self.compose("observer", &files, arguments)
    }

    /// What all said, for where one is not ready.
    fn said(&self) -> String {
        let logs = [self.shop(&["logs"]), self.agent(&["logs"])];
        logs.map(Result::unwrap_or_default).concat()
    }

    fn compose(&self, project: &str, files: &[PathBuf], arguments: &[&str]) -> Result<String> {
        let mut command = self.engine.command("docker-compose")?;
        // Its version 1 looks there for the seccomp profile.
        command.current_dir(self.deploy);
        command.arg("--project-directory").arg(self.deploy);
        command.args(["--ansi", "never", "--project-name", project]);
        for file in files {
            command.arg("--file").arg(file);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        finish(command.args(arguments))
    }
}

impl Drop for Platform<'_> {
    fn drop(&mut self) {
        let down = ["down", "--timeout", "5"];
        for result in [self.agent(&down), self.shop(&down)] {
            if let Err(error) = result {
                eprintln!("{error:#}");
            }
        }
    }
}

impl Account {
    /// What is new since then; each line where something was sent or counted.
    pub(crate) fn since(&self, then: &Self) -> Result<Vec<(&'static str, Vec<Line>)>> {
        let mut new = Vec::new();
        for ((carrier, now), (_, then)) in self.0.iter().zip(&then.0) {
            let lines = now.iter().map(|line| {
                let before = then.iter().find(|before| before.what == line.what);
                let (sent, counted) = before.map_or((0, 0), |line| (line.sent, line.counted));
                Line {
                    what: line.what.clone(),
                    sent: line.sent - sent,
                    counted: line.counted - counted,
                }
            });
            let lines: Vec<Line> = lines.filter(|line| line.sent + line.counted > 0).collect();
            ensure!(!lines.is_empty(), "nothing of {carrier}");
            new.push((*carrier, lines));
        }
        Ok(new)
    }
}

fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if start.elapsed() > PATIENCE {
            bail!("{what} was not ready within {PATIENCE:?}");
        }
        sleep(Duration::from_millis(50));
    }
}
