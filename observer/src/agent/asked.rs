//! Who is asked who workloads are: container engines and the Kubernetes API.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use anyhow::Context as _;

use crate::capture::Own;
use crate::capture::capabilities::{self, Duty};
use crate::config::Config;
use crate::workloads::Directory;
use crate::workloads::engines::Engines;
use crate::workloads::kubernetes::{Books, Kubernetes, Namespaces};
use crate::workloads::pod_logs::PodLogs;

/// Asks as long as it is there, and writes to the directory.
pub(super) struct Asked {
    _engines: Engines,
    kubernetes: Option<Kubernetes>,
}

impl Asked {
    /// Begins to ask. What is said to the API is no traffic of the platform's.
    ///
    /// # Errors
    /// Where a thread or a client cannot be had.
    pub(super) fn start(config: &Config, directory: &Directory, own: Own) -> anyhow::Result<Self> {
        let engines = Engines::start(&config.engines, directory, || lay_down(Duty::Read))
            .context("cannot start a thread")?;
        directory.look_among(PodLogs::new(config.kubernetes.pod_logs.clone()));
        let mark =
            Arc::new(move |socket: BorrowedFd<'_>| own.mark(&socket).map_err(io::Error::other));
        let namespaces = &config.select.namespaces;
        let kubernetes = Kubernetes::start(
            &config.kubernetes,
            namespaces,
            directory.clone(),
            mark,
            || lay_down(Duty::Serve),
        )
        .context("cannot ask the Kubernetes API")?;
        Ok(Self {
            _engines: engines,
            kubernetes,
        })
    }

    /// Waits, within bounds, for what the API says first.
    pub(super) fn wait(&self) {
        if let Some(kubernetes) = &self.kubernetes {
            kubernetes.wait();
        }
    }

    /// Where the API is asked, the namespaces in which it is.
    pub(super) fn namespaces(&self) -> Option<Namespaces> {
        self.kubernetes.as_ref().map(Kubernetes::namespaces)
    }

    /// What [`Self::wait`] waits for, in a sentence.
    pub(super) fn waits(&self) -> Option<String> {
        self.kubernetes.as_ref().map(|_| Kubernetes::waits())
    }

    /// How the API answers, where it is asked.
    pub(super) fn books(&self) -> Option<Arc<Books>> {
        self.kubernetes.as_ref().map(Kubernetes::books)
    }
}

/// On a thread that only reads, or only asks.
fn lay_down(duty: Duty) {
    if let Err(error) = capabilities::keep(duty) {
        tracing::warn!(%error, "a thread that only asks keeps privileges that it does not need");
    }
}
