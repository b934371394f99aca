//! What the manifests below `deploy` are tested with, from the Go modules that hold it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::languages::find;
use crate::shell;

const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1";
/// Holds the JSON schema of Compose files.
const COMPOSE: &str = "github.com/compose-spec/compose-go/v2@v2.9.0";

/// Makes `kustomize` and `compose-spec.json` in `.tools/manifests`; skipped, loudly, without Go.
pub(crate) fn require() -> Result<()> {
    let Some(go) = find("go") else {
        eprintln!("SKIPPED: go is not installed, so no overlay is built and tested");
        return Ok(());
    };
    let made = shell::top().join(".tools/manifests");
    // Last of all, so that what broke off is made anew.
    let stamp = made.join("stamp");
    let now = format!("{KUSTOMIZE}\n{COMPOSE}\n");
    if fs::read_to_string(&stamp).is_ok_and(|then| then == now) {
        return Ok(());
    }
    shell::step("what the manifests are tested with");
    fs::create_dir_all(&made)?;
    shell::run(
        command(&go)
            .args(["install", KUSTOMIZE])
            .env("GOBIN", &made),
    )?;
    let module = shell::output(command(&go).args(["mod", "download", "-json", COMPOSE]));
    let module: Value = serde_json::from_str(&module.unwrap_or_default())
        .with_context(|| format!("cannot download {COMPOSE}"))?;
    let module = module.get("Dir").and_then(Value::as_str);
    let schema = Path::new(module.unwrap_or_default()).join("schema/compose-spec.json");
    let text = fs::read(&schema).with_context(|| format!("cannot read {}", schema.display()))?;
    fs::write(made.join("compose-spec.json"), text)?;
    fs::write(&stamp, now)?;
    Ok(())
}

fn command(go: &Path) -> Command {
    let mut command = Command::new(go);
    command.env("GOTOOLCHAIN", "local");
    command
}
