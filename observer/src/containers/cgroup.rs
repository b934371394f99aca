//! The files of one cgroup, each read once, and what of them a figure is.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::metrics::{Figure, Of};
use super::mounts::Hierarchies;
use crate::node::host::number;
use crate::node::pressure::stalled;

/// Bytes of a file at most; the longest, the processes of a cgroup, has eight for each.
const MOST: u64 = 1 << 20;
/// Above it memory is without limit: the largest that the kernel has, rounded to a page.
const UNLIMITED: f64 = 4_611_686_018_427_387_904.0;
/// Files of version 1 that tell of disks, the kernel's schedulers before its limits: of those that
/// are not at work no disk is told. Bytes, operations.
const LEGACY_DISKS: [(&str, &str); 4] = [
    (
        "blkio.bfq.io_service_bytes_recursive",
        "blkio.bfq.io_serviced_recursive",
    ),
    (
        "blkio.io_service_bytes_recursive",
        "blkio.io_serviced_recursive",
    ),
    (
        "blkio.throttle.io_service_bytes_recursive",
        "blkio.throttle.io_serviced_recursive",
    ),
    (
        "blkio.throttle.io_service_bytes",
        "blkio.throttle.io_serviced",
    ),
];
/// Operations as version 1 calls them.
const OPERATIONS: [&str; 6] = ["Read", "Write", "Sync", "Async", "Discard", "Total"];

/// Which version a file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Version {
    One,
    Two,
}

/// A cgroup that is there.
pub(super) struct Cgroup<'h> {
    unified: OwnedFd,
    /// Its number; another cgroup at the same path has another.
    pub(super) id: u64,
    legacy: Vec<(&'h str, OwnedFd)>,
    texts: HashMap<(Version, &'static str), Option<Rc<str>>>,
}

/// What a cgroup did to a disk.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Disk {
    /// `8:0`.
    pub(super) number: String,
    bytes: Vec<(&'static str, f64)>,
    operations: Vec<(&'static str, f64)>,
}

// === impl Disk ===

impl Disk {
    pub(super) fn bytes(&self) -> &[(&'static str, f64)] {
        &self.bytes
    }

    pub(super) fn operations(&self) -> &[(&'static str, f64)] {
        &self.operations
    }
}

// === impl Cgroup ===

impl<'h> Cgroup<'h> {
    /// The one at a path below the mounts; `None` where it is gone.
    pub(super) fn open(hierarchies: &'h Hierarchies, path: &str) -> Option<Self> {
        let below = path.trim_start_matches('/');
        let directory = hierarchies.unified.join(below);
        let id = fs::metadata(&directory).ok()?.ino();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let unified = open(&directory, flags, Mode::empty()).ok()?;
        let legacy = hierarchies.legacy.iter().filter_map(|(controller, mount)| {
            let directory = open(&mount.join(below), flags, Mode::empty()).ok()?;
            Some((*controller, directory))
        });
        Some(Self {
            unified,
            id,
            legacy: legacy.collect(),
            texts: HashMap::new(),
        })
    }

    /// A figure of version 1 where the cgroup has it there, else of version 2.
    pub(super) fn figure(&mut self, v2: Figure, v1: Figure) -> Option<f64> {
        self.of(Version::One, v1)
            .or_else(|| self.of(Version::Two, v2))
    }

    /// What it did to each disk.
    pub(super) fn disks(&mut self) -> Vec<Disk> {
        for (bytes, operations) in LEGACY_DISKS {
            let bytes = self.text(Version::One, bytes);
            let mut disks = Vec::new();
            legacy(bytes.as_deref(), &mut disks, |disk| &mut disk.bytes);
            if !disks.is_empty() {
                let operations = self.text(Version::One, operations);
                legacy(operations.as_deref(), &mut disks, |disk| {
                    &mut disk.operations
                });
                return disks;
            }
        }
        let text = self.text(Version::Two, "io.stat");
        text.as_deref()
            .map(|text| text.lines().filter_map(unified).collect())
            .unwrap_or_default()
    }

    fn of(&mut self, version: Version, figure: Figure) -> Option<f64> {
        let value = match figure.of {
            Of::Nothing => return None,
            Of::Number(file) => self.number(version, file)?,
            Of::Field(file, word) => field(&self.text(version, file)?, word)?,
            Of::Word(file, place) => {
                let text = self.text(version, file)?;
                let value = number(text.split_ascii_whitespace().nth(place)?)?;
                (value >= 0.0).then_some(value)?
            }
            Of::Less(file, other, word) => {
                let less = self
                    .text(version, other)
                    .and_then(|text| field(&text, word));
                (self.number(version, file)? - less.unwrap_or_default()).max(0.0)
            }
            Of::Stalled(file, word) => return stalled(&self.text(version, file)?, word),
            Of::Weight(file) => {
                let weight = self.number(version, file)?;
                (1.0..=10_000.0).contains(&weight).then_some(())?;
                (2.0 + (weight - 1.0) * 262_142.0 / 9_999.0).floor()
            }
        };
        Some(value / figure.per)
    }

    fn number(&mut self, version: Version, file: &'static str) -> Option<f64> {
        let Some(text) = self.text(version, file) else {
            // The root of version 2 has no file for it.
            let stat = (file == "memory.current").then(|| self.text(version, "memory.stat"))??;
            return Some(field(&stat, "anon")? + field(&stat, "file")?);
        };
        match text.trim_end() {
            "max" => Some(0.0),
            text => number(text).map(|value| if value > UNLIMITED { 0.0 } else { value }),
        }
    }

    fn text(&mut self, version: Version, file: &'static str) -> Option<Rc<str>> {
        let directory = match version {
            Version::Two => &self.unified,
            Version::One => {
                let controller = file.split('.').next()?;
                let mut legacy = self.legacy.iter();
                &legacy.find(|(known, _)| *known == controller)?.1
            }
        };
        let read = || read(directory, file).map(Rc::from);
        let text = self.texts.entry((version, file)).or_insert_with(read);
        text.clone()
    }
}

/// A file below a directory, as text.
fn read(directory: &OwnedFd, file: &str) -> Option<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = File::from(openat(directory, file, flags, Mode::empty()).ok()?);
    let mut bytes = Vec::with_capacity(4096);
    file.take(MOST).read_to_end(&mut bytes).ok()?;
    String::from_utf8(bytes).ok()
}

/// `anon 1234`
fn field(text: &str, word: &str) -> Option<f64> {
    let mut lines = text.lines();
    number(lines.find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))?)
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`
fn unified(line: &str) -> Option<Disk> {
    let mut words = line.split_ascii_whitespace();
    let number = device(words.next()?)?;
    let mut disk = Disk {
        number,
        ..Disk::default()
    };
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            continue;
        };
        let (rows, operation) = match key {
            "rbytes" => (&mut disk.bytes, "Read"),
            "wbytes" => (&mut disk.bytes, "Write"),
            "rios" => (&mut disk.operations, "Read"),
            "wios" => (&mut disk.operations, "Write"),
            _ => continue,
        };
        rows.extend(self::number(value).map(|value| (operation, value)));
    }
    (!disk.bytes.is_empty() || !disk.operations.is_empty()).then_some(disk)
}

/// `8:0 Read 4096`, and at the end `Total 4096` of all disks.
fn legacy(
    text: Option<&str>,
    disks: &mut Vec<Disk>,
    rows: fn(&mut Disk) -> &mut Vec<(&'static str, f64)>,
) {
    for line in text.into_iter().flat_map(str::lines) {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(operation), Some(value)) = (
            words.next().and_then(device),
            words.next(),
            words.next().and_then(number),
        ) else {
            continue;
        };
        let mut operations = OPERATIONS.into_iter();
        let Some(operation) = operations.find(|known| *known == operation) else {
            continue;
        };
        if let Some(disk) = disks.iter_mut().find(|disk| disk.number == device) {
            rows(disk).push((operation, value));
        } else {
            let mut disk = Disk {
                number: device,
                ..Disk::default()
            };
            rows(&mut disk).push((operation, value));
            disks.push(disk);
        }
    }
}

/// A disk's number.
fn device(word: &str) -> Option<String> {
    let (major, minor) = word.split_once(':')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| word.to_owned())
}
