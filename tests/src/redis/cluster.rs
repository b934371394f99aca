//! Three real Redis servers that share the slots of a cluster.

use std::process::Command;

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::Redis;
use crate::process::{PATIENCE, Place, finish, free_port, need};

/// A cluster of three masters; stopped when this goes.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts three nodes and waits until each of them knows that every slot is served.
    ///
    /// # Errors
    /// When a server does not start or they do not join.
    pub fn start(place: &Place<'_>) -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            // By itself it would take the port 10,000 above, which there may not be.
            let bus = free_port()?.port().to_string();
            nodes.push(Redis::with(
                place,
                Ipv4Addr::LOCALHOST.into(),
                &["--cluster-enabled", "yes", "--cluster-port", &bus],
            )?);
        }
        let cluster = Self { nodes };
        let mut create = Command::new(need("redis-cli")?);
        create.args(["--cluster", "create"]);
        create.args(cluster.nodes.iter().map(|node| node.address().to_string()));
        finish(create.arg("--cluster-yes"))?;
        let start = std::time::Instant::now();
        while !cluster.is_up()? {
            ensure!(start.elapsed() < PATIENCE, "the cluster does not come up");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// Its servers.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Gives an empty slot to the next node, and tells everybody but the clients.
    ///
    /// # Errors
    /// When a server refuses.
    pub fn move_slot(&self, key: &str) -> Result<()> {
        let (slot, _, target) = self.owner(key)?;
        let target = target.id()?;
        for node in &self.nodes {
            node.setslot(slot, &["NODE", &target])?;
        }
        Ok(())
    }

    /// Begins to move a slot to the next node: keys that are not there are asked for there.
    ///
    /// # Errors
    /// When a server refuses.
    pub fn migrate_slot(&self, key: &str) -> Result<()> {
        let (slot, source, target) = self.owner(key)?;
        target.setslot(slot, &["IMPORTING", &source.id()?])?;
        source.setslot(slot, &["MIGRATING", &target.id()?])
    }

    /// Undoes what [`Self::migrate_slot`] began, and removes every key.
    ///
    /// # Errors
    /// When a server refuses.
    pub fn settle_slot(&self, key: &str) -> Result<()> {
        let (slot, ..) = self.owner(key)?;
        for node in &self.nodes {
            node.setslot(slot, &["STABLE"])?;
            node.clear()?;
        }
        Ok(())
    }

    /// The slot of a key, who serves it and who is next.
    fn owner(&self, key: &str) -> Result<(u16, &Redis, &Redis)> {
        let first = self.nodes.first().context("no node")?;
        let slot: u16 = redis::cmd("CLUSTER")
            .arg("KEYSLOT")
            .arg(key)
            .query(&mut first.client()?)?;
        for (node, next) in self.nodes.iter().zip(self.nodes.iter().cycle().skip(1)) {
            let asked = redis::cmd("GET")
                .arg(key)
                .query::<Option<String>>(&mut node.client()?);
            // ASK is the answer of one that serves it and is about to hand it on.
            if asked.map_or_else(|error| error.code() != Some("MOVED"), |_| true) {
                return Ok((slot, node, next));
            }
        }
        anyhow::bail!("nobody serves {key}")
    }

    fn is_up(&self) -> Result<bool> {
        for node in &self.nodes {
            let state: String = redis::cmd("CLUSTER")
                .arg("INFO")
                .query(&mut node.client()?)?;
            let known: String = redis::cmd("CLUSTER")
                .arg("NODES")
                .query(&mut node.client()?)?;
            if !state.contains("cluster_state:ok") || known.lines().count() != self.nodes.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Redis {
    fn id(&self) -> Result<String> {
        let id = redis::cmd("CLUSTER")
            .arg("MYID")
            .query(&mut self.client()?)?;
        Ok(id)
    }

    fn setslot(&self, slot: u16, how: &[&str]) -> Result<()> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(how);
        Ok(command.query(&mut self.client()?)?)
    }
}
