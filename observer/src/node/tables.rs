//! Tables of procfs, kept open from one scrape to the next.
//!
//! To look up a path, open it and close it again costs more than most tables do, and a file that is
//! kept also keeps the memory into which the kernel writes its table. The kernel writes it anew for
//! whoever reads from the beginning (`seq_read_iter` in `fs/seq_file.c`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::host::{Failure, MOST, text};
use super::lock;

/// Files that are kept at most. The collectors name fewer than forty.
const KEPT: usize = 64;
/// Bytes that are asked for at first; as many again as there are, afterwards.
const PIECE: usize = 4 << 10;

/// The open files.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<HashMap<PathBuf, File>>);

impl Tables {
    /// A table as text; bytes that are none are replaced.
    pub(super) fn read(&self, path: &Path) -> Result<String, Failure> {
        // Taken out, so that whoever hangs in one holds up nobody else.
        let kept = lock(&self.0).remove(path);
        let bytes = kept.and_then(|file| whole(&file).ok().map(|bytes| (file, bytes)));
        let (file, bytes) = match bytes {
            Some(read) => read,
            None => open(path).map_err(|error| Failure::of(path, error))?,
        };
        // A file elsewhere, such as a fixture, may be replaced under its name.
        if fstatfs(&file).is_ok_and(|of| of.filesystem_type() == PROC_SUPER_MAGIC) {
            let mut kept = lock(&self.0);
            if kept.len() < KEPT {
                kept.insert(path.to_path_buf(), file);
            }
        }
        Ok(text(bytes))
    }
}

fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let file = File::open(path)?;
    let bytes = whole(&file)?;
    Ok((file, bytes))
}

/// The file from its beginning to its end, or to [`MOST`].
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while length < MOST {
        bytes.resize(length + length.max(PIECE), 0);
        let piece = bytes.get_mut(length..).unwrap_or_default();
        match file.read_at(piece, length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_table_that_is_kept_open_is_read_anew() {
        let tables = Tables::default();
        let path = Path::new("/proc/uptime");
        let first = tables.read(path).unwrap();
        assert_eq!(lock(&tables.0).len(), 1);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_ne!(tables.read(path).unwrap(), first);
    }

    #[test]
    fn a_file_that_may_be_replaced_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("stat"), directory.path().join("new"));
        let tables = Tables::default();
        for text in ["one\n", "two\n", ""] {
            fs::write(&other, text).unwrap();
            fs::rename(&other, &path).unwrap();
            assert_eq!(tables.read(&path).unwrap(), text);
        }
        assert!(lock(&tables.0).is_empty());
        fs::remove_file(&path).unwrap();
        assert!(matches!(tables.read(&path), Err(Failure::Absent(_))));
    }

    #[test]
    fn a_kept_file_whose_thing_is_gone_is_opened_again() {
        let tables = Tables::default();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let path = PathBuf::from(format!("/proc/{}/net/dev", child.id()));
        let own = PathBuf::from(format!("/proc/{}/stat", child.id()));
        assert!(tables.read(&path).unwrap().contains("lo:"));
        assert!(tables.read(&own).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(tables.read(&own), Err(Failure::Absent(_))));
        assert!(!lock(&tables.0).contains_key(&own));
    }

    #[test]
    fn a_long_file_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("long");
        let text = "0123456789\n".repeat(5 * PIECE / 11);
        fs::write(&path, &text).unwrap();
        assert_eq!(Tables::default().read(&path).unwrap(), text);
    }
}
