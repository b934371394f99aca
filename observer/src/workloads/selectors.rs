//! Which workloads are observed, by who they are: [`Select`] made ready to be asked.
//!
//! ```text
//!   pod         namespaces and labels     of both, where both are named
//!   container   projects and services     the same
//!   cgroup      units   cgroups   executables
//! ```
//!
//! One kind is enough. Everything below a cgroup that is selected is selected with it.
#![forbid(unsafe_code)]

use glob::{MatchOptions, Pattern};

use super::Select;
use super::directory::{Container, Kind, Pod, Workload};

mod absent;
pub mod choose;
pub mod labels;
pub mod processes;

pub use absent::Absent;
use labels::{LabelSelector, Wrong};

/// Bytes of a process's name that the kernel keeps (`TASK_COMM_LEN` without its end).
const COMMAND: usize = 15;
/// Where cgroup v2 mostly is, which patterns are not to name.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Types of units that systemd makes cgroups for.
pub const TYPES: [&str; 3] = ["service", "scope", "slice"];
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Asked for each cgroup whether it is observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    namespaces: Vec<String>,
    labels: Vec<LabelSelector>,
    projects: Vec<String>,
    services: Vec<String>,
    units: Vec<Written>,
    cgroups: Vec<Written>,
    executables: Vec<String>,
}

/// A pattern, and how it stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    text: String,
    pattern: Pattern,
}

/// An item of a list that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}[{index}]: \"{value}\": {why}")]
pub struct Fault {
    /// Of the list, in the configuration.
    pub key: &'static str,
    /// Of the item, from 0.
    pub index: usize,
    /// What stands there.
    pub value: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No label selector.
    #[error("{0}")]
    Labels(#[from] Wrong),
    /// A label selector whose commas were taken for those between selectors; the whole.
    #[error(
        "the comma in it ends it here; write it in quotes, and in the configuration file: \"{0}\""
    )]
    Pieces(String),
    /// Of a type that has no cgroup, or of none.
    #[error("the name of a unit with processes ends in .service, .scope or .slice")]
    Unit,
    /// No pattern; where, and why.
    #[error("{1} (at its character {0})")]
    Pattern(usize, &'static str),
    /// Something else was meant.
    #[error("{0}; did you mean \"{1}\"?")]
    Meant(&'static str, String),
    /// No name.
    #[error("a name belongs here")]
    Empty,
}

// === impl Select ===

impl Select {
    /// Whether it has no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every value that cannot be meant.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.compile().1
    }

    fn compile(&self) -> (Selectors, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut each = |key, values: &[String], read: fn(&str) -> Result<String, Why>| {
            compiled(key, values, read, &mut faults)
        };
        let mut selectors = Selectors {
            namespaces: each("select.namespaces", &self.namespaces, namespace),
            projects: each("select.projects", &self.projects, name),
            services: each("select.services", &self.services, name),
            executables: each("select.executables", &self.executables, executable),
            ..Selectors::default()
        };
        selectors.labels = labels(&self.labels, &mut faults);
        selectors.units = compiled("select.units", &self.units, unit, &mut faults);
        selectors.cgroups = compiled("select.cgroups", &self.cgroups, cgroup, &mut faults);
        (selectors, faults)
    }
}

fn compiled<T>(
    key: &'static str,
    values: &[String],
    read: impl Fn(&str) -> Result<T, Why>,
    faults: &mut Vec<Fault>,
) -> Vec<T> {
    let mut read_all = Vec::new();
    for (index, value) in values.iter().enumerate() {
        match read(value) {
            Ok(read) => read_all.push(read),
            Err(why) => faults.push(Fault {
                key,
                index,
                value: value.clone(),
                why,
            }),
        }
    }
    read_all
}

fn labels(values: &[String], faults: &mut Vec<Fault>) -> Vec<LabelSelector> {
    let mut read_all = Vec::new();
    let mut index = 0;
    while let Some(value) = values.get(index) {
        let mut read = 1;
        let why = match LabelSelector::parse(value) {
            Ok(selector) => {
                read_all.push(selector);
                None
            }
            Err(Wrong::Open) => match values.get(index..).and_then(LabelSelector::mend) {
                Some((whole, pieces)) => {
                    read = pieces;
                    Some(Why::Pieces(whole))
                }
                None => Some(Wrong::Open.into()),
            },
            Err(wrong) => Some(wrong.into()),
        };
        faults.extend(why.map(|why| Fault {
            key: "select.labels",
            index,
            value: value.clone(),
            why,
        }));
        index += read;
    }
    read_all
}

fn name(text: &str) -> Result<String, Why> {
    match text.trim() {
        "" => Err(Why::Empty),
        name => Ok(name.to_owned()),
    }
}

fn namespace(text: &str) -> Result<String, Why> {
    let name = name(text)?;
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.chars().all(is_letter) {
        return Ok(name);
    }
    let near = name.to_ascii_lowercase();
    let near = near.replace(|c: char| !is_letter(c), "-");
    let why = "a namespace is of lower-case letters, digits and -";
    Err(Why::Meant(why, near.trim_matches('-').to_owned()))
}

fn executable(text: &str) -> Result<String, Why> {
    let name = name(text)?;
    match name.trim_end_matches('/').rsplit_once('/') {
        None => Ok(name),
        Some((_, last)) => Err(Why::Meant(
            "an executable goes by its name, without the directory",
            last.to_owned(),
        )),
    }
}

/// A name without a type is that of a service, as systemctl takes it.
fn unit(text: &str) -> Result<Written, Why> {
    let unit = name(text)?;
    if unit.ends_with('*') {
        return pattern(text, &unit);
    }
    match unit.rsplit_once('.') {
        None => pattern(text, &format!("{unit}.service")),
        Some((_, kind)) => {
            let kinds = pattern(kind, kind);
            let is = |kinds: &Written| TYPES.iter().any(|kind| kinds.matches(kind));
            match kinds {
                Ok(kinds) if is(&kinds) => pattern(text, &unit),
                _ => Err(Why::Unit),
            }
        }
    }
}

fn cgroup(text: &str) -> Result<Written, Why> {
    let path = name(text)?;
    let below = |mount: &&str| path.strip_prefix(*mount).map(str::to_owned);
    if let Some(path) = MOUNTS.iter().find_map(below) {
        let near = if path.is_empty() { "/**".into() } else { path };
        return Err(Why::Meant("a pattern begins below the mount", near));
    }
    let path = path.trim_matches('/');
    if path.is_empty() {
        let why = "the root is everything, which is what is observed without any selection";
        return Err(Why::Meant(why, "/*".into()));
    }
    pattern(text, &format!("/{path}"))
}

/// What stands there as `text`, completed to `pattern`.
fn pattern(text: &str, pattern: &str) -> Result<Written, Why> {
    let text = text.to_owned();
    match Pattern::new(pattern) {
        Ok(pattern) => Ok(Written { text, pattern }),
        Err(error) => Err(Why::Pattern(error.pos + 1, error.msg)),
    }
}

// === impl Written ===

impl Written {
    fn matches(&self, text: &str) -> bool {
        self.pattern.matches_with(text, MATCHING)
    }
}

// === impl Selectors ===

impl Selectors {
    /// Of what a configuration says.
    ///
    /// # Errors
    /// The first of [`Select::faults`].
    pub fn new(select: &Select) -> Result<Self, Fault> {
        let (selectors, faults) = select.compile();
        faults.into_iter().next().map_or(Ok(selectors), Err)
    }

    /// Whether nothing is selected by who it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether pods, or containers, are selected by what somebody has to tell of them.
    #[must_use]
    pub fn asks(&self) -> bool {
        let pods = self.namespaces.is_empty() && self.labels.is_empty();
        let containers = self.projects.is_empty() && self.services.is_empty();
        !(pods && containers)
    }

    /// Whether pods are selected by their namespace or their labels.
    #[must_use]
    pub fn selects_pods(&self) -> bool {
        !(self.namespaces.is_empty() && self.labels.is_empty())
    }

    /// Whether a pod is selected, wherever it runs.
    #[must_use]
    pub fn selects_pod(&self, pod: &Pod) -> bool {
        self.selects_pods()
            && any(&self.namespaces, |namespace| *namespace == pod.namespace)
            && any(&self.labels, |labels| labels.matches(&pod.labels))
    }

    /// Whether a container of Docker or Podman is.
    #[must_use]
    pub fn selects_container(&self, container: &Container) -> bool {
        let named = !(self.projects.is_empty() && self.services.is_empty());
        let project = container.project();
        named
            && any(&self.projects, |name| project == Some(name))
            && any(&self.services, |name| container.service() == name)
    }

    /// Whether the cgroup at a path below the mount is, without regard to those above it and to the
    /// processes in it.
    #[must_use]
    pub fn selects(&self, path: &str, workload: &Workload) -> bool {
        let known = match &workload.kind {
            Kind::Pod(pod, _) => self.selects_pod(pod),
            Kind::Container(container) => self.selects_container(container),
            Kind::Unit(_) | Kind::Cgroup => false,
        };
        let unit = unit_of(path);
        known
            || unit.is_some_and(|unit| self.units.iter().any(|units| units.matches(unit)))
            || self.cgroups.iter().any(|cgroups| cgroups.matches(path))
    }

    /// Whether cgroups are selected for processes in them.
    #[must_use]
    pub fn reads_processes(&self) -> bool {
        !self.executables.is_empty()
    }

    /// Whether a process is one whose cgroup is selected, by its name, of which the kernel keeps the
    /// beginning.
    #[must_use]
    pub fn selects_process(&self, process: &str) -> bool {
        let names = &mut self.executables.iter();
        names.any(|name| is_called(process, name))
    }
}

fn is_called(process: &str, executable: &str) -> bool {
    let name = executable.as_bytes();
    process.as_bytes() == name.get(..COMMAND).unwrap_or(name)
}

/// The unit at the end of a path, where one is.
fn unit_of(path: &str) -> Option<&str> {
    let last = path.rsplit('/').next()?;
    let (_, kind) = last.rsplit_once('.')?;
    TYPES.contains(&kind).then_some(last)
}

/// Whether one of them is right; all are where there is none.
fn any<T>(list: &[T], is_right: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(is_right)
}

#[cfg(test)]
mod tests;
