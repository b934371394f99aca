//! Which cgroups are observed.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::{Config, SETTINGS};
use crate::mounts;
use crate::workloads::selectors::choose::{Choice, services};
use crate::workloads::selectors::{Absent, processes};
use crate::workloads::{Directory, Selectors, cgroup};

/// Where processes are.
pub const PROC: &str = "/proc";

/// What a configuration comes to that selects nothing.
pub const EVERYTHING: &str =
    "nothing is selected, so everything on this machine is observed but the agent itself";

/// Characters of one key's value in a line of the log.
const LINE: usize = 400;

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Everything below the mount but the agent itself.
    Everything(PathBuf),
    /// These cgroups and all below them; absolute paths, each once. None where workloads are
    /// selected by who they are alone.
    Cgroups(Vec<PathBuf>),
}

/// Why nothing can be selected: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// There is no cgroup v2.
    #[error(transparent)]
    NoTree(#[from] mounts::Absent),
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
    /// What a configuration names by its path: everything where it selects nothing at all.
    ///
    /// # Errors
    /// The same as [`Self::resolve`].
    pub fn of(config: &Config) -> Result<Self, SelectionError> {
        Self::of_again(config, &[])
    }

    /// The same while these are selected: one of them may be gone for the moment.
    ///
    /// # Errors
    /// The same.
    pub fn of_again(config: &Config, selected: &[PathBuf]) -> Result<Self, SelectionError> {
        match Self::resolve_again(&config.cgroups, selected)? {
            Self::Everything(_) if !config.select.is_empty() => Ok(Self::Cgroups(Vec::new())),
            selection => Ok(selection),
        }
    }

    /// What a configuration selects, in its own words.
    #[must_use]
    pub fn written(config: &Config) -> String {
        let chosen = SETTINGS.iter().filter(|setting| setting.selects());
        let rows = chosen.map(|setting| (setting.key, setting.value(config)));
        let given = rows.filter(|(_, value)| value != "[]");
        let given: Vec<String> = given
            .map(|(key, value)| match value.char_indices().nth(LINE) {
                Some((end, _)) => format!("{key}: {}…", value.get(..end).unwrap_or_default()),
                None => format!("{key}: {value}"),
            })
            .collect();
        given.join(", ")
    }

    /// What a configuration names by who it is and is not here now.
    ///
    /// # Errors
    /// Where there is no cgroup v2.
    pub fn absent(config: &Config) -> Result<Vec<Absent>, SelectionError> {
        let mount = mounts::find()?;
        let selectors = Selectors::new(&config.select).unwrap_or_default();
        let names = |path: &str| {
            let cgroup = mount.join(path.trim_start_matches('/'));
            processes::names(&cgroup, PROC.as_ref()).collect()
        };
        Ok(selectors.absent(&cgroup::all(&mount), names))
    }

    /// What a configuration selects now by who it is, as far as the directory knows: the services in
    /// each cgroup, and its path, in the order of the services.
    ///
    /// # Errors
    /// Where there is no cgroup v2.
    pub fn chosen(
        config: &Config,
        directory: &Directory,
    ) -> Result<Vec<(String, PathBuf)>, SelectionError> {
        let mount = mounts::find()?;
        // A configuration that is valid has selectors that are.
        let selectors = Selectors::new(&config.select).unwrap_or_default();
        let place = |path: &str| mount.join(path.trim_start_matches('/'));
        let has_process = |path: &str| selectors.selects_any_process(&place(path), PROC.as_ref());
        let all = cgroup::all(&mount);
        let choice = selectors.choose(&all, directory, &Choice::default(), has_process);
        let runs = |path: &str| processes::of(&place(path)).next().is_some();
        let called = |chosen| services(chosen, &all, directory, runs);
        let chosen = choice.iter();
        let mut chosen: Vec<_> = chosen
            .map(|(path, chosen)| (called((path, chosen)), place(path)))
            .collect();
        chosen.sort_unstable();
        Ok(chosen)
    }

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
        let mount = mounts::find()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cgroup_is_one_clear_sentence() {
        // Machines without cgroup v2 have their own sentence, tested where mounts are read.
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
    fn what_is_selected_is_told_in_the_words_of_the_configuration() {
        let mut config = Config::default();
        assert!(config.selects_everything());
        assert_eq!(Selection::written(&config), "");
        config.cgroups = vec!["a b".into()];
        config.select.labels = vec!["app in (a, b)".into()];
        assert!(!config.selects_everything());
        assert_eq!(
            Selection::written(&config),
            "cgroups: [\"a b\"], select.labels: [\"app in (a, b)\"]"
        );
        config.select.labels = vec!["ä".repeat(LINE)];
        let written = Selection::written(&config);
        assert!(written.ends_with("ä…") && written.chars().count() < LINE + 50);
    }

    #[test]
    fn who_selects_workloads_selects_nothing_by_its_path() {
        let mut config = Config::default();
        let Ok(Selection::Everything(mount)) = Selection::of(&config) else {
            return;
        };
        config.select.units = vec!["*.service".into()];
        assert_eq!(Selection::of(&config).unwrap(), Selection::Cgroups(vec![]));
        config.cgroups = vec![".".into()];
        let named = Selection::of(&config).unwrap();
        assert_eq!(named, Selection::Cgroups(vec![mount]));
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
