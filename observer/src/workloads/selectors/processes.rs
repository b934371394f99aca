//! Processes of a cgroup, where they matter to the selection.
//!
//! A process in the root cgroup cannot be told from all others there, so nobody asks for the root's.

use std::fs;
use std::path::Path;

use super::Selectors;

/// Processes of one cgroup that are looked at.
const MOST: usize = 4096;

/// The processes in a cgroup, not those below it.
pub fn of(cgroup: &Path) -> impl Iterator<Item = u32> {
    let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let ids: Vec<u32> = list
        .lines()
        .filter_map(|line| line.parse().ok())
        .take(MOST)
        .collect();
    ids.into_iter()
}

impl Selectors {
    /// Whether a process in this cgroup is one that is selected; `proc` is where processes are.
    #[must_use]
    pub fn selects_any_process(&self, cgroup: &Path, proc: &Path) -> bool {
        of(cgroup).any(|id| {
            let directory = proc.join(id.to_string());
            let executable = fs::read_link(directory.join("exe")).ok();
            let executable = executable.as_deref().and_then(name);
            let command = fs::read_to_string(directory.join("comm")).unwrap_or_default();
            self.selects_process(executable.as_deref(), command.trim_end_matches('\n'))
        })
    }
}

/// The kernel says so of a file that was replaced while it ran.
fn name(executable: &Path) -> Option<String> {
    let name = executable.file_name()?.to_string_lossy();
    Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::workloads::Select;

    #[test]
    fn a_process_is_found_by_its_executable_even_when_that_was_replaced() {
        let root = std::env::temp_dir().join(format!("processes-{}", std::process::id()));
        let (cgroup, proc) = (root.join("cgroup"), root.join("proc"));
        fs::create_dir_all(&cgroup).unwrap();
        let process = |id: u32, executable: Option<&str>, command: &str| {
            let directory = proc.join(id.to_string());
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("comm"), format!("{command}\n")).unwrap();
            if let Some(executable) = executable {
                symlink(executable, directory.join("exe")).unwrap();
            }
        };
        process(1, Some("/usr/bin/node (deleted)"), "MainThread");
        process(2, Some("/usr/bin/bash"), "node");
        process(3, None, "node");
        let selectors = Selectors::new(&Select {
            executables: vec!["node".into()],
            ..Select::default()
        })
        .unwrap();
        for (list, expected) in [
            ("1\n", true),
            ("2\n", false),
            ("2\n3\n", true),
            ("9\n", false),
            ("", false),
        ] {
            fs::write(cgroup.join("cgroup.procs"), list).unwrap();
            let found = selectors.selects_any_process(&cgroup, &proc);
            assert_eq!(found, expected, "{list}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
