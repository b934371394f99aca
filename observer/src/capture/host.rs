//! Can this machine run the agent? One row for each thing it needs.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use super::capabilities::{self, Capability};
use super::load::OBJECT;
use crate::mounts;

/// Something the agent needs of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What.
    pub name: &'static str,
    /// Whether it is there, and what was found.
    pub met: bool,
    /// What was found, in a few words.
    pub found: String,
    /// What to do where it is not met.
    pub remedy: &'static str,
    /// Without it the agent does not start.
    pub required: bool,
}

/// Where the kernel describes its own types.
pub(super) const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Looks at this machine.
pub fn requirements() -> Vec<Requirement> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let missing = capabilities::missing();
    let mut rows = vec![
        programs(!OBJECT.is_empty()),
        kernel(&read("/proc/sys/kernel/osrelease")),
        privileges(&missing),
        types(Path::new(KERNEL_TYPES)),
        cgroup_tree(&read(mounts::MOUNTINFO)),
        locked_memory(
            &read("/proc/self/limits"),
            &read("/proc/sys/kernel/osrelease"),
        ),
    ];
    rows.extend(
        missing
            .into_iter()
            .filter(|row| !row.required)
            .map(degraded),
    );
    rows
}

fn programs(built_in: bool) -> Requirement {
    Requirement {
        name: "kernel programs",
        met: built_in,
        found: if built_in { "built in" } else { "not built in" }.to_owned(),
        remedy: "build with `cargo xtask build`, which compiles them first",
        required: true,
    }
}

/// Major and minor of a kernel release such as `5.15.0-91-generic`.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn kernel(release: &str) -> Requirement {
    Requirement {
        name: "kernel 5.8 or newer",
        met: version(release).is_some_and(|version| version >= (5, 8)),
        found: release.trim().to_owned(),
        remedy: "run on a newer kernel: the ring buffer came with 5.8",
        required: true,
    }
}

/// What nothing runs without.
fn privileges(missing: &[&Capability]) -> Requirement {
    let required: Vec<String> = missing
        .iter()
        .filter(|row| row.required)
        .map(|row| format!("no {}, so {}", row.name, row.without))
        .collect();
    Requirement {
        name: "privileges",
        met: required.is_empty(),
        found: if required.is_empty() {
            "enough".to_owned()
        } else {
            required.join("; ")
        },
        remedy: "run as root, or give the binary CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
        required: true,
    }
}

/// What it runs without, seeing less.
fn degraded(row: &Capability) -> Requirement {
    Requirement {
        name: row.name,
        met: false,
        found: format!("not held, so {}", row.without),
        remedy: "give it to the agent where you want to know",
        required: false,
    }
}

fn types(path: &Path) -> Requirement {
    let size = fs::metadata(path).map(|metadata| metadata.len());
    Requirement {
        name: "kernel type information (BTF)",
        met: size.is_ok(),
        found: match size {
            Ok(size) => format!("{} KiB at {}", size / 1024, path.display()),
            Err(error) => format!("{}: {error}", path.display()),
        },
        remedy: "run on a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' are",
        required: true,
    }
}

/// What programs are attached to.
pub(super) const CGROUP_TREE: &str = "cgroup v2 tree";
/// Where it is not there.
pub(super) const CGROUP_TREE_REMEDY: &str =
    "in a container, mount the host's /sys/fs/cgroup; on a host, see docs/workloads.md";

fn cgroup_tree(mountinfo: &str) -> Requirement {
    let mount = mounts::cgroup2(mountinfo);
    Requirement {
        name: CGROUP_TREE,
        met: mount.is_ok(),
        found: match mount {
            Ok(path) => path.display().to_string(),
            Err(absent) => absent.to_string(),
        },
        remedy: CGROUP_TREE_REMEDY,
        required: true,
    }
}

/// Kernels before 5.11 count maps against the limit on locked memory.
fn locked_memory(limits: &str, release: &str) -> Requirement {
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))
        .and_then(|line| line.split_whitespace().next())
        .unwrap_or("unknown");
    let counted = version(release).is_some_and(|version| version < (5, 11));
    Requirement {
        name: "locked memory",
        met: !counted || limit == "unlimited",
        found: if counted {
            limit.to_owned()
        } else {
            "not limited by this kernel".to_owned()
        },
        remedy: "raise the limit: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
        required: false,
    }
}

#[cfg(test)]
mod tests {
    use super::capabilities::CAPABILITIES;
    use super::*;

    #[test]
    fn a_kernel_release_is_compared_by_number_not_by_text() {
        for (release, met) in [
            ("6.18.44-fc-v669\n", true),
            ("5.15.0-91-generic", true),
            ("5.8.0", true),
            ("5.7.19", false),
            ("4.19.0-26-amd64", false),
            ("", false),
        ] {
            assert_eq!(kernel(release).met, met, "{release}");
        }
    }

    #[test]
    fn a_privilege_that_is_missing_is_told_with_what_is_lost() {
        assert!(privileges(&[]).met);
        for row in &CAPABILITIES {
            let told = if row.required {
                privileges(&[row])
            } else {
                degraded(row)
            };
            assert!(!told.met && told.found.ends_with(row.without), "{told:?}");
            let named = format!("{}: {}", told.name, told.found);
            assert!(named.contains(row.name), "{named}");
        }
    }

    #[test]
    fn locked_memory_only_matters_before_5_11() {
        let limits = "Max locked memory         65536                65536                bytes\n";
        assert!(!locked_memory(limits, "5.10.0").met);
        assert!(locked_memory(limits, "6.1.0").met);
        assert!(locked_memory("Max locked memory  unlimited unlimited bytes\n", "5.8.0").met);
    }

    #[test]
    fn a_host_of_cgroups_version_1_is_recognised() {
        let row = cgroup_tree("32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
        assert!(!row.met && row.required, "{row:?}");
        assert!(row.found.contains("version 1 of cgroups alone"), "{row:?}");
        let row = cgroup_tree("29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert!(row.met && row.found == "/sys/fs/cgroup", "{row:?}");
    }

    #[test]
    fn every_row_has_a_remedy() {
        for row in requirements() {
            assert!(!row.remedy.is_empty() && !row.found.is_empty(), "{row:?}");
        }
    }
}
