//! Puts the agent into an OCI image: one file in one layer, by no container engine.
//!
//! ```text
//! observer.tar
//! ├── blobs/sha256/…   the layer (a tar of /observer, compressed), the configuration, the manifest
//! ├── index.json       what containerd, podman and skopeo begin with
//! ├── manifest.json    what Docker begins with
//! └── oci-layout
//! ```
//!
//! The same binary gives the same bytes: entries are in order, and nothing has a time or an owner.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Architecture, Endianness, Object as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{build, shell};

pub(crate) mod host;

/// What manifests call it; a registry's name goes in front where it is pushed.
const NAME: &str = "naytife/observer";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Of a release, with the kernel programs inside.
const MOST_BYTES: usize = 15 * 1024 * 1024;
/// The only file in it.
const PROGRAM: &str = "observer";

/// Arguments of `image`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A static binary to put into it, instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where to; target/image/observer.tar otherwise
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let built = args.binary.is_none();
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build::static_agent()?,
    };
    let program = fs::read(&binary).with_context(|| cannot("read", &binary))?;
    let image = image(&program).with_context(|| cannot("ship", &binary))?;
    if built && image.len() > MOST_BYTES {
        bail!(
            "the image has {} bytes, and {MOST_BYTES} are the most it may have",
            image.len()
        );
    }
    let to = match &args.output {
        Some(to) => to.clone(),
        None => shell::top().join("target/image/observer.tar"),
    };
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).with_context(|| cannot("make", directory))?;
    }
    fs::write(&to, &image).with_context(|| cannot("write", &to))?;
    shell::step(&format!(
        "wrote {NAME}:{VERSION} to {} ({}, {} unpacked)",
        to.display(),
        build::mebibytes(image.len()),
        build::mebibytes(program.len())
    ));
    Ok(())
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}

/// The archive.
fn image(program: &[u8]) -> Result<Vec<u8>> {
    let config = json!({
        "Entrypoint": [format!("/{PROGRAM}")],
        "Cmd": ["run"],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "Labels": labels(),
    });
    archive(
        NAME,
        architecture(program)?,
        &tar(&[(PROGRAM, program)])?,
        &config,
    )
}

/// An archive of one layer.
pub(crate) fn archive(
    name: &str,
    architecture: &str,
    layer: &[u8],
    config: &Value,
) -> Result<Vec<u8>> {
    let labels = &config["Labels"];
    let configuration = serde_json::to_vec(&json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [digest(layer)] },
    }))?;
    let mut blobs = Blobs::default();
    let layer = blobs.put("application/vnd.oci.image.layer.v1.tar+gzip", gzip(layer)?);
    let configuration = blobs.put("application/vnd.oci.image.config.v1+json", configuration);
    let docker = json!([{
        "Config": path(&configuration.digest),
        "RepoTags": [format!("{name}:{VERSION}")],
        "Layers": [path(&layer.digest)],
    }]);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": kind,
        "config": configuration.descriptor(),
        "layers": [layer.descriptor()],
        "annotations": labels,
    }))?;
    let manifest = blobs.put(kind, manifest);
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": manifest.kind,
            "digest": manifest.digest,
            "size": manifest.size,
            "platform": { "architecture": architecture, "os": "linux" },
            "annotations": {
                "io.containerd.image.name": format!("docker.io/{name}:{VERSION}"),
                "org.opencontainers.image.ref.name": VERSION,
            },
        }],
    }))?;
    let docker = serde_json::to_vec(&docker)?;
    let mut files: Vec<(&str, &[u8])> = blobs.files().collect();
    files.push(("index.json", &index));
    files.push(("manifest.json", &docker));
    files.push(("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#));
    tar(&files)
}

/// What registries and engines show of it.
fn labels() -> BTreeMap<String, String> {
    let mut git = Command::new("git");
    git.args([
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ])
    .current_dir(shell::top());
    // None outside of a checkout.
    let revision = shell::output(&mut git).map(|text| ("revision", text.trim().to_owned()));
    let description = "HTTP, PostgreSQL and Redis metrics of a shop platform, from the kernel";
    [
        ("title", "observer".to_owned()),
        ("description", description.to_owned()),
        ("version", VERSION.to_owned()),
        ("licenses", "MIT OR Apache-2.0".to_owned()),
    ]
    .into_iter()
    .chain(revision)
    .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value))
    .collect()
}

/// What the binary runs on, in the words of OCI.
pub(crate) fn architecture(program: &[u8]) -> Result<&'static str> {
    let file = object::File::parse(program).context("it is no program")?;
    let header = FileHeader64::<Endianness>::parse(program).context("it is no 64-bit ELF file")?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, program)?;
    if segments.iter().any(|one| one.p_type(endian) == PT_INTERP) {
        bail!("it is linked dynamically, and the image holds no libraries");
    }
    match file.architecture() {
        Architecture::X86_64 => Ok("amd64"),
        Architecture::Aarch64 => Ok("arm64"),
        other => bail!("images for {other:?} are not made"),
    }
}

/// Files and the directories above them, all root's and of no date; the paths are in order.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut made: Vec<&Path> = Vec::new();
    for (path, bytes) in files {
        let above: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        for directory in above.into_iter().rev() {
            if !directory.as_os_str().is_empty() && !made.contains(&directory) {
                made.push(directory);
                let mut header = entry(tar::EntryType::Directory, 0);
                archive.append_data(&mut header, directory, [].as_slice())?;
            }
        }
        let mut header = entry(tar::EntryType::Regular, bytes.len().try_into()?);
        archive.append_data(&mut header, path, *bytes)?;
    }
    Ok(archive.into_inner()?)
}

fn entry(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Where the blob of a digest is.
fn path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// What is found by its digest, by its path.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

/// How another file names a blob.
struct Blob {
    kind: &'static str,
    digest: String,
    size: usize,
}

impl Blobs {
    fn put(&mut self, kind: &'static str, bytes: Vec<u8>) -> Blob {
        let (digest, size) = (digest(&bytes), bytes.len());
        self.0.insert(path(&digest), bytes);
        Blob { kind, digest, size }
    }

    fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }
}

impl Blob {
    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": self.digest, "size": self.size })
    }
}
