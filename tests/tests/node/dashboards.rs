//! What dashboards and rules select is there: on this machine where it has the source, and of a
//! machine that has every one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::scrape::Scrape;
use observer_tests::tree::Tree;

const SELECTED: &str = include_str!("../../fixtures/node/selected.txt");

/// Metric, labels, source.
fn selected() -> Result<Vec<(&'static str, Vec<&'static str>, &'static str)>> {
    let lines = SELECTED.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut words = line.split(' ');
        let (metric, labels) = (words.next()?, words.next()?);
        let labels = labels.split(',').filter(|label| *label != "-").collect();
        Some((metric, labels, words.next()?))
    };
    lines.map(|line| row(line).context(line)).collect()
}

/// What is not there, of what this root has the source of; and how many were.
fn missing(scrape: &Scrape, root: &Path) -> Result<(Vec<String>, usize)> {
    let (mut missing, mut found) = (Vec::new(), 0);
    for (metric, labels, source) in selected()? {
        if !root.join(source).exists() {
            continue;
        }
        let mut samples = scrape.samples().filter(|sample| sample.name == metric);
        let Some(sample) = samples.next() else {
            missing.push(format!("{metric}, though there is {source}"));
            continue;
        };
        found += 1;
        let has: BTreeSet<&str> = sample.labels.keys().map(String::as_str).collect();
        for label in labels.iter().filter(|label| !has.contains(*label)) {
            missing.push(format!("{label} of {metric}"));
        }
    }
    Ok((missing, found))
}

#[test]
fn what_dashboards_select_is_there_where_the_machine_has_the_source() -> Result<()> {
    let idle = Cgroup::create("node-selected")?;
    let agent = Agent::observe(&[&idle])?;
    let (missing, found) = missing(&agent.scrape()?, Path::new("/"))?;
    ensure!(missing.is_empty(), "{missing:#?}");
    ensure!(found > 100, "{found} metrics are no dashboard");
    Ok(())
}

#[test]
fn what_dashboards_select_is_there_of_a_host_under_another_root() -> Result<()> {
    let idle = Cgroup::create("node-rooted")?;
    let host = Tree::fixture("node/small.txt")?;
    let roots = ["proc", "sys", ""].map(|path| host.path(path).display().to_string());
    let [proc, sys, root] = roots.each_ref().map(String::as_str);
    let paths = [
        "--path.procfs",
        proc,
        "--path.sysfs",
        sys,
        "--path.rootfs",
        root,
    ];
    let agent = Agent::start(&Options {
        cgroups: &[&idle],
        arguments: &paths,
        ..Options::default()
    })?;
    let scrape = agent.scrape()?;
    let (missing, found) = missing(&scrape, &host.path(""))?;
    ensure!(missing.is_empty(), "{missing:#?}");
    ensure!(found == selected()?.len(), "the fixture lacks a source");
    // The fixture's, not this machine's.
    scrape.select("node_boot_time_seconds").is(1_418_183_276)
}
