//! Containers of runc's, which all have one root directory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use observer_tests::agent::sibling;
use observer_tests::process::{Place, Process, need};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A root directory around our programs, and the machine's libraries for those that `cargo test`
/// alone has built.
pub(crate) struct Root {
    files: TempDir,
    programs: PathBuf,
}

impl Root {
    pub(crate) fn create() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let root = files.path().join("root");
        for directory in ["dev", "proc", "tmp", "usr", "programs"] {
            fs::create_dir_all(root.join(directory))?;
        }
        for name in ["lib", "lib64"] {
            let library = Path::new("/").join(name);
            match fs::read_link(&library) {
                Ok(target) => symlink(target, root.join(name))?,
                Err(_) if library.is_dir() => fs::create_dir(root.join(name))?,
                Err(_) => {}
            }
        }
        let responder = sibling("responder")?;
        let programs = responder.parent().context("no directory")?.to_owned();
        Ok(Self { files, programs })
    }

    fn specification(&self, cgroup: &str, address: SocketAddr) -> Value {
        let root = self.files.path().join("root");
        let bind = |from: &Path, to: &Path| json!({ "destination": to, "type": "bind", "source": from, "options": ["bind", "ro"] });
        let libraries = ["/usr", "/lib", "/lib64"].map(Path::new);
        let directories = libraries
            .iter()
            .filter(|path| path.is_dir() && !path.is_symlink());
        let mut mounts: Vec<Value> = directories.map(|path| bind(path, path)).collect();
        mounts.push(bind(&self.programs, Path::new("/programs")));
        mounts.push(json!({ "destination": "/proc", "type": "proc", "source": "proc" }));
        for directory in ["/dev", "/tmp"] {
            mounts.push(json!({ "destination": directory, "type": "tmpfs", "source": "tmpfs" }));
        }
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": ["/programs/responder", "--listen", address],
                "cwd": "/",
                "noNewPrivileges": true,
            },
            "root": { "path": root, "readonly": true },
            "mounts": mounts,
            "linux": {
                "cgroupsPath": format!("/{cgroup}"),
                "namespaces": [{ "type": "mount" }, { "type": "ipc" }, { "type": "uts" }],
            },
        })
    }
}

/// A running container with a server in it.
pub(crate) struct Container {
    process: Process,
    address: SocketAddr,
}

impl Container {
    /// Starts it in this cgroup.
    pub(crate) fn start(root: &Root, cgroup: &str) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("observer-runtimes-{}-{number}", std::process::id());
        let bundle = root.files.path().join(&name);
        fs::create_dir(&bundle)?;
        // Each its own, so that none gets a port that another is about to listen on.
        let host = Ipv4Addr::from(0x7f03_0000 + number + 1);
        let address = SocketAddr::from((host, 8000));
        let specification = root.specification(cgroup, address);
        fs::write(
            bundle.join("config.json"),
            serde_json::to_vec(&specification)?,
        )?;
        let mut runc = Command::new(need("runc")?);
        runc.arg("--root").arg(root.files.path().join("state"));
        runc.args(["run", "--bundle"]).arg(&bundle).arg(&name);
        let process = Process::start(runc, &bundle.join("log"), &Place::default())?;
        Ok(Self { process, address })
    }

    /// Where it serves, once it does.
    pub(crate) fn server(&mut self) -> Result<SocketAddr> {
        self.process.listens(self.address)?;
        Ok(self.address)
    }
}
