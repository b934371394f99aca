//! Which cgroups are observed.
//!
//! Where cgroup v2 is mounted differs: `/sys/fs/cgroup` on most systems, `/sys/fs/cgroup/unified`
//! on hybrid ones, anything in a container. So it is looked up, never assumed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

/// Where this process sees its mounts: `proc_pid_mountinfo(5)`.
const MOUNTINFO: &str = "/proc/self/mountinfo";

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything below the mount but the agent itself.
    Everything(PathBuf),
    /// These cgroups and all below them; absolute paths, each once.
    Cgroups(Vec<PathBuf>),
}

/// Why nothing can be selected: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// There is no cgroup v2.
    #[error("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")]
    NotMounted,
    /// The mounts are not known.
    #[error("cannot read {MOUNTINFO}: {0}")]
    MountInfo(io::Error),
    /// It is not there.
    #[error("there is no cgroup {}", .0.display())]
    Absent(PathBuf),
    /// It is there and is something else.
    #[error("{} is not a cgroup v2 directory (the mount is {})", path.display(), mount.display())]
    NotACgroup {
        /// What was named.
        path: PathBuf,
        /// Where cgroup v2 is mounted.
        mount: PathBuf,
    },
}

impl Selection {
    /// Resolves configured paths, absolute or relative to the mount.
    ///
    /// # Errors
    /// Where there is no cgroup v2, or one of the paths is none of its directories.
    pub fn resolve(paths: &[PathBuf]) -> Result<Self, SelectionError> {
        Self::resolve_again(paths, &[])
    }

    /// The same while these are selected: one of them may be gone for the moment.
    ///
    /// # Errors
    /// The same.
    pub fn resolve_again(paths: &[PathBuf], selected: &[PathBuf]) -> Result<Self, SelectionError> {
        let mounts = fs::read_to_string(MOUNTINFO).map_err(SelectionError::MountInfo)?;
        let mount = mount_point(&mounts).ok_or(SelectionError::NotMounted)?;
        if paths.is_empty() {
            return Ok(Self::Everything(mount));
        }
        let mut cgroups: Vec<PathBuf> = Vec::new();
        for path in paths {
            let cgroup = match resolve_one(&mount, path) {
                Err(SelectionError::Absent(full)) if selected.contains(&full) => full,
                resolved => resolved?,
            };
            if !cgroups.contains(&cgroup) {
                cgroups.push(cgroup);
            }
        }
        Ok(Self::Cgroups(cgroups))
    }

    /// The directories.
    #[must_use]
    pub fn directories(self) -> Vec<PathBuf> {
        match self {
            Self::Everything(mount) => vec![mount],
            Self::Cgroups(cgroups) => cgroups,
        }
    }
}

fn resolve_one(mount: &Path, path: &Path) -> Result<PathBuf, SelectionError> {
    // An absolute path replaces the mount.
    let full = mount.join(path);
    let Ok(full) = full.canonicalize() else {
        return Err(SelectionError::Absent(full));
    };
    let of_cgroup2 =
        statfs(&full).is_ok_and(|system| system.filesystem_type() == CGROUP2_SUPER_MAGIC);
    if of_cgroup2 && full.is_dir() {
        return Ok(full);
    }
    Err(SelectionError::NotACgroup {
        path: path.to_owned(),
        mount: mount.to_owned(),
    })
}

/// The first mount of the type `cgroup2`, from the text of `mountinfo`.
///
/// ```text
///   36 25 0:31 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
///              root mount point                              type
/// ```
#[must_use]
pub fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        // Optional fields stand between the mount options and the dash.
        let (mount, system) = line.split_once(" - ")?;
        let cgroup2 = system.split(' ').next()? == "cgroup2";
        cgroup2.then(|| unescape(mount.split(' ').nth(4).unwrap_or_default()).into())
    })
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

    #[test]
    fn the_mount_is_found_wherever_it_is() {
        let cases = [
            (HYBRID, Some("/sys/fs/cgroup/unified")),
            (
                "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                Some("/sys/fs/cgroup"),
            ),
            (
                "29 23 0:26 / /mnt/a\\040b rw - cgroup2 none rw",
                Some("/mnt/a b"),
            ),
            ("32 30 0:28 / /cgroup2 rw - cgroup cgroup2 rw", None),
            ("", None),
            (" - cgroup2", Some("")),
            ("- - -\n\n \u{0}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(mount_point(text), expected.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn what_is_no_cgroup_is_one_clear_sentence() {
        // Machines without cgroup v2 have their own sentence, which is tested by its text above.
        let Ok(Selection::Everything(mount)) = Selection::resolve(&[]) else {
            return;
        };
        let absent = Selection::resolve(&["no-such-cgroup".into()]).unwrap_err();
        let full = mount.join("no-such-cgroup");
        assert_eq!(
            absent.to_string(),
            format!("there is no cgroup {}", full.display())
        );
        let other = Selection::resolve(&["/tmp".into()]).unwrap_err();
        assert!(
            other
                .to_string()
                .starts_with("/tmp is not a cgroup v2 directory"),
            "{other}"
        );
    }

    #[test]
    fn a_cgroup_named_twice_is_observed_once() {
        let Ok(Selection::Everything(mount)) = Selection::resolve(&[]) else {
            return;
        };
        let selection = Selection::resolve(&[mount.clone(), ".".into(), mount.clone()]).unwrap();
        assert_eq!(selection, Selection::Cgroups(vec![mount]));
    }
}
