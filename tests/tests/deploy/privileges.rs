//! Each capability of the overlay `least-privilege` taken away, and what the agent keeps of them.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::process::{Place, Process};
use serde_json::Value;

use super::container::{Container, said};
use super::image::Image;
use super::manifests::CAPABILITIES;

/// The capability, whether nothing runs without it, and what the agent says is lost.
const LOST: [(&str, bool, &str); 5] = [
    ("BPF", true, "no program can be loaded"),
    ("PERFMON", true, "no program may read what it observes"),
    ("NET_ADMIN", true, "no program can be attached to a cgroup"),
    (
        "SYS_PTRACE",
        false,
        "from another cgroup than made in are not told",
    ),
    (
        "DAC_READ_SEARCH",
        false,
        "nor is a file read that only its owner may read",
    ),
];

#[test]
fn each_capability_that_is_missing_is_one_sentence_with_what_is_lost() -> Result<()> {
    ensure!(LOST.map(|(name, ..)| name) == CAPABILITIES);
    let image = Image::made()?;
    for (name, required, lost) in LOST {
        let left = CAPABILITIES.into_iter().filter(|other| *other != name);
        let left: Vec<&str> = left.collect();
        let check = ["check", "--listen", "127.0.0.1:0"];
        let output = Container::new(image, &check, &left)?.output()?;
        let said = said(&output);
        let sentence = format!("CAP_{name}");
        let mut lines = said.lines().filter(|line| line.contains(lost));
        let line = lines
            .next()
            .with_context(|| format!("without {name}: {said}"))?;
        ensure!(line.contains(&sentence) && lines.next().is_none(), "{said}");
        let mark = if required { "missing" } else { "degraded" };
        ensure!(
            line.starts_with(mark) && output.status.success() != required,
            "{said}"
        );
        let others = left
            .iter()
            .filter(|other| said.contains(&format!("no CAP_{other}")));
        ensure!(others.count() == 0, "{said}");
    }
    Ok(())
}

#[test]
fn listeners_of_other_users_are_told_with_both_of_the_two_that_are_for_it() -> Result<()> {
    let (made, held) = (Cgroup::create("made")?, Cgroup::create("held")?);
    let listener = made.host(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
    let line = format!("listener {}", listener.local_addr()?);
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let mut serve = Command::new("sleep");
    serve.arg("60");
    let files = tempfile::tempdir()?;
    let place = Place::within(&held).as_user("nobody")?;
    let _server = Process::start(serve, &files.path().join("log"), &place)?;
    // From now on that process alone has it.
    drop(listener);
    let image = Image::made()?;
    let path = held.path().to_string_lossy().into_owned();
    let check = ["check", "--listen", "127.0.0.1:0", "--cgroup", &path];
    for missing in [None, Some("SYS_PTRACE"), Some("DAC_READ_SEARCH")] {
        let left = CAPABILITIES
            .into_iter()
            .filter(|name| Some(*name) != missing);
        let left: Vec<&str> = left.collect();
        let said = said(&Container::new(image, &check, &left)?.output()?);
        ensure!(
            said.contains(&line) == missing.is_none(),
            "without {missing:?}: {said}"
        );
    }
    Ok(())
}

/// `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_DAC_READ_SEARCH`, as the kernel numbers them.
const KEPT: u64 = 1 << 39 | 1 << 12 | 1 << 2;

#[test]
fn once_attached_no_thread_has_more_than_it_needs_and_the_status_says_what() -> Result<()> {
    let idle = Cgroup::create("idle")?;
    let agent = Agent::observe(&[&idle])?;
    let tasks = format!("/proc/{}/task", agent.process().pid());
    let mut together = 0;
    for task in fs::read_dir(tasks)? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        for set in ["CapInh:", "CapPrm:", "CapEff:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(set));
            let mask = u64::from_str_radix(line.context("no capabilities")?.trim(), 16)?;
            ensure!(mask & !KEPT == 0, "{status}");
            together |= mask;
        }
    }
    ensure!(together == KEPT, "{together:x}");
    let (_, status) = agent.get("/api/v1/status")?;
    let status: Value = serde_json::from_str(&status)?;
    let machine = status["machine"].as_array().context("no machine")?;
    let kept = machine
        .iter()
        .find(|fact| fact["name"] == "privileges kept");
    let kept = &kept.context("it does not say what it kept")?["found"];
    ensure!(
        *kept == "CAP_BPF, CAP_NET_ADMIN, CAP_DAC_READ_SEARCH",
        "{kept}"
    );
    Ok(())
}
