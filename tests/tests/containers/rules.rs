//! A real Prometheus with the rules of `docs/containers.md`: each has something to compare.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::legacy::Legacy;
use observer_tests::process::{PATIENCE, Place, Process};
use observer_tests::prometheus::Prometheus;

/// The comparison of every rule.
const COMPARISON: &str = " > 0.8";

/// The rules, as the page has them.
fn rules() -> Result<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/containers.md");
    let page = fs::read_to_string(page)?;
    let (_, rest) = page.split_once("```yaml\n- alert:").context("no rules")?;
    let (rules, _) = rest.split_once("```").context("no end of the rules")?;
    Ok(format!("- alert:{rules}"))
}

#[test]
fn the_rules_of_the_page_have_data_of_the_node_and_of_a_container() -> Result<()> {
    let cgroup = Cgroup::create("limited")?;
    let legacy = Legacy::of(&cgroup)?;
    if legacy.is_empty() {
        eprintln!("SKIPPED: this machine has no controllers of version 1 to set limits with");
        return Ok(());
    }
    legacy.write("cpu.cfs_quota_us", "20000")?;
    legacy.write("memory.limit_in_bytes", "67108864")?;
    let agent = Agent::observe(&[&cgroup])?;
    let enter = legacy.enter();
    let mut burner = Command::new("sh");
    burner.args(["-ec", &format!("{enter}while :; do :; done")]);
    let files = tempfile::tempdir()?;
    let log = files.path().join("log");
    let _burner = Process::start(burner, &log, &Place::within(&cgroup))?;
    let rules = rules()?;
    let indented = format!("      {}\n", rules.trim_end().replace('\n', "\n      "));
    let text = format!("groups:\n  - name: usage\n    rules:\n{indented}");
    fs::write(files.path().join("rules.yml"), text)?;
    let configuration = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [rules.yml]\n\
         scrape_configs:\n  - job_name: observer\n    static_configs:\n      \
         - targets: ['{}']\n",
        agent.address(),
    );
    let prometheus = Prometheus::start(&configuration, files)?;
    let expressions: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: ")?.strip_suffix(COMPARISON))
        .collect();
    ensure!(expressions.len() == 4, "{expressions:?}");
    for expression in expressions {
        let start = Instant::now();
        // Those of containers speak of this one alone, for nothing else is observed.
        while prometheus.series(expression)? != 1 {
            ensure!(
                start.elapsed() < PATIENCE,
                "not of one series: {expression}"
            );
            sleep(Duration::from_millis(200));
        }
        prometheus.series(&format!("{expression}{COMPARISON}"))?;
    }
    Ok(())
}
