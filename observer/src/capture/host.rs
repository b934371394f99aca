//! Can this machine run the agent? One row for each thing it needs.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use super::cgroup;
use super::load::OBJECT;

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

/// Linux capability numbers, `include/uapi/linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Looks at this machine.
pub fn requirements() -> Vec<Requirement> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let status = read("/proc/self/status");
    vec![
        programs(!OBJECT.is_empty()),
        kernel(&read("/proc/sys/kernel/osrelease")),
        privileges(&status),
        types(Path::new(KERNEL_TYPES)),
        cgroup_tree(&read("/proc/self/mountinfo")),
        locked_memory(
            &read("/proc/self/limits"),
            &read("/proc/sys/kernel/osrelease"),
        ),
    ]
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

/// Effective capabilities in the text of `/proc/self/status`.
fn privileges(status: &str) -> Requirement {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| mask >> capability & 1 == 1;
    let names = [
        (CAP_BPF, "CAP_BPF"),
        (CAP_PERFMON, "CAP_PERFMON"),
        (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
    ];
    let missing: Vec<&str> = names
        .iter()
        .filter(|(bit, _)| !has(*bit))
        .map(|(_, name)| *name)
        .collect();
    let met = has(CAP_SYS_ADMIN) && has(CAP_NET_ADMIN) || missing.is_empty();
    Requirement {
        name: "privileges",
        met,
        found: if met {
            "enough".to_owned()
        } else {
            format!("no {}", missing.join(", "))
        },
        remedy: "run as root, or give the binary CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
        required: true,
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

fn cgroup_tree(mountinfo: &str) -> Requirement {
    let mount = cgroup::mount_point(mountinfo);
    Requirement {
        name: "cgroup v2 tree",
        met: mount.is_some(),
        found: mount.map_or_else(
            || "not mounted".to_owned(),
            |path| path.display().to_string(),
        ),
        remedy: "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified (in a container, mount the \
                 host's /sys/fs/cgroup)",
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
    fn missing_capabilities_are_named() {
        let full = privileges("Name:\tx\nCapEff:\t000001ffffffffff\n");
        assert!(full.met);
        let none = privileges("CapEff:\t0000000000000000\n");
        assert_eq!(none.found, "no CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN");
        let three = privileges(&format!(
            "CapEff:\t{:016x}\n",
            (1_u64 << 39) | (1 << 38) | (1 << 12)
        ));
        assert!(three.met);
    }

    #[test]
    fn locked_memory_only_matters_before_5_11() {
        let limits = "Max locked memory         65536                65536                bytes\n";
        assert!(!locked_memory(limits, "5.10.0").met);
        assert!(locked_memory(limits, "6.1.0").met);
        assert!(locked_memory("Max locked memory  unlimited unlimited bytes\n", "5.8.0").met);
    }

    #[test]
    fn every_row_has_a_remedy() {
        for row in requirements() {
            assert!(!row.remedy.is_empty() && !row.found.is_empty(), "{row:?}");
        }
    }
}
