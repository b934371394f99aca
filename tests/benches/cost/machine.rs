//! The machine: its cores, and what it is called.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use observer_tests::cgroup::Cgroup;
use observer_tests::process::finish;

/// A core that runs something of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core(usize);

/// The core of what is observed, and that of who observes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) observed: Core,
    pub(crate) observer: Core,
}

impl Cores {
    /// Two of those that this process may use.
    pub(crate) fn pick() -> Result<Self> {
        let ours = sched_getaffinity(this_thread())?;
        let mut cores = (0..CpuSet::count()).filter(|core| ours.is_set(*core).unwrap_or(false));
        let (Some(first), Some(second)) = (cores.next(), cores.next()) else {
            bail!("the observer needs a core of its own: run this where there are two");
        };
        Ok(Self {
            observed: Core(first),
            observer: Core(second),
        })
    }
}

impl Core {
    /// Keeps this thread here, for good.
    pub(crate) fn keep(self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.0)?;
        Ok(sched_setaffinity(this_thread(), &set)?)
    }

    /// Does something here: what it starts stays here.
    pub(crate) fn run<T>(self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = sched_getaffinity(this_thread())?;
        self.keep()?;
        let done = act();
        sched_setaffinity(this_thread(), &before)?;
        done
    }
}

const fn this_thread() -> Pid {
    Pid::from_raw(0)
}

/// Processor time, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) user: f64,
    pub(crate) all: f64,
}

impl Used {
    /// Of everything that ever ran in a cgroup.
    pub(crate) fn by(cgroup: &Cgroup) -> Result<Self> {
        let path = cgroup.path().join("cpu.stat");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
                .with_context(|| format!("no {name} in {}", path.display()))
        };
        Ok(Self {
            user: field("user_usec")?,
            all: field("usage_usec")?,
        })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            all: self.all - before.all,
        }
    }
}

/// What figures depend on: processor, kernel, date, who else is busy.
pub(crate) fn describe() -> Result<String> {
    let processor = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name.trim())
        .to_owned();
    let cores = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = fs::read_to_string("/proc/meminfo")?
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let date = finish(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
    Ok(format!(
        "{processor}, {cores} cores, {} MiB; Linux {}; {}; load average at the end {load}",
        memory / 1024,
        kernel.trim(),
        date.trim(),
    ))
}
