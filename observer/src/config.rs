//! The whole configuration, as one typed, documented and validated value.
//!
//! Defaults, then the file, then the environment (`OBSERVER_…`), then the command line: the later
//! wins. Every key, its default and what it means is a row of [`SETTINGS`]; `observer config show`
//! prints it, and an environment variable is the key in capitals with `_` for `.`. What is not
//! understood is an error with its place and the nearest thing that would be: never ignored.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub mod document;
pub mod log;
pub mod reassembly;
mod scalar;
pub mod selection;
pub mod settings;
pub mod suggest;
mod validate;

pub use log::Log;
pub use reassembly::Reassembly;
pub use selection::Selection;
pub use settings::SETTINGS;

use crate::export::Limits;
use crate::{capture, interpret, pipeline, reassemble};

/// Bytes a configuration file may have.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/metrics` is served.
    pub listen: SocketAddr,
    /// Cgroup v2 paths to observe, absolute or relative to the mount; none means everything.
    pub cgroups: Vec<PathBuf>,
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
    /// What the agent says while it runs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 9464).into(),
            cgroups: Vec::new(),
            capture: capture::Settings::default(),
            reassembly: Reassembly::default(),
            limits: Limits::default(),
            rules: None,
            interpret: interpret::Settings::default(),
            log: Log::default(),
        }
    }
}

/// Why there is no configuration: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file does not say what a configuration may say.
    #[error("{}:{line}:{column}: {message}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Counted from 1.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// An environment variable does not have a value of its kind.
    #[error("{variable}: {message}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        message: String,
    },
    /// A bound of the kernel side is outside its range.
    #[error(transparent)]
    Capture(#[from] capture::settings::OutOfRange),
    /// A value is outside its bounds, or contradicts another.
    #[error("{key}: {message}")]
    Invalid {
        /// Its key.
        key: String,
        /// What it has to be.
        message: String,
    },
}

impl Config {
    /// Defaults, `file`, and `environment` over it. Not validated yet: the command line comes last.
    ///
    /// # Errors
    /// The first thing that is not understood.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config = match file {
            Some(path) => Self::parse(path, &read(path)?)?,
            None => Self::default(),
        };
        settings::apply(&mut config, environment)?;
        Ok(config)
    }

    /// A configuration from the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// The first thing that is not understood, with line and column.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        match serde_saphyr::from_str::<Option<Self>>(text) {
            Ok(config) => Ok(config.unwrap_or_default()),
            Err(error) => {
                let place = error.location();
                Err(ConfigError::File {
                    path: path.to_owned(),
                    line: place.map_or(1, |place| place.line()),
                    column: place.map_or(1, |place| place.column()),
                    message: explain(error.without_snippet()),
                })
            }
        }
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

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first value that is outside its bounds or contradicts another.
    pub fn validate(&self) -> Result<(), ConfigError> {
        validate::validate(self)
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(FILE_LIMIT + 1).read_to_string(&mut text);
    if read.map_err(unreadable)? as u64 > FILE_LIMIT {
        let message = format!("it has more than {FILE_LIMIT} bytes");
        return Err(unreadable(io::Error::other(message)));
    }
    Ok(text)
}

/// What is wrong, without the place, which the caller has.
fn explain(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } => suggest::unknown("key", field, expected.iter().copied()),
        serde_saphyr::Error::SerdeUnknownVariant {
            variant, expected, ..
        } => suggest::unknown("value", variant, expected.iter().copied()),
        serde_saphyr::Error::InvalidScalar { ty, .. } => match *ty {
            "boolean" => "neither true nor false".into(),
            "u32" | "u64" | "usize" => "not a whole number that fits".into(),
            other => format!("not a {other}"),
        },
        error => {
            let text = error.render_with_options(serde_saphyr::render_options! {
                snippets: serde_saphyr::SnippetMode::Off,
            });
            let text = text.lines().next().unwrap_or_default();
            // The renderer appends the place, which is in front already.
            let end = text.rfind(" at line ").unwrap_or(text.len());
            text.get(..end).unwrap_or(text).to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
