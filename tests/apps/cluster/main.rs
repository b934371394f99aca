//! A real Kubernetes on this machine, with the agent's image on every node and a shop under load:
//! what was issued beside what was counted.
#![forbid(unsafe_code)]

mod account;
mod agents;
mod checks;
mod control;
mod machine;
mod node;
mod proof;
mod scraper;
mod shop;
mod table;

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use nix::unistd::geteuid;
use observer_tests::agent::sibling;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::control::Control;
use crate::machine::Machine;
use crate::node::Node;
use crate::table::Table;

#[derive(Debug, Parser)]
struct Args {
    /// How many nodes run pods
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    nodes: u8,
    /// Leave it running after the table, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Where Kubernetes' programs are
    #[arg(long)]
    binaries: PathBuf,
    /// Where pause.tar and host.tar are
    #[arg(long)]
    images: PathBuf,
    /// The agent's image
    #[arg(long)]
    image: PathBuf,
}

/// Guards, in the order in which they go.
struct Cluster {
    nodes: Vec<Node>,
    control: Control,
    files: TempDir,
}

/// What shells make of a program that SIGINT ended.
const BY_SIGNAL: u8 = 130;
const NODES: [&str; 2] = ["node1", "node2"];
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the user wants it to end.
fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn say(what: &str) {
    eprintln!("==> {what}");
}

fn main() -> ExitCode {
    let result = run(&Args::parse());
    if is_interrupted() {
        eprintln!("interrupted; everything is stopped");
        return ExitCode::from(BY_SIGNAL);
    }
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every row holds.
fn run(args: &Args) -> Result<bool> {
    if !geteuid().is_root() {
        bail!("the cluster takes root: run `cargo xtask cluster` as root");
    }
    let runtime = Runtime::new()?;
    listen(&runtime)?;
    let lock = File::open(&args.binaries).context("where are Kubernetes' programs?")?;
    lock.try_lock()
        .context("there is a cluster of these programs already")?;
    // What one before this has left, if it was killed.
    machine::clear()?;
    let mut table = Table::default();
    let proved = show(args, &mut table);
    machine::kill();
    let left = machine::clear();
    proved?;
    table.fact("left behind", &"nothing", &said(&left), left.is_ok());
    eprintln!("\n{table}");
    Ok(table.wrong() == 0)
}

/// Brings the cluster up, proves, and takes it down.
fn show(args: &Args, table: &mut Table) -> Result<()> {
    let mut cluster = Cluster::start(args)?;
    let proved = proof::prove(&mut cluster, table);
    if proved.is_err() && !is_interrupted() {
        cluster.save_logs()?;
    }
    if args.keep && !is_interrupted() {
        cluster.keep(args);
    }
    proved
}

fn said(cleared: &Result<()>) -> String {
    match cleared {
        Ok(()) => "nothing".into(),
        Err(error) => format!("{error:#}"),
    }
}

/// From now on a signal ends all machines at once; whoever waits for one of them then gives up.
fn listen(runtime: &Runtime) -> Result<()> {
    let _context = runtime.enter();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                INTERRUPTED.store(true, Ordering::Relaxed);
                machine::kill();
            }
        });
    }
    Ok(())
}

// === impl Cluster ===

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its guards then have only to see that their processes have ended.
        machine::kill();
    }
}

impl Cluster {
    /// Brings it up, with nothing in it.
    fn start(args: &Args) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let logs = files.path().join("logs");
        fs::create_dir(&logs)?;
        // Servers of pods write there as whoever they are.
        fs::set_permissions(&logs, fs::Permissions::from_mode(0o777))?;
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755))?;
        say("starting the control plane");
        let control = Machine::boot("control", &logs)?;
        let mut machines = Vec::new();
        for name in NODES.into_iter().take(args.nodes.into()) {
            machines.push(Machine::boot(name, &logs)?);
        }
        node::connect(&control, &machines)?;
        let control = Control::start(control, &args.binaries, files.path())?;
        let [pause, host] = ["pause.tar", "host.tar"].map(|name| args.images.join(name));
        let images = [pause.as_path(), host.as_path(), args.image.as_path()];
        let mut nodes = Vec::new();
        for (number, machine) in (1..).zip(machines) {
            say(&format!("starting {}", machine.name));
            let node = Node::start(machine, number, &control, &args.binaries, &images)?;
            nodes.push(node);
        }
        Ok(Self {
            nodes,
            control,
            files,
        })
    }

    fn logs(&self) -> PathBuf {
        self.files.path().join("logs")
    }

    /// Where the shop's program is, beside this one.
    fn programs() -> Result<PathBuf> {
        let shop = sibling("shop")?;
        Ok(shop.parent().unwrap_or(Path::new("/")).to_path_buf())
    }

    /// Keeps what every part said, for whoever wants to know why it failed.
    fn save_logs(&self) -> Result<()> {
        let kept = env::temp_dir().join("observer-cluster-logs");
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir(&kept)?;
        for entry in fs::read_dir(self.logs())? {
            let entry = entry?;
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        say(&format!("what every part said is in {}", kept.display()));
        Ok(())
    }

    /// Waits until the user has seen enough.
    fn keep(&self, args: &Args) {
        let Some(node) = self.nodes.first() else {
            return;
        };
        say("it stays until Ctrl-C; in another shell:");
        eprintln!(
            "nsenter --target {} --net {} --kubeconfig {} get pods --all-namespaces",
            node.machine.pid(),
            args.binaries.join("kubectl").display(),
            self.files.path().join("admin").display(),
        );
        while !is_interrupted() {
            sleep(Duration::from_millis(200));
        }
    }
}
