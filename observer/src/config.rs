//! The whole configuration, as one typed, documented and validated value.
//!
//! Defaults, then the file, then the environment (`OBSERVER_…`), then the command line: the later
//! wins. Every key, its default and what it means is a row of [`SETTINGS`]; `observer config print`
//! prints it, and an environment variable is the key in capitals with `_` for `.`. What is not
//! understood is an error with its place and the nearest thing that would be: never ignored.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

pub mod document;
pub mod file;
pub mod layers;
pub mod log;
pub mod notes;
pub mod print;
pub mod problem;
pub mod reassembly;
mod scalar;
pub mod schema;
pub mod selection;
pub mod settings;
pub mod suggest;
mod tree;
mod validate;

pub use layers::{Layers, Loaded, Options};
pub use log::Log;
pub use notes::Note;
pub use problem::{Problem, Problems};
pub use reassembly::Reassembly;
pub use selection::Selection;
pub use settings::SETTINGS;

use crate::export::Limits;
use crate::export::http::Gate;
use crate::interpret::Rules;
use crate::{capture, containers, interpret, node, pipeline, reassemble, workloads};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/metrics` is served.
    pub listen: SocketAddr,
    /// Who may ask, and under which certificate; without it everybody, in plaintext.
    pub web_config: Option<PathBuf>,
    /// Cgroup v2 paths to observe, absolute or relative to the mount; none means everything.
    pub cgroups: Vec<PathBuf>,
    /// Workloads to observe, by who they are.
    pub select: workloads::Select,
    /// Who is asked about pods.
    pub kubernetes: workloads::Kubernetes,
    /// Who is asked about containers.
    pub engines: workloads::Engines,
    /// What the kernel side copies and how it hands it over.
    pub capture: capture::Settings,
    /// Bounds of what is held to bring bytes into order.
    pub reassembly: Reassembly,
    /// Bounds of what is exported.
    pub limits: Limits,
    /// Routes, shops and statements; without it the ones built in.
    pub rules: Option<PathBuf>,
    /// Bounds of what is remembered of the platform, and what is believed.
    pub interpret: interpret::Settings,
    /// What of the machine is shown.
    pub node: node::Settings,
    /// What of its containers is shown.
    pub containers: containers::Settings,
    /// What the agent says while it runs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 9464).into(),
            web_config: None,
            cgroups: Vec::new(),
            select: workloads::Select::default(),
            kubernetes: workloads::Kubernetes::default(),
            engines: workloads::Engines::default(),
            capture: capture::Settings::default(),
            reassembly: Reassembly::default(),
            limits: Limits::default(),
            rules: None,
            interpret: interpret::Settings::default(),
            node: node::Settings::default(),
            containers: containers::Settings::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Whether it selects nothing, which is everything.
    #[must_use]
    pub fn selects_everything(&self) -> bool {
        self.cgroups.is_empty() && self.select.is_empty()
    }

    /// The bounds of the stages between capture and interpret.
    #[must_use]
    pub fn pipeline(&self) -> pipeline::Settings {
        pipeline::Settings {
            limits: reassemble::Limits {
                connections: self.reassembly.connections,
                held_bytes: self.reassembly.held_bytes,
                held_segments: self.reassembly.held_segments,
                ..reassemble::Limits::default()
            },
            detect_turns: u32::from(self.capture.attempts),
            ..pipeline::Settings::default()
        }
    }

    /// The rules it names, else the ones built in.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn rules(&self) -> Result<Rules, Problems> {
        match &self.rules {
            Some(path) => file::rules(path),
            None => Rules::naytife().map_err(|error| Problems::one(error.to_string())),
        }
    }

    /// The door of the server, as the web configuration has it.
    ///
    /// # Errors
    /// What is wrong with that file, or with what it names.
    pub fn gate(&self) -> Result<Gate, Problems> {
        let Some(path) = self.web_config.clone() else {
            return Ok(Gate::default());
        };
        let file = path.clone();
        let load = move || file::web(&file).map_err(|problems| problems.to_string());
        Gate::of(path, Box::new(load)).map_err(Problems::one)
    }
}

#[cfg(test)]
mod tests;
