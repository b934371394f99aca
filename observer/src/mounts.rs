//! Where cgroup v2 is mounted: `/sys/fs/cgroup` on most systems, `/sys/fs/cgroup/unified` on hybrid
//! ones, anything in a container. So it is looked up, never assumed.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::{fs, io};

/// Where this process sees its mounts: `proc_pid_mountinfo(5)`.
pub const MOUNTINFO: &str = "/proc/self/mountinfo";

/// There is no cgroup v2: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum Absent {
    /// The mounts are not known.
    #[error("cannot read {MOUNTINFO}: {0}")]
    Unknown(io::Error),
    /// Neither is version 1.
    #[error("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")]
    NotMounted,
    /// Version 1 is, and with it all that runs.
    #[error(
        "this host has version 1 of cgroups alone, in which nothing can be observed: boot it with \
         systemd.unified_cgroup_hierarchy=1 for cgroup v2"
    )]
    OnlyV1,
}

/// This machine's cgroup v2 mount.
///
/// # Errors
/// Where the mounts cannot be read, or there is none among them.
pub fn find() -> Result<PathBuf, Absent> {
    cgroup2(&fs::read_to_string(MOUNTINFO).map_err(Absent::Unknown)?)
}

/// The first mount of the type `cgroup2`, from the text of `mountinfo`.
///
/// ```text
///   36 25 0:31 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
///              root mount point                              type
/// ```
///
/// # Errors
/// Where there is none.
pub fn cgroup2(mountinfo: &str) -> Result<PathBuf, Absent> {
    let mut absent = Absent::NotMounted;
    for line in mountinfo.lines() {
        // Optional fields stand between the mount options and the dash.
        let Some((mount, system)) = line.split_once(" - ") else {
            continue;
        };
        match (system.split(' ').next(), mount.split(' ').nth(4)) {
            (Some("cgroup2"), Some(point)) => return Ok(unescape(point).into()),
            (Some("cgroup"), _) => absent = Absent::OnlyV1,
            _ => {}
        }
    }
    Err(absent)
}

/// The kernel writes space, tab, line feed and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| {
            text.replace(escape, plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
24 1 0:22 / /sys rw - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:5 master:2 - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/cpu rw shared:6 - cgroup cgroup rw,cpu
";
    const ONLY_V1: &str = "\
24 1 0:22 / /sys rw - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw,nosuid shared:5 - cgroup cgroup rw,xattr,name=systemd
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:6 - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn the_mount_is_found_wherever_it_is() {
        let cases = [
            (HYBRID, Ok("/sys/fs/cgroup/unified")),
            (
                "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                Ok("/sys/fs/cgroup"),
            ),
            (
                "29 23 0:26 / /mnt/a\\040b rw - cgroup2 none rw",
                Ok("/mnt/a b"),
            ),
            (
                "32 30 0:28 / /cgroup2 rw - cgroup cgroup2 rw",
                Err(Absent::OnlyV1),
            ),
            (ONLY_V1, Err(Absent::OnlyV1)),
            (
                "1 1 0:1 / / rw - ext4 /dev/sda rw\n",
                Err(Absent::NotMounted),
            ),
            ("", Err(Absent::NotMounted)),
            (" - cgroup2", Err(Absent::NotMounted)),
            ("cgroup2\n - \n", Err(Absent::NotMounted)),
            ("- - -\n\n \u{0}", Err(Absent::NotMounted)),
        ];
        for (text, expected) in cases {
            let expected = expected.map(PathBuf::from);
            let told = |absent: Absent| absent.to_string();
            assert_eq!(
                cgroup2(text).map_err(told),
                expected.map_err(told),
                "{text}"
            );
        }
    }

    #[test]
    fn a_host_of_version_1_gets_one_sentence() {
        let told = cgroup2(ONLY_V1).unwrap_err().to_string();
        assert!(told.contains("version 1 of cgroups alone"), "{told}");
        assert!(!told.contains('\n') && !told.contains("  "), "{told}");
    }
}
