//! Why the kernel side does not run.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;

use aya::EbpfError;

use super::settings::OutOfRange;

/// Why the kernel side does not run: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The agent was built without its kernel programs.
    #[error("this build holds no kernel programs; build with `cargo xtask build`")]
    NoPrograms,
    /// The machine lacks something.
    #[error("{name} is required and was not found ({found}): {remedy}")]
    Machine {
        /// What.
        name: &'static str,
        /// What was found instead.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A setting is outside its range.
    #[error(transparent)]
    Settings(#[from] OutOfRange),
    /// The kernel did not take the object.
    #[error("the kernel refused the maps of the kernel programs ({0}); see `observer check`")]
    Load(#[source] Box<EbpfError>),
    /// The kernel did not take a required program.
    #[error("the kernel refused the required program {program} ({reason}); see `observer check`")]
    Program {
        /// Its name.
        program: &'static str,
        /// What the kernel said.
        reason: String,
    },
    /// A map of the object is missing or of another shape: the object is not this agent's.
    #[error(
        "map {map} of the kernel programs is not as expected ({reason}); rebuild with `cargo xtask build`"
    )]
    Map {
        /// Its name.
        map: &'static str,
        /// In which way.
        reason: String,
    },
    /// A selected cgroup is not there.
    #[error("cgroup {path} cannot be opened ({source}); give a directory below {mount}")]
    Cgroup {
        /// The directory that was tried.
        path: PathBuf,
        /// Where the tree is mounted.
        mount: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A required program could not be attached.
    #[error("{program} cannot be attached to cgroup {path} ({reason})")]
    Attach {
        /// The program.
        program: &'static str,
        /// The cgroup.
        path: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}
