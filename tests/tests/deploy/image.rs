//! The image, taken apart as an engine would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};
use flate2::read::GzDecoder;
use observer_tests::agent::sibling;
use observer_tests::process::finish;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// An image that `cargo xtask image` made of the agent that is linked statically.
pub(crate) struct Image {
    files: BTreeMap<String, Vec<u8>>,
    pub(crate) configuration: Value,
    layer: String,
}

impl Image {
    /// Makes and reads one, once for all tests.
    pub(crate) fn made() -> Result<&'static Self> {
        static MADE: OnceLock<Result<Image, String>> = OnceLock::new();
        let made = MADE.get_or_init(|| Self::make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|error| anyhow!("{error}"))
    }

    fn make() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let archive = directory.path().join("observer.tar");
        pack(&program()?, &archive).context("`cargo xtask test` builds one that fits")?;
        Self::read(&archive)
    }

    fn read(archive: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(archive)?).entries()? {
            let mut entry = entry?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.insert(entry.path()?.to_string_lossy().into_owned(), bytes);
        }
        let json = |path: &str| -> Result<Value> {
            let bytes = files.get(path).with_context(|| format!("no {path}"))?;
            Ok(serde_json::from_slice(bytes)?)
        };
        let index = json("index.json")?;
        let manifest = json(&blob(&index["manifests"][0])?)?;
        let configuration = json(&blob(&manifest["config"])?)?;
        let layer = blob(&manifest["layers"][0])?;
        Ok(Self {
            files,
            configuration,
            layer,
        })
    }

    /// Its one layer.
    fn layer(&self) -> Result<Vec<u8>> {
        let compressed = self.files.get(&self.layer).context("no layer")?;
        let mut layer = Vec::new();
        GzDecoder::new(compressed.as_slice()).read_to_end(&mut layer)?;
        Ok(layer)
    }

    /// Makes a root directory of it.
    pub(crate) fn unpack(&self, root: &Path) -> Result<()> {
        Ok(tar::Archive::new(self.layer()?.as_slice()).unpack(root)?)
    }
}

/// Where the blob of a descriptor is.
fn blob(descriptor: &Value) -> Result<String> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    Ok(format!("blobs/{}", digest.replace(':', "/")))
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn program() -> Result<PathBuf> {
    sibling("observer").context("`cargo xtask test` builds it")
}

fn pack(program: &Path, archive: &Path) -> Result<String> {
    let mut xtask = Command::new(sibling("xtask")?);
    xtask.args(["image", "--binary"]).arg(program);
    finish(xtask.arg("--output").arg(archive))
}

#[test]
fn the_same_binary_gives_the_same_bytes() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let archives = ["one.tar", "another.tar"].map(|name| directory.path().join(name));
    for archive in &archives {
        pack(&program()?, archive)?;
    }
    let [one, another] = &archives;
    ensure!(digest(&fs::read(one)?) == digest(&fs::read(another)?));
    Ok(())
}

#[test]
fn every_blob_is_what_its_name_says_and_no_entry_has_a_date_or_an_owner() -> Result<()> {
    let image = Image::made()?;
    for (path, bytes) in &image.files {
        if let Some(name) = path
            .strip_prefix("blobs/sha256/")
            .filter(|name| !name.is_empty())
        {
            ensure!(digest(bytes) == name, "{path}");
        }
    }
    let layer = image.layer()?;
    let identity = format!("sha256:{}", digest(&layer));
    ensure!(image.configuration["rootfs"]["diff_ids"][0] == identity);
    let mut names = Vec::new();
    for entry in tar::Archive::new(layer.as_slice()).entries()? {
        let entry = entry?;
        let header = entry.header();
        ensure!(header.mtime()? == 0 && header.uid()? == 0 && header.gid()? == 0);
        names.push(entry.path()?.into_owned());
    }
    ensure!(names == [Path::new("observer")], "{names:?}");
    Ok(())
}

#[test]
fn it_runs_the_agent_and_says_what_it_is() -> Result<()> {
    let image = Image::made()?;
    let config = &image.configuration["config"];
    ensure!(config["Entrypoint"][0] == "/observer" && config["Cmd"][0] == "run");
    let label = |name: &str| &config["Labels"][format!("org.opencontainers.image.{name}")];
    ensure!(label("title") == "observer");
    ensure!(label("version") == env!("CARGO_PKG_VERSION"));
    ensure!(label("licenses") == "MIT OR Apache-2.0");
    ensure!(image.configuration["architecture"] == docker_name());
    // What Docker begins with names the same blobs.
    let docker: Value = serde_json::from_slice(&image.files["manifest.json"])?;
    ensure!(docker[0]["Layers"][0] == image.layer);
    let tag = format!("naytife/observer:{}", env!("CARGO_PKG_VERSION"));
    ensure!(docker[0]["RepoTags"][0] == tag);
    Ok(())
}

fn docker_name() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    }
}

#[test]
fn a_program_that_needs_libraries_is_refused_in_one_sentence() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let refused = pack(
        "/usr/bin/env".as_ref(),
        &directory.path().join("observer.tar"),
    );
    let said = refused.unwrap_err().to_string();
    ensure!(
        said.contains("linked dynamically") && said.trim().lines().count() == 1,
        "{said}"
    );
    Ok(())
}
