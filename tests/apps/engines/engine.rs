//! Docker and Podman, each with a root and a socket of its own, so that this machine's stay as they
//! are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use observer_tests::process::{Place, Process, finish, need};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Docker,
    Podman,
}

/// What they leave where no setting leads elsewhere, from below.
const LEFT: [&str; 5] = [
    "/run/docker/plugins",
    "/run/docker",
    "/var/lib/containers/cache/blob-info-cache-v1.boltdb",
    "/var/lib/containers/cache",
    "/var/lib/containers",
];

/// A running engine; stopped when this goes, with what it has mounted.
pub(crate) struct Engine {
    kind: Kind,
    files: PathBuf,
    process: Option<Process>,
    /// What of [`LEFT`] was not there before.
    new: Vec<&'static Path>,
}

impl Engine {
    /// Starts it, with everything that it keeps below a directory.
    pub(crate) fn start(kind: Kind, files: &Path) -> Result<Self> {
        fs::create_dir_all(files)?;
        let mut engine = Self {
            kind,
            files: files.to_owned(),
            process: None,
            new: LEFT
                .map(Path::new)
                .into_iter()
                .filter(|path| !path.exists())
                .collect(),
        };
        let command = match kind {
            Kind::Docker => engine.docker()?,
            Kind::Podman => engine.podman()?,
        };
        let log = files.join("log");
        let mut process = Process::start(command, &log, &Place::default())?;
        let version = || finish(engine.command("docker").ok()?.arg("version")).ok();
        process.until("answer", version)?;
        engine.process = Some(process);
        Ok(engine)
    }

    fn docker(&self) -> Result<Command> {
        let mut command = Command::new(need("dockerd")?);
        // It changes nothing of the machine's network.
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--ip-forward=false", "--storage-driver=vfs"]);
        let file = |name: &str| self.files.join(name);
        command.arg("--data-root").arg(file("root"));
        command.arg("--exec-root").arg(file("run"));
        command.arg("--pidfile").arg(file("pid"));
        command.args(["--host", &self.host()]);
        Ok(command)
    }

    fn podman(&self) -> Result<Command> {
        let file = |name: &str| self.files.join(name);
        let containers = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1000:1000\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n\
             tmp_dir = \"{}\"\n[engine.runtimes]\nrunc = [\"{}\"]\n",
            file("tmp").display(),
            need("runc")?.display()
        );
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
            file("root").display(),
            file("run").display()
        );
        fs::write(file("containers.conf"), containers)?;
        fs::write(file("storage.conf"), storage)?;
        let mut command = Command::new(need("podman")?);
        command.args(["system", "service", "--time=0", &self.host()]);
        command.env("CONTAINERS_CONF", file("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", file("storage.conf"));
        Ok(command)
    }

    /// Where it is asked.
    pub(crate) fn socket(&self) -> PathBuf {
        self.files.join("engine.sock")
    }

    /// Where it writes down what it knows of containers.
    pub(crate) fn directory(&self) -> PathBuf {
        self.files.join(match self.kind {
            Kind::Docker => "root/containers",
            Kind::Podman => "root/vfs-containers",
        })
    }

    /// `docker` or `docker-compose`, asking this engine.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(need(program)?);
        command.env("DOCKER_HOST", self.host());
        // It would look for credentials there.
        command.env("DOCKER_CONFIG", self.files.join("client"));
        Ok(command)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.process.as_mut().map(Process::stop) {
            eprintln!("{error:#}");
        }
        // Its network namespace, and the shared memory of containers.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let own: Vec<&str> = points
            .filter(|point| Path::new(point).starts_with(&self.files))
            .collect();
        for point in own.into_iter().rev() {
            if let Err(error) = finish(Command::new("umount").args(["--lazy", point])) {
                eprintln!("{error:#}");
            }
        }
        for path in &self.new {
            // Not made, or in somebody else's use by now.
            let _ = if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
}
