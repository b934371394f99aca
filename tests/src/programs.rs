//! Which programs a process holds in the kernel: others run beside it, with programs of the same
//! names.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;

/// Numbers of the programs, and of those that its links hold.
///
/// # Errors
/// Where there is no such process.
pub fn held(pid: u32) -> Result<BTreeSet<u32>> {
    let mut numbers = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // One that is closed meanwhile is no program's.
        let text = fs::read_to_string(file?.path()).unwrap_or_default();
        let number = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        numbers.extend(number.map(str::trim).map(str::parse::<u32>).transpose()?);
    }
    Ok(numbers)
}
