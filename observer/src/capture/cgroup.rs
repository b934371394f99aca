//! Which directory of the cgroup v2 tree is meant.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
