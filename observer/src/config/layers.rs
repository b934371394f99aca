//! What a configuration is put together from, so that it can be put together again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::problem::{Place, Problem, Problems};
use super::settings::{self, Read};
use super::tree::{Node, Placed, Spot};
use super::{Config, file, validate};

/// Where values come from; the later wins.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// A file in YAML.
    pub file: Option<PathBuf>,
    /// The environment as it was when the process began.
    pub environment: Vec<(String, String)>,
    /// The command line.
    pub options: Options,
}

/// What the command line can say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--web.config.file`.
    pub web_config: Option<PathBuf>,
    /// `--cgroup`; none where it was not given.
    pub cgroups: Vec<PathBuf>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--path.procfs`.
    pub procfs: Option<PathBuf>,
    /// `--path.sysfs`.
    pub sysfs: Option<PathBuf>,
    /// `--path.rootfs`.
    pub rootfs: Option<PathBuf>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// Somebody did, here.
    Set(Place),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Set(Place::File { path, line, .. }) => write!(f, "{}:{line}", path.display()),
            Self::Set(place) => place.fmt(f),
        }
    }
}

/// Where each value comes from.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// By key; without those that nobody set. Entries of maps and items of lists have one of their
    /// own.
    places: BTreeMap<String, Place>,
}

impl Origins {
    /// Where the value of a key comes from.
    #[must_use]
    pub fn of(&self, key: &str) -> Origin {
        self.places
            .get(key)
            .map_or(Origin::Default, |place| Origin::Set(place.clone()))
    }

    /// Another layer has a value.
    fn set(&mut self, key: &str, place: Place) {
        let inner = |of: &str| {
            let rest = of.strip_prefix(key);
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        self.places.retain(|of, _| !inner(of));
        self.places.insert(key.to_owned(), place);
    }

    /// The place to blame for the value of a key, or of a part of it.
    pub(super) fn blame(&self, key: &str) -> Option<Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return Some(place.clone());
            }
            key = whole(key)?;
        }
    }
}

/// A valid configuration, and where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where each value comes from.
    pub origins: Origins,
}

impl Layers {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let text = match &self.file {
            Some(path) => Some((path.as_path(), file::read("configuration", path)?)),
            None => None,
        };
        self.load_from(text.as_ref().map(|(path, text)| (*path, text.as_str())))
    }

    /// The same with the text of the file.
    pub(super) fn load_from(&self, text: Option<(&Path, &str)>) -> Result<Loaded, Problems> {
        let mut loading = Loading::default();
        if let Some((path, text)) = text {
            loading.file(path, text);
        }
        loading.environment(&self.environment);
        loading.options(&self.options);
        loading.finish()
    }
}

#[derive(Default)]
struct Loading {
    config: Config,
    origins: Origins,
    problems: Vec<Problem>,
}

impl Loading {
    fn file(&mut self, path: &Path, text: &str) {
        let root = match Placed::parse(text) {
            Ok(root) => root,
            Err(error) => return self.problems.push(file::syntax(path, &error)),
        };
        let (origins, problems) = (&mut self.origins, &mut self.problems);
        let mut taken = Vec::new();
        settings::take(&mut self.config, &root, &mut |spot, read| {
            let place = Place::in_file(path, spot);
            match read {
                Read::Taken(setting) => {
                    origins.set(setting.key, place);
                    taken.push(setting);
                }
                Read::Refused(message) => problems.push(Problem {
                    place: Some(place),
                    message,
                }),
            }
        });
        entries("", &root, &mut |key, spot| {
            if whole(&key).is_some_and(|whole| origins.places.contains_key(whole)) {
                origins.places.insert(key, Place::in_file(path, spot));
            }
        });
        for setting in taken {
            setting.stands_in(path, &mut self.config);
        }
    }

    fn environment(&mut self, environment: &[(String, String)]) {
        let (origins, problems) = (&mut self.origins, &mut self.problems);
        settings::apply(&mut self.config, environment, &mut |variable, read| {
            let place = Place::Variable(variable.to_owned());
            match read {
                Read::Taken(setting) => origins.set(setting.key, place),
                Read::Refused(message) => problems.push(Problem {
                    place: Some(place),
                    message,
                }),
            }
        });
    }

    fn options(&mut self, options: &Options) {
        if let Some(listen) = options.listen {
            self.config.listen = listen;
            self.origins.set("listen", Place::Option("--listen"));
        }
        if !options.cgroups.is_empty() {
            self.config.cgroups.clone_from(&options.cgroups);
            self.origins.set("cgroups", Place::Option("--cgroup"));
        }
        if let Some(file) = &options.web_config {
            self.config.web_config = Some(file.clone());
            self.origins
                .set("web_config", Place::Option("--web.config.file"));
        }
        if let Some(level) = &options.log_level {
            self.config.log.level.clone_from(level);
            self.origins.set("log.level", Place::Option("--log-level"));
        }
        let node = &mut self.config.node;
        for (path, of, key, option) in [
            (
                &options.procfs,
                &mut node.procfs,
                "node.procfs",
                "--path.procfs",
            ),
            (
                &options.sysfs,
                &mut node.sysfs,
                "node.sysfs",
                "--path.sysfs",
            ),
            (
                &options.rootfs,
                &mut node.rootfs,
                "node.rootfs",
                "--path.rootfs",
            ),
        ] {
            if let Some(path) = path {
                of.clone_from(path);
                self.origins.set(key, Place::Option(option));
            }
        }
    }

    fn finish(mut self) -> Result<Loaded, Problems> {
        for fault in validate::faults(&self.config) {
            let dependent = validate::DEPENDENT
                .iter()
                .find(|(key, _)| *key == fault.key);
            let place = self.origins.blame(&fault.key);
            let place = place.or_else(|| self.origins.blame(dependent?.1));
            self.problems.push(Problem {
                place,
                message: fault.message,
            });
        }
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|problem| match &problem.place {
                Some(Place::File { line, column, .. }) => (*line, *column),
                _ => (u64::MAX, 0),
            });
            return Err(Problems(self.problems));
        }
        Ok(Loaded {
            config: self.config,
            origins: self.origins,
        })
    }
}

/// Every entry of every map and every item of every list, with its whole key: `limits.metrics.name`,
/// `select.labels[2]`.
fn entries(key: &str, place: &Placed, each: &mut dyn FnMut(String, Spot)) {
    match &place.node {
        Node::Map(map) => {
            for (name, spot, value) in map {
                let dot = if key.is_empty() { "" } else { "." };
                let key = format!("{key}{dot}{name}");
                entries(&key, value, each);
                each(key, *spot);
            }
        }
        Node::List(list) => {
            for (index, item) in list.iter().enumerate() {
                each(format!("{key}[{index}]"), item.spot);
            }
        }
        Node::Null | Node::Scalar(_) => {}
    }
}

/// The key of what a part belongs to.
fn whole(key: &str) -> Option<&str> {
    let cut = if key.ends_with(']') { '[' } else { '.' };
    key.rsplit_once(cut).map(|(whole, _)| whole)
}
