//! Compiles the programs that run in the kernel.
//!
//! Two toolchains can: a rustup nightly that has `rust-src`, which then builds `core` itself, and
//! Debian's `rustc-web` packages, which hold a `core` for the target. The first that is there is
//! taken; where neither is, the first that can be installed.

use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Need};
use crate::shell;

const TARGET: &str = "bpfel-unknown-none";
const LINKER_VERSION: &str = "0.13.0";
/// The releases of LLVM that this `bpf-linker` can be built with.
const LINKER_LLVM: [u32; 3] = [21, 22, 23];

/// What compiles the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// rustup's nightly with `rust-src`.
    Nightly,
    /// Debian's packages.
    Debian,
}

/// Picks a toolchain and sees that it and its linker are complete.
pub(crate) fn toolchain() -> Result<Toolchain> {
    let toolchain = match present() {
        Some(toolchain) => toolchain,
        None => install()?,
    };
    linker(toolchain)?;
    Ok(toolchain)
}

/// Which toolchain is there, and whether its linker is.
pub(crate) fn describe() -> String {
    let Some(toolchain) = present() else {
        return "no toolchain yet".into();
    };
    let tools = shell::top().join(".tools");
    let built = toolchain
        .llvm()
        .is_ok_and(|llvm| installed_as(&tools, &format!("llvm-{llvm}")));
    let state = if built { "there" } else { "not built yet" };
    format!("{toolchain}; bpf-linker {LINKER_VERSION} is {state}")
}

/// Builds the programs to the place where the agent's build script looks for them.
pub(crate) fn build() -> Result<()> {
    object("observer-ebpf", "the kernel side").map(drop)
}

/// Builds what the benchmarks measure the programs against; where it is.
pub(crate) fn floor() -> Result<PathBuf> {
    object("floor", "the floor programs")
}

fn object(binary: &str, what: &str) -> Result<PathBuf> {
    let toolchain = toolchain()?;
    shell::step(&format!("building {what} with {toolchain}"));
    let mut command = toolchain.cargo("build");
    command.args(["--release", "--package", "observer-ebpf", "--bin", binary]);
    shell::run(&mut command)?;
    let from = directory().join(TARGET).join("release").join(binary);
    let to = directory().join(format!("{binary}.o"));
    let object = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    // Untouched when nothing changed, so that the agent is not built again.
    if fs::read(&to).is_ok_and(|old| old == object) {
        return Ok(to);
    }
    fs::write(&to, object).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(to)
}

/// Lints the programs as they are compiled for the kernel.
pub(crate) fn lint() -> Result<()> {
    let toolchain = toolchain()?;
    toolchain.require_lints()?;
    shell::step(&format!("clippy of the kernel side with {toolchain}"));
    let mut command = toolchain.cargo("clippy");
    command.args(["--package", "observer-ebpf", "--", "-D", "warnings"]);
    shell::run(&mut command)
}

fn directory() -> PathBuf {
    shell::top().join("target/bpf")
}

fn present() -> Option<Toolchain> {
    [Toolchain::Nightly, Toolchain::Debian]
        .into_iter()
        .find(|toolchain| toolchain.is_there())
}

fn install() -> Result<Toolchain> {
    if packages::is_available("libstd-rust-web-dev-bpf") {
        packages::require(&[Need::Kernel])?;
        return Ok(Toolchain::Debian);
    }
    if shell::find("rustup").is_some() {
        shell::step("installing rustup's nightly with rust-src");
        shell::run(Command::new("rustup").args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src,clippy",
        ]))?;
        return Ok(Toolchain::Nightly);
    }
    bail!(
        "nothing here compiles for the kernel: install rustup and run \
         `rustup toolchain install nightly --component rust-src,clippy`"
    )
}

/// `bpf-linker` in a directory of the project's own, built with the compiler's LLVM.
fn linker(toolchain: Toolchain) -> Result<PathBuf> {
    let llvm = toolchain.llvm()?;
    let tools = shell::top().join(".tools");
    let program = tools.join("bin/bpf-linker");
    let feature = format!("llvm-{llvm}");
    if program.is_file() && installed_as(&tools, &feature) {
        return Ok(program);
    }
    if !LINKER_LLVM.contains(&llvm) {
        bail!(
            "{toolchain} has LLVM {llvm}, and bpf-linker {LINKER_VERSION} knows only {LINKER_LLVM:?}: \
             install another nightly"
        );
    }
    packages::require(&[Need::Linker])?;
    let prefix = llvm_prefix(llvm)?;
    shell::step(&format!(
        "building bpf-linker {LINKER_VERSION} with LLVM {llvm}; takes a minute or two"
    ));
    shell::run(
        shell::cargo(["install", "bpf-linker", "--version", LINKER_VERSION])
            .args([
                "--locked",
                "--force",
                "--no-default-features",
                "--features",
                &feature,
            ])
            .arg("--root")
            .arg(&tools)
            .env("PATH", shell::path_with(&prefix.join("bin"))?)
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
            .env_remove("CARGO_TARGET_DIR"),
    )?;
    Ok(program)
}

/// Whether cargo's own record says that the linker was built like this.
fn installed_as(tools: &Path, feature: &str) -> bool {
    fs::read_to_string(tools.join(".crates2.json")).is_ok_and(|record| {
        record.contains(&format!("bpf-linker {LINKER_VERSION} "))
            && record.contains(&format!("\"{feature}\""))
    })
}

/// Where this release of LLVM keeps its headers and libraries.
fn llvm_prefix(llvm: u32) -> Result<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if debian.join("bin/llvm-config").is_file() {
        return Ok(debian);
    }
    for name in [format!("llvm-config-{llvm}"), "llvm-config".into()] {
        let ask = |what| shell::output(Command::new(&name).arg(what));
        let version = ask("--version").unwrap_or_default();
        if version.starts_with(&format!("{llvm}."))
            && let Some(prefix) = ask("--prefix")
        {
            return Ok(PathBuf::from(prefix.trim()));
        }
    }
    let package = format!("llvm-{llvm}-dev");
    if !packages::is_available(&package) {
        bail!(
            "bpf-linker needs LLVM {llvm} with its headers: install {package} (see https://apt.llvm.org)"
        );
    }
    packages::install(&[&package], &[])?;
    Ok(debian)
}

// === impl Toolchain ===

impl Toolchain {
    /// Sees that the lints can run.
    pub(crate) fn require_lints(self) -> Result<()> {
        match self {
            Self::Debian => packages::require(&[Need::Lint]),
            Self::Nightly => Ok(()),
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Nightly => shell::output(
                Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]),
            )
            .is_some_and(|sysroot| {
                Path::new(sysroot.trim())
                    .join("lib/rustlib/src/rust/library/core")
                    .is_dir()
            }),
            Self::Debian => {
                ["/usr/bin/rustc", "/usr/bin/cargo"]
                    .iter()
                    .all(|file| Path::new(file).is_file())
                    && shell::output(
                        Command::new("/usr/bin/rustc")
                            .env_remove("LD_LIBRARY_PATH")
                            .args(["--print", "target-libdir", "--target", TARGET]),
                    )
                    .is_some_and(|library| Path::new(library.trim()).is_dir())
            }
        }
    }

    /// The release of LLVM inside the compiler.
    fn llvm(self) -> Result<u32> {
        let mut command = match self {
            Self::Nightly => Command::new("rustup"),
            Self::Debian => Command::new("/usr/bin/rustc"),
        };
        if self == Self::Nightly {
            command.args(["run", "nightly", "rustc"]);
        }
        let text = shell::output(command.arg("-vV").env_remove("LD_LIBRARY_PATH"))
            .with_context(|| format!("{self} does not start"))?;
        text.lines()
            .find_map(|line| {
                line.strip_prefix("LLVM version: ")?
                    .split('.')
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| format!("{self} does not say which LLVM it has"))
    }

    /// `cargo <verb>` for the kernel's target.
    fn cargo(self, verb: &str) -> Command {
        let mut command = match (self, verb) {
            (Self::Nightly, _) => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo", verb, "-Z", "build-std=core"]);
                command
            }
            // By its path: cargo would prefer rustup's to the one that fits this compiler.
            (Self::Debian, "clippy") => {
                let mut command = Command::new("/usr/bin/cargo-clippy");
                command.arg("clippy");
                command
            }
            (Self::Debian, _) => {
                let mut command = Command::new("/usr/bin/cargo");
                command.arg(verb);
                command
            }
        };
        // What rustup and the cargo that started this leave behind speaks of another toolchain.
        for name in [
            "RUSTUP_TOOLCHAIN",
            "CARGO",
            "RUSTC",
            "LD_LIBRARY_PATH",
            "CARGO_ENCODED_RUSTFLAGS",
        ] {
            command.env_remove(name);
        }
        if self == Self::Debian {
            command
                .env("CARGO", "/usr/bin/cargo")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1");
        }
        command
            .current_dir(shell::top())
            .args(["--target", TARGET])
            .env("CARGO_TARGET_DIR", directory())
            .env(
                "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER",
                shell::top().join(".tools/bin/bpf-linker"),
            )
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            // BTF, which the kernel wants for maps such as socket storage.
            .env("RUSTFLAGS", "-C debuginfo=2 -C link-arg=--btf");
        command
    }
}

impl Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nightly => "rustup's nightly and rust-src",
            Self::Debian => "Debian's rustc-web packages",
        })
    }
}
