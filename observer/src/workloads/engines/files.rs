//! What engines write down of their containers, for where no socket tells.
//!
//! ```text
//!   Docker   <directory>/<id>/config.v2.json      its name, its image and its labels
//!   Podman   <directory>/containers.json          every name; labels are in a database of its own
//! ```
//!
//! Podman keeps a list of its own of the containers that go when they end.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hashbrown::{HashMap, HashSet};
use nix::libc::O_NONBLOCK;
use serde::Deserialize;

use super::answer::container;
use crate::workloads::directory::Container;

/// Bytes of a file: thousands of containers.
const LONGEST: u64 = 8 << 20;
/// What Podman calls its lists.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// Docker's file of a container; what else is in there is passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    name: String,
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

/// A container in Podman's list.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

/// Which file it was, and as which: another one is written in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    path: PathBuf,
    stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// The directories of engines, and what Podman's lists said when they were last read.
#[derive(Debug)]
pub(super) struct Files {
    directories: Vec<PathBuf>,
    lists: HashMap<PathBuf, (Stamp, Names)>,
    /// Those of which it was said that they cannot be read.
    told: HashSet<PathBuf>,
}

/// Names by id.
type Names = HashMap<String, String>;

impl Files {
    pub(super) fn new(directories: Vec<PathBuf>) -> Self {
        Self {
            directories,
            lists: HashMap::new(),
            told: HashSet::new(),
        }
    }

    /// The container with this id, and where that was read.
    pub(super) fn find(&mut self, id: &str) -> Option<(Container, Source)> {
        for directory in self.directories.clone() {
            let found = match docker(&directory, id) {
                Err(error) if is_absence(&error) => self.podman(&directory, id),
                found => found,
            };
            match found {
                Ok(found) => {
                    self.told.remove(&directory);
                    return Some(found);
                }
                Err(error) if is_absence(&error) => {}
                Err(error) => self.tell(&directory, &error),
            }
        }
        None
    }

    /// Whether a file is what it was when it was read.
    pub(super) fn is_same(source: &Source) -> bool {
        let metadata = std::fs::metadata(&source.path);
        metadata.is_ok_and(|metadata| Stamp::of(&metadata) == source.stamp)
    }

    fn podman(&mut self, directory: &Path, id: &str) -> io::Result<(Container, Source)> {
        for list in LISTS {
            let path = directory.join(list);
            match self.listed(&path, id) {
                Ok(found) => return Ok(found),
                Err(error) if is_absence(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn listed(&mut self, path: &Path, id: &str) -> io::Result<(Container, Source)> {
        let (mut file, stamp) = open(path)?;
        let known = self.lists.get(path).is_some_and(|(read, _)| *read == stamp);
        if !known {
            let rows: Vec<Row> = parse(&read(&mut file)?)?;
            let names = rows.into_iter().filter_map(|row| {
                let name = row.names.into_iter().next()?;
                Some((row.id, name))
            });
            let names = names.collect();
            self.lists.insert(path.to_owned(), (stamp, names));
        }
        let name = self.lists.get(path).and_then(|(_, names)| names.get(id));
        let found = name.and_then(|name| container(id, name, "", BTreeMap::new()));
        let container = found.ok_or(io::ErrorKind::NotFound)?;
        let path = path.to_owned();
        Ok((container, Source { path, stamp }))
    }

    /// Once of each directory, until it can be read: it is tried again for each container.
    fn tell(&mut self, directory: &Path, error: &io::Error) {
        if self.told.insert(directory.to_owned()) {
            let directory = directory.display();
            tracing::warn!(
                %directory,
                %error,
                "what a container engine wrote down cannot be read, so containers go by their ids"
            );
        }
    }
}

fn docker(directory: &Path, id: &str) -> io::Result<(Container, Source)> {
    let path = directory.join(id).join("config.v2.json");
    let (mut file, stamp) = open(&path)?;
    let written: Written = parse(&read(&mut file)?)?;
    let Written { name, config } = written;
    let found = container(id, &name, &config.image, config.labels.unwrap_or_default());
    let container = found.ok_or(io::ErrorKind::NotFound)?;
    Ok((container, Source { path, stamp }))
}

/// A file that is one: whoever opens a pipe waits for its other end.
fn open(path: &Path) -> io::Result<(File, Stamp)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok((file, Stamp::of(&metadata)))
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("a file is too long"));
    }
    Ok(text)
}

/// What is wrong is told without what is there: it may be a secret.
fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> io::Result<T> {
    let strange = |_| io::Error::other("a file is not what Docker or Podman write");
    serde_json::from_slice(text).map_err(strange)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::engines::tests::Scratch;

    const DOCKER: &str = include_str!("fixtures/docker_config.v2.json");
    const PODMAN: &str = include_str!("fixtures/podman_containers.json");
    const ID: &str = "3f808eace222ae60bbe47f55cd32f5a16802d0df9bb6cbfbab36c4413a8e40f4";

    fn files(scratch: &Scratch) -> Files {
        Files::new(vec!["/nowhere".into(), scratch.path().to_owned()])
    }

    #[test]
    fn docker_writes_down_names_and_labels_and_nothing_else_is_kept() {
        let scratch = Scratch::new("docker");
        scratch.write(&format!("{ID}/config.v2.json"), DOCKER);
        let mut files = files(&scratch);
        let (container, _) = files.find(ID).unwrap();
        assert_eq!(container.name, "shop_api_1");
        assert_eq!(container.service(), "api");
        assert_eq!(container.project(), Some("shop"));
        assert!(DOCKER.contains("hunter2"));
        let kept = format!("{container:?}{files:?}");
        assert!(!kept.contains("hunter2"), "{kept}");
        assert_eq!(files.find("other"), None);
    }

    #[test]
    fn podman_writes_down_names() {
        let scratch = Scratch::new("podman");
        let id = PODMAN.split('"').nth(3).unwrap();
        for list in LISTS {
            scratch.write(list, PODMAN);
            let (container, source) = files(&scratch).find(id).unwrap();
            assert_eq!(container.service(), "shop_api_1");
            assert!(Files::is_same(&source));
            scratch.write(list, "[]");
            assert!(!Files::is_same(&source));
        }
    }

    #[test]
    fn a_list_that_changes_is_read_again() {
        let scratch = Scratch::new("list");
        let list = |name: &str| format!(r#"[{{"id":"{ID}","names":["{name}"]}},{{"id":"x"}}]"#);
        scratch.write("containers.json", &list("one"));
        let mut files = files(&scratch);
        let mut name = || files.find(ID).map(|(container, _)| container.name);
        assert_eq!(name().as_deref(), Some("one"));
        scratch.write("containers.json", &list("another"));
        assert_eq!(name().as_deref(), Some("another"));
        scratch.write("containers.json", "[]");
        assert_eq!(name(), None);
    }

    #[test]
    fn of_each_directory_that_cannot_be_read_it_is_told_until_it_can_be() {
        let scratches = [Scratch::new("docker"), Scratch::new("podman")];
        let path = format!("{ID}/config.v2.json");
        for scratch in &scratches {
            scratch.write(&path, "{");
        }
        let directories = scratches.each_ref().map(|one| one.path().to_owned());
        let mut files = Files::new(directories.to_vec());
        assert_eq!(files.find(ID), None);
        assert_eq!(files.told, directories.clone().into());
        // The second is asked although the first did not answer, and tells.
        scratches[1].write(&path, DOCKER);
        assert!(files.find(ID).is_some());
        let [first, _] = directories;
        assert_eq!(files.told, [first].into());
    }

    #[test]
    fn what_is_no_such_file_tells_nothing() {
        let scratch = Scratch::new("garbage");
        let path = format!("{ID}/config.v2.json");
        for garbage in [
            "",
            "{",
            "[]",
            "{\"Name\":\"/a\"}",
            "\u{0}",
            "{\"Name\":\"\",\"Config\":{}}",
        ] {
            scratch.write(&path, garbage);
            assert_eq!(files(&scratch).find(ID), None, "{garbage}");
        }
        let long = "a".repeat(usize::try_from(LONGEST).unwrap());
        scratch.write(&path, &format!("{{\"Name\":\"/{long}\",\"Config\":{{}}}}"));
        assert_eq!(files(&scratch).find(ID), None);
        std::fs::remove_file(scratch.path().join(&path)).unwrap();
        nix::unistd::mkfifo(&scratch.path().join(&path), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(files(&scratch).find(ID), None);
    }
}
