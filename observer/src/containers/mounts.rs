//! Where the hierarchies are mounted.

use std::path::PathBuf;

use procfs::process::MountInfo;

use super::host::Host;
use crate::node::filesystem::plain;

/// Controllers that are read where version 1 has them.
const CONTROLLERS: [&str; 5] = ["blkio", "cpu", "cpuacct", "memory", "pids"];

/// The mounts, as this process sees them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hierarchies {
    /// Of cgroup v2.
    pub(super) unified: PathBuf,
    /// Of version 1, by controller; none where everything is in version 2.
    pub(super) legacy: Vec<(&'static str, PathBuf)>,
}

impl Hierarchies {
    /// Those of the host; `None` without cgroup v2.
    pub(super) fn of(host: &Host) -> Option<Self> {
        Self::parse(&host.mountinfo()?, host)
    }

    fn parse(mountinfo: &str, host: &Host) -> Option<Self> {
        let mut unified = None;
        let mut legacy: Vec<(&'static str, PathBuf)> = Vec::new();
        for line in mountinfo.lines() {
            // Most are of other types: those need not be taken apart.
            if !line.contains(" - cgroup") {
                continue;
            }
            let Ok(mount) = MountInfo::from_line(line) else {
                continue;
            };
            let point = plain(&mount.mount_point.to_string_lossy());
            let place = host.root(point.as_ref());
            match mount.fs_type.as_str() {
                "cgroup2" if unified.is_none() && place.is_dir() => unified = Some(place),
                // Mounted in part, its paths would not be those of version 2.
                "cgroup" if mount.root == "/" => {
                    for controller in CONTROLLERS {
                        let is_new = legacy.iter().all(|(known, _)| *known != controller);
                        if is_new && mount.super_options.contains_key(controller) {
                            legacy.push((controller, place.clone()));
                        }
                    }
                }
                _ => {}
            }
        }
        unified.map(|unified| Self { unified, legacy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn each_controller_is_where_its_version_is_mounted() {
        let tree = Tree::new("== host/sys/fs/cgroup/a b/cgroup.procs\n").unwrap();
        let root = tree.path("host");
        let host = Host::new(&tree.path("proc"), &root);
        let of = |text: &str| Hierarchies::parse(text, &host);
        let pure = "24 1 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let pure = of(pure).unwrap();
        assert_eq!(pure.unified, root.join("sys/fs/cgroup"));
        assert_eq!(pure.legacy, []);
        let hybrid = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
garbage - cgroup
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 /part /elsewhere rw - cgroup cgroup rw,pids
35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup none rw,memory
36 31 0:32 / /again rw - cgroup none rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /nowhere rw - cgroup2 cgroup2 rw
41 31 0:38 / /sys/fs/cgroup/a\\040b rw - cgroup2 cgroup2 rw
";
        let hybrid = of(hybrid).unwrap();
        assert_eq!(hybrid.unified, root.join("sys/fs/cgroup/a b"));
        let both = root.join("sys/fs/cgroup/cpu,cpuacct");
        let memory = root.join("sys/fs/cgroup/memory");
        assert_eq!(
            hybrid.legacy,
            [("cpu", both.clone()), ("cpuacct", both), ("memory", memory)]
        );
        for none in [
            "",
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n",
        ] {
            assert_eq!(of(none), None);
        }
    }
}
