//! What is in `deploy`, as those read it who put it to use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use observer_tests::process::{find, finish};
use serde_json::Value;

/// Exactly these, in the overlay `least-privilege` and in the Compose file.
pub(crate) const CAPABILITIES: [&str; 5] = [
    "BPF",
    "PERFMON",
    "NET_ADMIN",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
];

/// A file or directory of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// What `cargo xtask setup` made for these tests; `None`, loudly, where the machine has no Go.
///
/// # Errors
/// Where it could have been made.
pub(crate) fn tool(name: &str) -> Result<Option<PathBuf>> {
    let made = project(".tools/manifests");
    if made.join("stamp").is_file() {
        return Ok(Some(made.join(name)));
    }
    if find("go").is_some() || Path::new("/usr/local/go/bin/go").is_file() {
        bail!("run `cargo xtask setup` first: {name} is not made");
    }
    eprintln!("SKIPPED: go is not installed, so nothing is tested with {name}");
    Ok(None)
}

/// The objects of a directory, as `kustomize build` makes them.
pub(crate) fn build(directory: &Path) -> Result<Option<Vec<Value>>> {
    let Some(kustomize) = tool("kustomize")? else {
        return Ok(None);
    };
    let text = finish(Command::new(kustomize).arg("build").arg(directory))?;
    let objects = serde_saphyr::from_multiple(&text)
        .with_context(|| format!("{} builds no YAML", directory.display()))?;
    Ok(Some(objects))
}

/// The only object of a kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let mut of_kind = objects.iter().filter(|object| object["kind"] == kind);
    match (of_kind.next(), of_kind.next()) {
        (Some(object), None) => Ok(object),
        (None, _) => bail!("there is no {kind}"),
        (_, Some(_)) => bail!("there are several {kind}s"),
    }
}

/// A YAML or JSON file of the project.
pub(crate) fn read(path: &str) -> Result<Value> {
    let text = fs::read_to_string(project(path))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{path} is no YAML"))
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}
