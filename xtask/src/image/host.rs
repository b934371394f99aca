//! A root directory around the machine's own programs, whose `/usr` whoever runs it mounts: no image
//! of a server is pulled.

use std::path::Path;

use anyhow::Result;

use super::entry;

/// Where Debian keeps what is in the mounted `usr`.
const LINKS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// An archive of it, with directories to mount on, and with files.
pub(crate) fn root(directories: &[&str], files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for directory in directories {
        let mut header = entry(tar::EntryType::Directory, 0);
        archive.append_data(&mut header, directory, [].as_slice())?;
    }
    for (path, text) in files {
        let mut header = entry(tar::EntryType::Regular, text.len().try_into()?);
        archive.append_data(&mut header, path, *text)?;
    }
    for link in LINKS {
        let mut header = entry(tar::EntryType::Symlink, 0);
        archive.append_link(&mut header, link, Path::new("usr").join(link))?;
    }
    Ok(archive.into_inner()?)
}
