//! Files of the host, wherever it is mounted: read whole, within bounds, and never believed.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::Settings;
use super::tables::Tables;

/// Bytes of a file at most; the longest known, the sockets of a busy host, has a few megabytes.
pub(super) const MOST: usize = 16 << 20;

/// Why a collector has not shown everything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// This kernel, or this machine, has no such thing.
    #[error("{} is not there", .0.display())]
    Absent(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// Something in it is not understood, and was left out. What is in the file is not repeated.
    #[error("{} holds something that is not understood", .0.display())]
    Garbage(PathBuf),
    /// The kernel refused.
    #[error("{0}: {1}")]
    Refused(&'static str, io::Error),
}

impl Failure {
    /// Of a file.
    pub(super) fn of(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Absent(path.to_path_buf()),
            _ => Self::Unreadable(path.to_path_buf(), error),
        }
    }
}

/// Where the host is.
#[derive(Debug)]
pub(super) struct Host {
    procfs: PathBuf,
    sysfs: PathBuf,
    rootfs: PathBuf,
    udev: PathBuf,
    /// The network's tables, those of the host's first process where they can be had: a container
    /// has its own.
    net: PathBuf,
    tables: Tables,
}

impl Host {
    pub(super) fn new(settings: &Settings) -> Self {
        let first = settings.procfs.join("1/net");
        let net = if first.join("dev").is_file() {
            first
        } else {
            settings.procfs.join("net")
        };
        Self {
            procfs: settings.procfs.clone(),
            sysfs: settings.sysfs.clone(),
            rootfs: settings.rootfs.clone(),
            udev: settings.udev.clone(),
            net,
            tables: Tables::default(),
        }
    }

    pub(super) fn proc(&self, file: &str) -> PathBuf {
        self.procfs.join(file)
    }

    /// A table of procfs, whose file is kept for the next scrape.
    pub(super) fn table(&self, path: &Path) -> Result<String, Failure> {
        self.tables.read(path)
    }

    pub(super) fn sys(&self, file: &str) -> PathBuf {
        self.sysfs.join(file)
    }

    /// Whether sysfs shows this process's network; one that is mounted elsewhere shows another's.
    pub(super) fn has_own_sysfs(&self) -> bool {
        self.sysfs == Path::new("/sys")
    }

    /// The processors that sysfs knows, in the order of their names.
    pub(super) fn processors(&self) -> Result<Vec<Processor>, Failure> {
        let root = self.sys("devices/system/cpu");
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let processor = |name: String| {
            let number = name.strip_prefix("cpu").filter(|rest| is_number(rest))?;
            Some((number.to_owned(), root.join(&name)))
        };
        Ok(entries(&root)?.into_iter().filter_map(processor).collect())
    }

    pub(super) fn net(&self, file: &str) -> PathBuf {
        self.net.join(file)
    }

    pub(super) fn udev(&self, file: &str) -> PathBuf {
        self.udev.join(file)
    }

    /// A path of the host's, as this process sees it.
    pub(super) fn root(&self, path: &Path) -> PathBuf {
        let relative = path.strip_prefix("/").unwrap_or(path);
        self.rootfs.join(relative)
    }

    /// A path of this process's, as the host sees it.
    pub(super) fn unroot(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.rootfs) {
            Ok(relative) => Path::new("/").join(relative),
            Err(_) => path.to_path_buf(),
        }
    }
}

/// A file as text; bytes that are none are replaced.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::of(path, error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(4096);
    file.take(MOST as u64)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(text(bytes))
}

/// Bytes as text; those that are none are replaced.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// An attribute of sysfs: a line, without its end. Many cannot be read in some states of their
/// device, which is no failure.
pub(super) fn attribute(path: &Path) -> Option<String> {
    Attributes::text(&File::open(path).ok()?).ok()
}

/// The attributes of one device. There are dozens, so their directory is looked up once.
#[derive(Debug)]
pub(super) struct Attributes {
    directory: OwnedFd,
    /// Open, by name, or not there; empty unless they are kept.
    kept: Vec<(&'static str, Option<File>)>,
    keeps: bool,
}

impl Attributes {
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(directory, flags, Mode::empty()).ok()?;
        Some(Self {
            directory,
            kept: Vec::new(),
            keeps: false,
        })
    }

    /// With the files that are read kept open, for a device that is read again as long as it is
    /// this one.
    pub(super) fn keeping(self) -> Self {
        Self {
            keeps: true,
            ..self
        }
    }

    /// As [`attribute`].
    pub(super) fn read(&mut self, name: &'static str) -> Option<String> {
        if let Some(place) = self.kept.iter().position(|(of, _)| *of == name) {
            let (_, file) = self.kept.get(place)?;
            match Self::text(file.as_ref()?) {
                Ok(text) => return Some(text),
                // In this state of the device.
                Err(error) if error.kind() == ErrorKind::InvalidInput => return None,
                Err(_) => drop(self.kept.swap_remove(place)),
            }
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => Some(File::from(file)),
            Err(Errno::ENOENT) => None,
            Err(_) => return None,
        };
        let text = file.as_ref().and_then(|file| Self::text(file).ok());
        if self.keeps {
            self.kept.push((name, file));
        }
        text
    }

    /// The kernel hands an attribute over in one piece of at most a page.
    fn text(file: &File) -> io::Result<String> {
        let mut page = [0; 4096];
        let length = file.read_at(&mut page, 0)?;
        let text = String::from_utf8_lossy(page.get(..length).unwrap_or_default());
        Ok(text.trim_end().to_owned())
    }
}

/// An attribute that is a number.
pub(super) fn figure(path: &Path) -> Option<f64> {
    number(&attribute(path)?)
}

/// A processor's number and its directory in sysfs.
pub(super) type Processor = (String, PathBuf);

/// What is in a directory, in the order of the names.
pub(super) fn entries(directory: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Failure::Absent(directory.to_path_buf()),
        _ => Failure::Unreadable(directory.to_path_buf(), error),
    };
    let listed = fs::read_dir(directory).map_err(failed)?;
    let mut names: Vec<String> = listed
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// A number as the kernel writes it: digits, perhaps a sign before and a fraction behind.
pub(crate) fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_number = unsigned.starts_with(|first: char| first.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_number.then(|| text.parse().ok()).flatten()
}

/// A number in hexadecimal, with or without `0x`.
pub(super) fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

/// As a sample has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2^53; a text exposition is read into the same type"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Whether everything in a file was understood.
pub(super) fn understood(all: bool, path: PathBuf) -> Result<(), Failure> {
    if all {
        Ok(())
    } else {
        Err(Failure::Garbage(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_the_kernel_writes_and_nothing_else() {
        let cases = [
            ("0", Some(0.0)),
            ("-125000", Some(-125_000.0)),
            ("0.65", Some(0.65)),
            ("18446744073709551615", Some(18_446_744_073_709_551_615.0)),
            ("", None),
            ("-", None),
            ("+1", None),
            (" 1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("inf", None),
            ("nan", None),
            ("0x1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn attributes_that_are_kept_are_read_anew() {
        let mut attributes = Attributes::of("/proc".as_ref()).unwrap().keeping();
        assert_eq!(attributes.read("no such thing"), None);
        let first = attributes.read("uptime").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_ne!(attributes.read("uptime").unwrap(), first);
        assert_eq!(attributes.kept.len(), 2);
    }

    #[test]
    fn a_path_is_the_hosts_wherever_that_is_mounted() {
        let host = Host::new(&Settings {
            rootfs: "/host".into(),
            ..Settings::default()
        });
        assert_eq!(host.root("/boot".as_ref()), Path::new("/host/boot"));
        assert_eq!(host.unroot("/host/boot".as_ref()), Path::new("/boot"));
        assert_eq!(host.unroot("/host".as_ref()), Path::new("/"));
        assert_eq!(host.unroot("/hostile".as_ref()), Path::new("/hostile"));
    }
}
