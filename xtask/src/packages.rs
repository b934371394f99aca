//! What comes from the distribution: one table, and how its rows are installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, iter};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// What a package is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the kernel side with the distribution's compiler.
    Kernel,
    /// Building `bpf-linker` or another crate that links C++.
    Linker,
    /// The lints of the kernel side.
    Lint,
    /// The demo's servers; the tests use them too.
    Demo,
    /// Every other server and client of the tests and benches.
    Servers,
    /// Container engines.
    Engines,
    /// What a node of Kubernetes has besides Kubernetes.
    Cluster,
}

/// How one sees that a package is there.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// A program on the path or among the system's.
    Program(&'static str),
    /// A program of PostgreSQL, which Debian keeps off the path.
    Postgres(&'static str),
    /// A file.
    File(&'static str),
}

/// A row of the table.
#[derive(Debug)]
struct Package {
    name: &'static str,
    proof: Proof,
    why: &'static str,
    need: Need,
    /// The service that Debian would start with it.
    service: Option<&'static str>,
}

const fn row(name: &'static str, proof: Proof, need: Need, why: &'static str) -> Package {
    Package {
        name,
        proof,
        why,
        need,
        service: None,
    }
}

const fn server(
    name: &'static str,
    proof: Proof,
    need: Need,
    why: &'static str,
    service: &'static str,
) -> Package {
    Package {
        name,
        proof,
        why,
        need,
        service: Some(service),
    }
}

#[rustfmt::skip]
const PACKAGES: &[Package] = &[
    row("rustc-web", Proof::File("/usr/bin/rustc"), Need::Kernel, "the compiler of the kernel side"),
    row("cargo-web", Proof::File("/usr/bin/cargo"), Need::Kernel, "its cargo"),
    row("libstd-rust-web-dev-bpf", Proof::File("/usr/lib/rustlib/bpfel-unknown-none"), Need::Kernel, "core, built for the kernel's target"),
    row("rust-web-clippy", Proof::File("/usr/bin/cargo-clippy"), Need::Lint, "lints of the kernel side"),
    row("g++", Proof::Program("c++"), Need::Linker, "links bpf-linker and the fuzzers"),
    row("zlib1g-dev", Proof::File("/usr/include/zlib.h"), Need::Linker, "a library that LLVM links"),
    row("libzstd-dev", Proof::File("/usr/include/zstd.h"), Need::Linker, "a library that LLVM links"),
    row("libxml2-dev", Proof::File("/usr/include/libxml2"), Need::Linker, "a library that LLVM links"),
    server("postgresql", Proof::Postgres("initdb"), Need::Demo, "the database of the demo and the tests", "postgresql"),
    server("redis-server", Proof::Program("redis-server"), Need::Demo, "the cache of the demo and the tests", "redis-server"),
    row("redis-tools", Proof::Program("redis-benchmark"), Need::Servers, "load for Redis"),
    server("pgbouncer", Proof::Program("pgbouncer"), Need::Servers, "the pooler", "pgbouncer"),
    server("nginx-light", Proof::Program("nginx"), Need::Servers, "the HTTP server", "nginx"),
    row("wrk", Proof::Program("wrk"), Need::Servers, "load for HTTP"),
    row("curl", Proof::Program("curl"), Need::Servers, "a client of HTTP"),
    server("prometheus", Proof::Program("prometheus"), Need::Servers, "what scrapes the agent, and promtool", "prometheus"),
    server("prometheus-node-exporter", Proof::Program("prometheus-node-exporter"), Need::Servers, "what says the same of the machine", "prometheus-node-exporter"),
    row("openssl", Proof::Program("openssl"), Need::Servers, "a TLS server, to be skipped"),
    row("iproute2", Proof::Program("ip"), Need::Servers, "network namespaces"),
    row("nftables", Proof::Program("nft"), Need::Servers, "translation of addresses between them"),
    row("runc", Proof::Program("runc"), Need::Servers, "runs the image"),
    server("etcd-server", Proof::Program("etcd"), Need::Cluster, "the store of the API server", "etcd"),
    server("containerd", Proof::Program("containerd"), Need::Cluster, "runs the containers of pods", "containerd"),
    row("containernetworking-plugins", Proof::File("/usr/lib/cni/ptp"), Need::Cluster, "connects pods"),
    row("ethtool", Proof::Program("ethtool"), Need::Servers, "turns segmentation offloads on and off"),
    server("docker.io", Proof::Program("dockerd"), Need::Engines, "an engine of containers, and its client", "docker"),
    server("podman", Proof::Program("podman"), Need::Engines, "another engine", "podman"),
    row("docker-compose", Proof::Program("docker-compose"), Need::Engines, "starts what a Compose file says"),
];

/// Sees that everything for these needs is there, and installs what is not.
pub(crate) fn require(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| needs.contains(&package.need) && !package.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        shell::step(&format!("missing: {} ({})", package.name, package.why));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let services: Vec<&str> = missing
        .iter()
        .filter_map(|package| package.service)
        .collect();
    install(&names, &services)
}

/// Installs packages by name; their services are neither started now nor at the next boot.
pub(crate) fn install(names: &[&str], services: &[&str]) -> Result<()> {
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if shell::find("apt-get").is_none() {
        bail!(
            "this distribution has no apt, so install the equivalents of these Debian packages: {}",
            names.join(" ")
        );
    }
    let mut command = if shell::is_root() {
        Command::new("sh")
    } else if shell::can_sudo() {
        let mut command = Command::new("sudo");
        command.arg("sh");
        command
    } else {
        bail!("packages are missing and installing takes root: run `sudo {by_hand}`");
    };
    shell::step(&by_hand);
    command
        .args(["-c", INSTALL, "install", &services.join(" ")])
        .args(names);
    shell::run(&mut command)
        .with_context(|| format!("packages are missing: run `{by_hand}` as root"))
}

/// Whether apt knows a package by this name.
pub(crate) fn is_available(name: &str) -> bool {
    shell::output(Command::new("apt-cache").args(["show", name]))
        .is_some_and(|text| !text.is_empty())
}

/// One line per row: there or missing, what for.
pub(crate) fn list() -> impl Iterator<Item = String> {
    iter::once(format!("{:<26}{:<10}{}", "package", "state", "what for")).chain(
        PACKAGES.iter().map(|package| {
            let state = if package.is_there() {
                "there"
            } else {
                "missing"
            };
            format!("{:<26}{state:<10}{}", package.name, package.why)
        }),
    )
}

// A policy-rc.d that says 101 keeps Debian from starting services; one that is already there is
// the administrator's and stays.
const INSTALL: &str = r#"
set -e
services=$1
shift
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || echo "warning: the package lists could not be refreshed" >&2
apt-get install -qq -y --no-install-recommends "$@"
if [ -d /run/systemd/system ] && [ -n "$services" ]; then
    systemctl disable --quiet $services || true
fi
"#;

// === impl Package ===

impl Package {
    fn is_there(&self) -> bool {
        match self.proof {
            Proof::Program(program) => shell::find(program).is_some(),
            Proof::Postgres(program) => {
                shell::find(program).is_some()
                    || postgres_directories().any(|directory| directory.join(program).is_file())
            }
            Proof::File(file) => Path::new(file).exists(),
        }
    }
}

fn postgres_directories() -> impl Iterator<Item = PathBuf> {
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
}
