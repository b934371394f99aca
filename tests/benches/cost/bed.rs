//! Where variants run: a cgroup each, and the agent that observes one of them the whole time.

use std::path::PathBuf;

use anyhow::Result;
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;

use crate::machine::Cores;

/// The cgroups. What is stopped first comes first.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) agent: Agent,
    pub(crate) bare: Cgroup,
    /// The same as `bare`, for what cannot be told apart.
    pub(crate) again: Cgroup,
    pub(crate) empty: Cgroup,
    pub(crate) floor: Cgroup,
    pub(crate) observed: Cgroup,
    /// Those who load the servers.
    pub(crate) load: Cgroup,
    /// The agent's own.
    pub(crate) home: Cgroup,
    pub(crate) cores: Cores,
    /// The object of the empty and the floor programs.
    pub(crate) object: PathBuf,
}

impl Bed {
    pub(crate) fn make(object: PathBuf) -> Result<Self> {
        let cores = Cores::pick()?;
        let observed = Cgroup::create("observed")?;
        let home = Cgroup::create("observer")?;
        let agent = cores.observer.run(|| {
            Agent::start(&Options {
                cgroups: &[&observed],
                cgroup: Some(&home),
                ..Options::default()
            })
        })?;
        // This thread waits most of the time, and does it there.
        cores.observer.keep()?;
        Ok(Self {
            agent,
            bare: Cgroup::create("bare")?,
            again: Cgroup::create("again")?,
            empty: Cgroup::create("empty")?,
            floor: Cgroup::create("floor")?,
            observed,
            load: Cgroup::create("load")?,
            home,
            cores,
            object,
        })
    }
}
