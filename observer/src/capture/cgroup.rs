//! Where the cgroup v2 tree is, and which of its directories is meant.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The first cgroup v2 mount in the text of `/proc/self/mountinfo` (proc(5)).
pub(super) fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let kind = after.split(' ').next()?;
        (kind == "cgroup2").then(|| before.split(' ').nth(4).map(unescape))?
    })
}

/// A path of mountinfo; blanks and backslashes are octal there.
fn unescape(path: &str) -> PathBuf {
    let replaced = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (from, to)| path.replace(from, to));
    PathBuf::from(replaced)
}

/// This machine's cgroup v2 mount.
pub(super) fn find_mount() -> io::Result<Option<PathBuf>> {
    fs::read_to_string("/proc/self/mountinfo").map(|text| mount_point(&text))
}

/// A selection as a directory. A path that does not lead to the mount is one below it, as
/// `/proc/PID/cgroup` writes them.
pub(super) fn resolve(mount: &Path, selection: &Path) -> PathBuf {
    if selection.starts_with(mount) {
        selection.to_owned()
    } else {
        mount.join(selection.strip_prefix("/").unwrap_or(selection))
    }
}

/// The cgroup's id: the inode of its directory.
pub(super) fn id(directory: &Path) -> io::Result<u64> {
    fs::metadata(directory).map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_in_pure_and_hybrid_hosts_and_absent_in_v1_only() {
        let pure = "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      40 31 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let odd = "41 31 0:38 / /mnt/a\\040b rw - cgroup2 none rw\n";
        let old = "40 31 0:37 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        for (text, path) in [
            (pure, Some("/sys/fs/cgroup")),
            (hybrid, Some("/sys/fs/cgroup/unified")),
            (odd, Some("/mnt/a b")),
            (old, None),
            ("", None),
        ] {
            assert_eq!(mount_point(text), path.map(PathBuf::from));
        }
    }

    #[test]
    fn a_selection_is_absolute_or_relative_to_the_mount() {
        let mount = Path::new("/sys/fs/cgroup/unified");
        for (selection, directory) in [
            ("/sys/fs/cgroup/unified/shop", "/sys/fs/cgroup/unified/shop"),
            ("shop/api", "/sys/fs/cgroup/unified/shop/api"),
            ("/kubepods/pod1", "/sys/fs/cgroup/unified/kubepods/pod1"),
            ("/", "/sys/fs/cgroup/unified/"),
            ("", "/sys/fs/cgroup/unified/"),
        ] {
            assert_eq!(resolve(mount, Path::new(selection)), Path::new(directory));
        }
    }
}
