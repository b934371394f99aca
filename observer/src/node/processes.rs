//! How many processes and threads there are, and in which state: a look at each of them, so not by
//! default.

use std::collections::BTreeMap;

use procfs::process::all_processes_with_root;

use super::host::{Failure, figure};
use super::{Families, Machine, Type};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let root = machine.host.proc("");
    let failed = |error| Failure::Unreadable(root.clone(), std::io::Error::other(error));
    let mut states = BTreeMap::<char, f64>::new();
    let (mut count, mut threads) = (0.0, 0.0);
    for process in all_processes_with_root(&root).map_err(failed)? {
        // One that has ended meanwhile is none.
        let Ok(stat) = process.and_then(|process| process.stat()) else {
            continue;
        };
        *states.entry(stat.state).or_default() += 1.0;
        count += 1.0;
        threads += i32::try_from(stat.num_threads).map_or(0.0, f64::from);
    }
    let help = "Number of processes in each state.";
    let mut samples = families.family("node_processes_state", Type::Gauge, help);
    for (state, processes) in states {
        let mut buffer = [0; 4];
        samples.put(&[("state", state.encode_utf8(&mut buffer))], processes);
    }
    families.gauge("node_processes_pids", "Number of PIDs", count);
    let help = "Allocated threads in system";
    families.gauge("node_processes_threads", help, threads);
    for (file, name, help) in [
        (
            "sys/kernel/pid_max",
            "node_processes_max_processes",
            "Number of max PIDs limit",
        ),
        (
            "sys/kernel/threads-max",
            "node_processes_max_threads",
            "Limit of threads in the system",
        ),
    ] {
        if let Some(limit) = figure(&machine.host.proc(file)) {
            families.gauge(name, help, limit);
        }
    }
    Ok(())
}
