//! A directory that is told by an API of ours, and ways to look at it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use observer::workloads::Kubernetes as Settings;
use observer::workloads::directory::{Directory, Peer, Pod};
use observer::workloads::kubernetes::{Informed, Kubernetes};
use observer_tests::apiserver::ApiServer;
use tempfile::TempDir;

/// How long anything may take; faults are backed off from.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whose pods are this node's.
pub(crate) const NODE: &str = "worker-1";

/// Who asks, and what it was told.
pub(crate) struct Scene {
    pub(crate) directory: Directory,
    pub(crate) kubernetes: Kubernetes,
    /// Where the kubeconfig is.
    pub(crate) files: TempDir,
}

/// What a directory says: pods by uid, and who has each address.
pub(crate) type Said = (BTreeMap<String, Pod>, BTreeMap<IpAddr, String>);

impl Scene {
    /// Asks this server as an agent of [`NODE`] does.
    pub(crate) fn start(server: &ApiServer, namespaces: &[&str]) -> Result<Self> {
        Self::within(tempfile::tempdir()?, server, namespaces)
    }

    /// The same with files that are there.
    pub(crate) fn within(files: TempDir, server: &ApiServer, namespaces: &[&str]) -> Result<Self> {
        let settings = Settings {
            node: Some(NODE.into()),
            kubeconfig: Some(server.kubeconfig(files.path())?),
            ..Settings::default()
        };
        let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
        let directory = Directory::default();
        let mark = Arc::new(|_: std::os::fd::BorrowedFd<'_>| Ok(()));
        let kubernetes = Kubernetes::start(&settings, &namespaces, directory.clone(), mark, || {})?;
        Ok(Self {
            directory,
            kubernetes: kubernetes.context("no node was named")?,
            files,
        })
    }

    /// Who has an address, as the label `service` or `peer` has it.
    pub(crate) fn at(&self, address: &str) -> Result<Option<String>> {
        Ok(self.directory.at(address.parse()?).map(name))
    }

    /// All of it, for these addresses.
    pub(crate) fn said(&self, addresses: &[IpAddr]) -> Said {
        let pods = self.directory.pods();
        let pods = pods.iter().map(|pod| (pod.uid.clone(), Pod::clone(pod)));
        let named = |address: &IpAddr| Some((*address, name(self.directory.at(*address)?)));
        (pods.collect(), addresses.iter().filter_map(named).collect())
    }

    /// The row of a resource.
    pub(crate) fn informed(&self, resource: &str) -> Result<Informed> {
        let rows = self.kubernetes.books().read();
        let row = rows.into_iter().find(|row| row.resource == resource);
        row.with_context(|| format!("no row for {resource}"))
    }

    /// Waits until this holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        while !holds() {
            if start.elapsed() > PATIENCE {
                bail!(
                    "not {what} within {PATIENCE:?}: {:?}",
                    self.kubernetes.books().read()
                );
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until no watch has a trouble.
    pub(crate) fn recovers(&self) -> Result<()> {
        let well = || {
            let rows = self.kubernetes.books().read();
            rows.iter()
                .all(|row| row.trouble.is_none() && row.synchronized > 0.0)
        };
        self.until("well", well)
    }
}

fn name(peer: Peer) -> String {
    match peer {
        Peer::Pod(pod) => pod.service().to_owned(),
        Peer::Named(name) => name.to_string(),
    }
}
