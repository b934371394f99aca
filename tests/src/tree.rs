//! A machine as a tree of files, from one text.
//!
//! ```text
//! == proc/loadavg
//! 0.65 0.37 1.21 3/719 19737
//! == sys/class/net/eth0 -> ../../devices/net/eth0
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// The tree; removed when this goes.
#[derive(Debug)]
pub struct Tree(TempDir);

impl Tree {
    /// That of a fixture of these tests, `node/small.txt`.
    ///
    /// # Errors
    /// When there is none, or it is not such a text.
    pub fn fixture(name: &str) -> Result<Self> {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        Self::new(&fs::read_to_string(fixture.join(name))?)
    }

    /// That of a text.
    ///
    /// # Errors
    /// When it is no such text.
    pub fn new(text: &str) -> Result<Self> {
        let tree = Self(tempfile::tempdir()?);
        for part in text.split("== ").skip(1) {
            let (path, content) = part.split_once('\n').context("a path without a line")?;
            match path.split_once(" -> ") {
                Some((link, target)) => symlink(target, tree.place(link)?)?,
                None => fs::write(tree.place(path)?, content)?,
            }
        }
        Ok(tree)
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// A path of the tree.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// A path whose directory is there.
    fn place(&self, path: &str) -> Result<PathBuf> {
        let place = self.path(path);
        fs::create_dir_all(place.parent().context("a path without a directory")?)?;
        Ok(place)
    }
}
