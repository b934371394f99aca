//! A host that has version 1 of cgroups alone.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use observer_tests::agent::binary;
use observer_tests::cgroup;

/// The observer with these arguments, where version 2 is not mounted.
fn without_version_2(arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            "umount \"$1\" && shift && exec \"$@\"",
            "host",
        ])
        .arg(cgroup::mount()?)
        .arg(binary()?)
        .args(arguments)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said + &told))
}

#[test]
fn a_host_of_version_1_gets_one_clear_sentence() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if !mounts
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("cgroup"))
    {
        eprintln!("skipped: this machine has no hierarchy of version 1");
        return Ok(());
    }
    for arguments in [
        ["check", "--listen", "127.0.0.1:0"],
        ["run", "--listen", "127.0.0.1:0"],
    ] {
        let (is_well, said) = without_version_2(&arguments)?;
        ensure!(!is_well, "{said}");
        let told = said
            .lines()
            .filter(|line| line.contains("version 1 of cgroups alone"));
        ensure!(told.count() > 0, "{said}");
        ensure!(!said.contains("panicked"), "{said}");
    }
    Ok(())
}
