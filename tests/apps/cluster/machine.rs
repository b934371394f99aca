//! Machines for the cluster: each sees a cgroup tree, a network and files of its own, and leaves
//! nothing behind but what its processes had.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use observer_tests::cgroup;
use observer_tests::network::Namespace;
use observer_tests::process::{Place, Process};

/// Above the cgroups of all machines, in every hierarchy.
const CGROUP: &str = "observer-cluster";
/// What runs on a machine beside pods, by its cgroup.
pub(crate) const DAEMONS: &str = "init";
const BOOT: &str = include_str!("machine.sh");
const ENTER: &str = include_str!("enter.sh");

/// A machine; what runs in it is started by [`Machine::start`].
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) network: Namespace,
    holder: Process,
    logs: PathBuf,
}

impl Machine {
    /// Makes one that has a loopback and nothing else.
    pub(crate) fn boot(name: &'static str, logs: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", BOOT, "boot", &format!("{CGROUP}/{name}")]);
        let log = logs.join(format!("{name}.log"));
        let mut holder =
            Process::start(command, &log, &Place::default())?.stopped_by(Signal::SIGKILL);
        let read = || {
            fs::read_to_string(&log)
                .ok()?
                .contains("ready")
                .then_some(())
        };
        holder.until("become a machine", read)?;
        let network = Namespace::of(holder.pid())?;
        network.ip("link set dev lo up")?;
        Ok(Self {
            name,
            network,
            holder,
            logs: logs.to_path_buf(),
        })
    }

    /// The process that holds it.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// A program in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", ENTER, "enter", &format!("{CGROUP}/{}", self.name)])
            .arg(self.holder.pid().to_string())
            .arg(program);
        command
    }

    /// Starts a program with these arguments; what it says goes to a file of its name.
    pub(crate) fn start(&self, program: &Path, arguments: &[String]) -> Result<Process> {
        let name = program.file_name().context("no program")?.to_string_lossy();
        let mut command = self.command(program);
        command.args(arguments);
        let log = self.logs.join(format!("{}-{name}.log", self.name));
        let process = Process::start(command, &log, &Place::default())
            .with_context(|| format!("{name} on {}", self.name))?;
        // Whatever it holds goes with the machine, and waiting for clients would take a minute.
        Ok(process.stopped_by(Signal::SIGKILL))
    }
}

/// Ends every process of every machine, also those of a cluster before this one, and removes their
/// cgroups. Mounts and networks go with the last process.
pub(crate) fn clear() -> Result<()> {
    kill();
    let trees = trees()?;
    for _ in 0..400 {
        for tree in &trees {
            remove(&tree.join(CGROUP));
        }
        if trees.iter().all(|tree| !tree.join(CGROUP).exists()) {
            return Ok(());
        }
        sleep(Duration::from_millis(25));
    }
    ensure!(false, "cgroups named {CGROUP} could not be removed");
    Ok(())
}

/// Ends every process of every machine, at once.
pub(crate) fn kill() {
    if let Ok(mount) = cgroup::mount() {
        // Absent where there is no cluster.
        let _ = fs::write(mount.join(CGROUP).join("cgroup.kill"), "1");
    }
}

/// Where hierarchies are mounted, of either version.
fn trees() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let trees = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup").then(|| path.into())
    });
    Ok(trees.collect())
}

/// Removes what is empty, from below.
fn remove(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // Its processes may still be on their way out: another round sees to it.
    let _ = fs::remove_dir(directory);
}
