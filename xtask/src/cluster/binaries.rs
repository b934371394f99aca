//! Kubernetes' own programs and a Prometheus, from the Go modules that pin them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::languages::find;
use crate::shell;

/// A row of the table: what is built in one run of Go.
struct Module {
    /// Below `tests/cluster`.
    directory: &'static str,
    /// Which of its programs; `tool` are all that the module names, and stands alone.
    what: &'static str,
    tags: &'static str,
    flags: &'static str,
}

/// Without a version every program of Kubernetes calls itself `v0.0.0`, which kubectl does not take
/// for one. Of Prometheus, the one way of finding targets that Debian's was built without.
const MODULES: [Module; 3] = [
    Module {
        directory: ".",
        what: "tool",
        tags: "",
        flags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.2",
    },
    Module {
        directory: ".",
        what: "./pause",
        tags: "",
        flags: "-s -w",
    },
    Module {
        directory: "prometheus",
        what: "tool",
        tags: "remove_all_sd,enable_kubernetes_sd",
        flags: "-s -w",
    },
];

/// Makes what is not there or is of another version.
pub(super) fn require(made: &Path) -> Result<()> {
    let Some(go) = find("go") else {
        bail!("go is not installed, and Kubernetes is built with it: https://go.dev/dl");
    };
    // Last of all, so that what broke off is made anew.
    let stamp = made.join("stamp");
    let mut now = String::new();
    for module in &MODULES {
        let sums = module.source().join("go.sum");
        let sums = fs::read_to_string(sums)?;
        now.extend([module.tags, " ", module.flags, "\n", &sums]);
    }
    if fs::read_to_string(&stamp).is_ok_and(|then| then == now) {
        return Ok(());
    }
    shell::step("building Kubernetes and Prometheus; takes twenty minutes the first time");
    fs::create_dir_all(made)?;
    for module in &MODULES {
        shell::run(
            Command::new(&go)
                .args(["build", "-trimpath", "-tags", module.tags])
                .args(["-ldflags", module.flags, "-o"])
                // The slash: a directory.
                .arg(made.join(""))
                .arg(module.what)
                .env("GOTOOLCHAIN", "local")
                .env("GOFLAGS", "-mod=readonly -buildvcs=false")
                .current_dir(module.source()),
        )?;
    }
    fs::write(&stamp, now)?;
    Ok(())
}

// === impl Module ===

impl Module {
    fn source(&self) -> PathBuf {
        shell::top().join("tests/cluster").join(self.directory)
    }
}
