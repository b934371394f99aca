//! Puts the kernel programs into the binary, so that there is one file to ship.
//!
//! `cargo xtask build` compiles them first and says where with `OBSERVER_EBPF_OBJECT`; a plain
//! `cargo build` uses the ones of the last `cargo xtask build`.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed=OBSERVER_EBPF_OBJECT");
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let object = env::var_os("OBSERVER_EBPF_OBJECT").map_or_else(
        || manifest.join("../target/bpf/observer-ebpf.o"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var("OUT_DIR")?).join("observer-ebpf.o");
    if object.exists() {
        fs::copy(&object, &out)?;
    } else {
        println!(
            "cargo::warning=no kernel programs at {}: the agent will refuse to run; build with `cargo xtask build`",
            object.display()
        );
        fs::write(&out, [])?;
    }
    Ok(())
}
