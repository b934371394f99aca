//! How full file systems are.
//!
//! Whoever asks a file server that is gone waits in the kernel, perhaps for ever: each file system
//! has a time to answer, and one that let it pass is not asked again until it has.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};
use procfs::process::MountInfo;

use super::host::{Failure, float, read, understood};
use super::patience::{Limits, Patience, Work};
use super::{Families, Machine, Type};

/// Mount points that are asked, and how long.
pub(super) struct Mounts {
    patience: Patience<PathBuf>,
    limits: Limits,
    ask: Work<PathBuf, nix::Result<Statvfs>>,
}

impl std::fmt::Debug for Mounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mounts")
            .field("patience", &self.patience)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Mounts {
    pub(super) fn new(each: Duration) -> Self {
        Self {
            patience: Patience::default(),
            limits: Limits {
                each,
                all: each.saturating_mul(3),
            },
            ask: Arc::new(|path: &PathBuf| statvfs(path)),
        }
    }

    #[cfg(test)]
    pub(super) fn asked(
        each: Duration,
        ask: impl Fn(&PathBuf) -> nix::Result<Statvfs> + Send + Sync + 'static,
    ) -> Self {
        Self {
            ask: Arc::new(ask),
            ..Self::new(each)
        }
    }
}

/// One that is shown.
struct Mount {
    device: String,
    kind: String,
    /// As the host calls it.
    point: String,
    is_readonly: bool,
}

/// Kinds whose kernel answers from memory, whatever their disk does: `ext4_statfs`,
/// `xfs_fs_statfs`, `fat_statfs`. A thread for them would cost more than they do.
const IN_MEMORY: [&str; 3] = ["ext4", "xfs", "vfat"];

impl Mount {
    /// Whether it may not answer: it or one that is on the way to it, or over it, is of another
    /// kind.
    fn may_hang(&self, mounts: &[Self]) -> bool {
        let path = Path::new(&self.point);
        mounts.iter().any(|mount| {
            path.starts_with(&mount.point) && !IN_MEMORY.contains(&mount.kind.as_str())
        })
    }
}

/// Family, help, value.
type Column = (&'static str, &'static str, fn(&Statvfs) -> f64);

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    ("node_filesystem_size_bytes", "Filesystem size in bytes.", |stat| float(stat.blocks()) * float(stat.fragment_size())),
    ("node_filesystem_free_bytes", "Filesystem free space in bytes.", |stat| float(stat.blocks_free()) * float(stat.fragment_size())),
    ("node_filesystem_avail_bytes", "Filesystem space available to non-root users in bytes.", |stat| float(stat.blocks_available()) * float(stat.fragment_size())),
    ("node_filesystem_files", "Filesystem total file nodes.", |stat| float(stat.files())),
    ("node_filesystem_files_free", "Filesystem total free file nodes.", |stat| float(stat.files_free())),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let (mounts, understands) = mounts(machine)?;
    let of = &machine.mounts;
    let path = |mount: &Mount| machine.host.root(mount.point.as_ref());
    let (mut at_once, mut others) = (Vec::new(), Vec::new());
    for mount in &mounts {
        let waits = mount.may_hang(&mounts);
        if waits { &mut others } else { &mut at_once }.push(mount);
    }
    for mount in at_once {
        put(mount, (of.ask)(&path(mount)).ok(), families);
    }
    let paths = others.iter().map(|mount| path(mount));
    let mut answers = Vec::new();
    of.patience
        .work(paths, of.limits, &of.ask, |_, answer| answers.push(answer));
    for (mount, answer) in others.into_iter().zip(answers) {
        put(mount, answer.and_then(Result::ok), families);
    }
    understood(understands, machine.host.proc("1/mountinfo"))
}

fn put(mount: &Mount, stat: Option<Statvfs>, families: &mut Families) {
    let labels = [
        ("device", mount.device.as_str()),
        ("mountpoint", &mount.point),
        ("fstype", &mount.kind),
    ];
    let mut gauge = |name, help, value| {
        families.family(name, Type::Gauge, help).put(&labels, value);
    };
    gauge(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        f64::from(u8::from(stat.is_none())),
    );
    let Some(stat) = stat else { return };
    let is_readonly = mount.is_readonly || stat.flags().contains(FsFlags::ST_RDONLY);
    gauge(
        "node_filesystem_readonly",
        "Filesystem read-only status.",
        f64::from(u8::from(is_readonly)),
    );
    for (name, help, value) in COLUMNS {
        gauge(name, help, value(&stat));
    }
}

/// What is mounted for the host's first process, and whether every line was understood.
fn mounts(machine: &Machine) -> Result<(Vec<Mount>, bool), Failure> {
    let host = &machine.host;
    let text = match read(&host.proc("1/mountinfo")) {
        // Only root may look at the first process where /proc hides others'.
        Err(Failure::Absent(_) | Failure::Unreadable(..)) => read(&host.proc("self/mountinfo"))?,
        text => text?,
    };
    let mut mounts = Vec::new();
    let mut seen = HashSet::new();
    let mut all = true;
    for line in text.lines() {
        // Most are of types that are left out: those need not be taken apart.
        let kind = line
            .split_once(" - ")
            .and_then(|(_, rest)| rest.split(' ').next());
        if kind.is_some_and(|kind| machine.filters.filesystem_types_exclude.is_match(kind)) {
            continue;
        }
        let Ok(info) = MountInfo::from_line(line) else {
            all = false;
            continue;
        };
        let point = plain(&info.mount_point.to_string_lossy());
        let point = host.unroot(point.as_ref()).to_string_lossy().into_owned();
        if machine.filters.filesystem_exclude.is_match(&point) {
            continue;
        }
        let device = plain(&info.mount_source.unwrap_or_else(|| "none".into()));
        // What is mounted over another hides it, and has its name.
        if !seen.insert((device.clone(), point.clone(), info.fs_type.clone())) {
            continue;
        }
        let is_readonly =
            info.mount_options.contains_key("ro") || info.super_options.contains_key("ro");
        mounts.push(Mount {
            device,
            kind: info.fs_type,
            point,
            is_readonly,
        });
    }
    Ok((mounts, all))
}

/// Blanks as themselves: the kernel writes those that would end a column in octal.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = text.to_owned();
    // The backslash last, or it would begin another.
    for (octal, character) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\043", "#"),
        ("\\134", "\\"),
    ] {
        if plain.contains(octal) {
            plain = plain.replace(octal, character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_written_in_octal_and_so_is_the_backslash() {
        let cases = [
            ("/plain", "/plain"),
            ("/a\\040b\\011c\\012d\\043e", "/a b\tc\nd#e"),
            ("/a\\134040b", "/a\\040b"),
        ];
        for (written, expected) in cases {
            assert_eq!(plain(written), expected);
        }
    }

    #[test]
    fn what_may_hang_is_whatever_has_something_else_on_the_way() {
        let mount = |kind: &str, point: &str| Mount {
            device: String::new(),
            kind: kind.to_owned(),
            point: point.to_owned(),
            is_readonly: false,
        };
        let mounts = [
            mount("ext4", "/"),
            mount("nfs4", "/srv"),
            mount("xfs", "/srv/data"),
            mount("xfs", "/srv2"),
            mount("vfat", "/boot/efi"),
            mount("ext4", "/over"),
            mount("fuse.sshfs", "/over"),
        ];
        let may_hang: Vec<bool> = mounts.iter().map(|one| one.may_hang(&mounts)).collect();
        assert_eq!(may_hang, [false, true, true, false, false, true, true]);
    }
}
