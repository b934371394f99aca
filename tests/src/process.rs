//! Programs that are started here and stopped here.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid, setgid, setgroups, setuid};

use crate::cgroup::Cgroup;

/// How long a program may take to listen, to answer or to end.
pub const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);

/// Where and as whom a program runs.
#[derive(Clone, Debug, Default)]
pub struct Place<'a> {
    /// The cgroup it is in before its first instruction; ours if none.
    pub cgroup: Option<&'a Cgroup>,
    /// Its user; ours if none.
    pub user: Option<User>,
}

/// A running program; stopped when this goes.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    stop: Signal,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a program; what it prints goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started, or not in that cgroup or as that user.
    pub fn start(mut command: Command, log: &Path, place: &Place<'_>) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        place.apply(&mut command)?;
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name,
            child,
            log: log.to_path_buf(),
            stop: Signal::SIGTERM,
            ended: None,
        })
    }

    /// Stops it with this signal instead of SIGTERM.
    #[must_use]
    pub fn stopped_by(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |text| String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Waits until somebody accepts connections at `address`.
    ///
    /// # Errors
    /// When the program ends before, or nothing listens in time; with what it printed.
    pub fn listens(&mut self, address: SocketAddr) -> Result<()> {
        self.until("listen", || {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
        })
        .map(drop)
    }

    /// Waits until `ready` has something to give.
    ///
    /// # Errors
    /// When the program ends before, or time is over; with what it printed.
    pub fn until<T>(&mut self, what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = ready() {
                return Ok(value);
            }
            if let Some(status) = self.child.try_wait()? {
                self.ended = Some(status);
                bail!(
                    "{} ended ({status}) and said:\n{}",
                    self.name,
                    self.printed()
                );
            }
            if start.elapsed() > PATIENCE {
                bail!(
                    "{} did not {what} within {PATIENCE:?} and said:\n{}",
                    self.name,
                    self.printed()
                );
            }
            sleep(POLL);
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.ended.is_none() {
            kill(self.id()?, signal).with_context(|| format!("cannot signal {}", self.name))?;
        }
        Ok(())
    }

    /// Asks it to end, waits, and kills it when it does not.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        self.signal(self.stop)?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.ended = Some(status);
                return Ok(status);
            }
            if start.elapsed() > PATIENCE {
                self.child.kill()?;
                self.ended = Some(self.child.wait()?);
                bail!(
                    "{} did not end within {PATIENCE:?} and was killed",
                    self.name
                );
            }
            sleep(POLL);
        }
    }

    fn id(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
    }
}

impl<'a> Place<'a> {
    /// As ourselves, in this cgroup.
    pub fn within(cgroup: &'a Cgroup) -> Self {
        Self {
            cgroup: Some(cgroup),
            user: None,
        }
    }

    /// As this user where we are root, for servers that refuse root.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn as_user(mut self, name: &str) -> Result<Self> {
        if geteuid().is_root() {
            let user = User::from_name(name)?;
            self.user = Some(user.with_context(|| format!("there is no user {name}"))?);
        }
        Ok(self)
    }

    /// Gives a file to the user.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn own(&self, path: &Path) -> Result<()> {
        if let Some(user) = &self.user {
            std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    /// Makes the command run here.
    ///
    /// # Errors
    /// When the cgroup cannot be entered.
    pub fn apply(&self, command: &mut Command) -> Result<()> {
        // Opened by us: the kernel asks who opened the file, not who writes to it.
        let entrance = self.cgroup.map(Cgroup::entrance).transpose()?;
        let user = self.user.as_ref().map(|user| (user.uid, user.gid));
        let prepare = move || {
            if let Some(mut entrance) = entrance.as_ref() {
                entrance.write_all(b"0")?;
            }
            if let Some((uid, gid)) = user {
                setgroups(&[gid])
                    .and_then(|()| setgid(gid))
                    .and_then(|()| setuid(uid))
                    .map_err(io::Error::from)?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec it makes system calls only (write, setgroups, setgid,
        // setuid); nothing allocates or takes a lock.
        unsafe { command.pre_exec(prepare) };
        Ok(())
    }
}

/// A port on which nobody listened a moment ago.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Where a program is; `None` when this machine does not have it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Where a program is that `cargo xtask setup` installs.
///
/// # Errors
/// When it is not there.
pub fn need(program: &str) -> Result<PathBuf> {
    find(program).ok_or_else(|| anyhow!("{program} is not installed: run `cargo xtask setup`"))
}

/// Runs a program to its end; what it printed.
///
/// # Errors
/// When it cannot be started or fails, with what it printed.
pub fn finish(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {printed}{errors}", output.status);
    }
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_stops_its_process() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::start(command, &directory.path().join("log"), &Place::default())?;
        let id = process.id()?;
        kill(id, None)?;
        drop(process);
        assert!(kill(id, None).is_err(), "still there");
        Ok(())
    }

    #[test]
    fn a_program_that_ends_early_is_an_error_with_its_words() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such luck; exit 3"]);
        let log = directory.path().join("log");
        let mut process = Process::start(command, &log, &Place::default())?;
        let error = process.until("listen", || None::<()>).unwrap_err();
        assert!(error.to_string().contains("no such luck"), "{error}");
        Ok(())
    }
}
