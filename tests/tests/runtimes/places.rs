//! The table of places, with ids of its own for each row.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Forest;

use super::containers::{Container, Root};

const TABLE: &str = include_str!("../../fixtures/workloads/places.txt");

/// Whose a cgroup is.
enum Owner {
    /// A container, which the files of Docker tell about.
    Container,
    /// Anybody else, by name.
    Named(String),
}

/// A row of the table.
struct Place {
    id: String,
    path: String,
    owner: Owner,
}

impl Place {
    fn read(number: usize, row: &str) -> Result<Self> {
        let id = format!("{number:064x}");
        let other = format!("{:064x}", number + 0x1000);
        let uid = format!("{number:08x}-0f6b-4d0a-9d5e-1f2a3b4c5d6e");
        let row = row
            .replace("{id}", &id)
            .replace("{other}", &other)
            .replace("{uid}", &uid)
            .replace("{uid_}", &uid.replace('-', "_"))
            .replace("{static}", &format!("{number:032x}"));
        let mut columns = row.split('|').map(str::trim).skip(1);
        let path = columns.next().context("no path")?.to_owned();
        let place = columns.next().context("no place")?;
        let owner = match place.split(' ').collect::<Vec<_>>()[..] {
            ["container", _] => Owner::Container,
            // The container where there is one, else the pod.
            [_, .., name] => Owner::Named(name.to_owned()),
            _ => Owner::Named(String::new()),
        };
        Ok(Self { id, path, owner })
    }

    /// What Docker would have written down.
    fn file(&self) -> String {
        let service = self.service();
        format!(
            r#"{{"ID":"{}","Name":"/shop_{service}_1","Config":{{"Env":["SECRET=hunter2"],"Labels":{{"com.docker.compose.service":"{service}"}}}}}}"#,
            self.id
        )
    }

    fn service(&self) -> String {
        match &self.owner {
            Owner::Container => format!("of-{}", self.id.trim_start_matches('0')),
            Owner::Named(name) => name.clone(),
        }
    }
}

fn places() -> Result<Vec<Place>> {
    let rows = TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        // In the root are processes of everybody.
        .filter(|line| !line.contains("| root |"));
    // From 1: an id of nothing but 0 is hard to read.
    rows.enumerate()
        .map(|(row, text)| Place::read(row + 1, text).with_context(|| text.to_owned()))
        .collect()
}

#[test]
fn a_server_is_named_wherever_its_runtime_puts_it() -> Result<()> {
    let files = tempfile::tempdir()?;
    let places = places()?;
    for place in &places {
        if let Owner::Container = place.owner {
            let directory = files.path().join(&place.id);
            std::fs::create_dir(&directory)?;
            std::fs::write(directory.join("config.v2.json"), place.file())?;
        }
    }
    let forest = Forest::plant(&format!("observer-runtimes-{}", std::process::id()))?;
    let config = format!(
        "engines: {{ sockets: [], directories: [{}] }}\n",
        files.path().display()
    );
    let observed = forest.path().to_string_lossy().into_owned();
    let agent = Agent::start(&Options {
        config: Some(&config),
        arguments: &["--cgroup", &observed],
        ..Options::default()
    })?;
    let root = Root::create()?;
    // All at once, each below a directory of its own: one's place may be above another's.
    let mut containers: Vec<Container> = Vec::new();
    for (row, place) in places.iter().enumerate() {
        let path = format!("{}/{row}{}", forest.name(), place.path);
        containers.push(Container::start(&root, &path)?);
    }
    let mut expected: BTreeMap<[String; 1], f64> = BTreeMap::new();
    for (row, (place, container)) in places.iter().zip(&mut containers).enumerate() {
        let server = container.server()?;
        let requests = 1 + row % 3;
        for _ in 0..requests {
            ureq::get(format!("http://{server}/health")).call()?;
        }
        let count = u32::try_from(requests)?;
        *expected.entry([place.service()]).or_default() += f64::from(count);
    }
    let scrape = agent.settled()?;
    let counted = scrape
        .select("naytife_http_request_duration_seconds_count")
        .by(["service"]);
    for (service, requests) in &expected {
        let found = counted.get(service).copied().unwrap_or_default();
        ensure!(
            (found - requests).abs() < 0.5,
            "{service:?}: {requests} requests, {found} counted"
        );
    }
    ensure!(counted.len() == expected.len(), "{counted:#?}");
    let (_, text) = agent.get("/metrics")?;
    ensure!(!text.contains("hunter2"));
    // With all processes in them: those of runc end by themselves then.
    drop(forest);
    Ok(())
}
