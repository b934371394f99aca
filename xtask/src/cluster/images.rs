//! What pods run besides the agent. No image is pulled: servers are the machine's own, which each
//! pod mounts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::image;

/// PostgreSQL and `PgBouncer` refuse root, and want to be somebody.
const USERS: &[u8] =
    b"root:x:0:0:root:/:/bin/sh\npostgres:x:70:70:postgres:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
const GROUPS: &[u8] = b"root:x:0:\npostgres:x:70:\nnogroup:x:65534:\n";

/// Writes `pause.tar`, which holds a pod's namespaces, and `host.tar`, a root directory around the
/// machine's programs.
pub(super) fn make(binaries: &Path, images: &Path) -> Result<()> {
    fs::create_dir_all(images)?;
    let pause = fs::read(binaries.join("pause")).context("there is no pause")?;
    let architecture = image::architecture(&pause)?;
    let layer = image::tar(&[("pause", &pause)])?;
    let config = json!({ "Entrypoint": ["/pause"], "Labels": {} });
    let archive = image::archive("naytife/pause", architecture, &layer, &config)?;
    fs::write(images.join("pause.tar"), archive)?;
    let config = json!({ "Labels": {} });
    let root = image::host::root(&[], &[("etc/passwd", USERS), ("etc/group", GROUPS)])?;
    let archive = image::archive("naytife/host", architecture, &root, &config)?;
    fs::write(images.join("host.tar"), archive)?;
    Ok(())
}
