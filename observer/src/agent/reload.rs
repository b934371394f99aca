//! Another configuration while the agent runs: rules and selection change, no connection is lost.
//!
//! Files are looked at, not listened to: a look is one `stat` each, and sees an editor's rename, the
//! swap of a symbolic link as the kubelet does it, a file that was gone, and what is mounted from
//! elsewhere, all alike.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::follow::Follow;
use super::names::Wanted;
use crate::capture::Capture;
use crate::clock;
use crate::config::selection::EVERYTHING;
use crate::config::{Config, Layers, SETTINGS, Selection, notes};
use crate::correlate::postgres::Shared;
use crate::export::agent::Reloads;
use crate::interpret::{Needs, Plan};
use crate::workloads::Selectors;
use crate::workloads::kubernetes::Namespaces;

/// Lines of the log that one refusal may have.
const TOLD: usize = 10;

/// What became of reloads, to be read by scrapes.
#[derive(Debug)]
pub(super) struct Books(Mutex<Reloads>);

impl Books {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Reloads {
            read: clock::unix_seconds(),
            ..Reloads::default()
        }))
    }

    pub(super) fn get(&self) -> Reloads {
        *self.lock()
    }

    fn applied(&self) {
        let mut books = self.lock();
        books.last_refused = false;
        books.applied += 1;
        books.read = clock::unix_seconds();
    }

    fn refused(&self) {
        let mut books = self.lock();
        books.last_refused = true;
        books.refused += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Reloads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the configuration again and brings it into force.
pub(super) struct Reload {
    pub(super) layers: Layers,
    /// As it was at the start.
    pub(super) started: Config,
    /// As it was read last, and is in force in what takes effect at once.
    pub(super) in_force: Config,
    pub(super) needs: Needs,
    pub(super) statements: Arc<Shared>,
    pub(super) wanted: Wanted,
    /// Where the Kubernetes API is asked.
    pub(super) namespaces: Option<Namespaces>,
    pub(super) books: Arc<Books>,
    pub(super) files: Files,
}

/// A configuration that is valid in every part.
struct Next {
    config: Config,
    plan: Arc<Plan>,
    named: Vec<PathBuf>,
    selectors: Selectors,
}

impl Reload {
    /// Whether a file has changed and is at rest.
    pub(super) fn is_due(&mut self) -> bool {
        self.files.is_due()
    }

    /// Reads everything again. What is right comes into force as a whole; of what is wrong, nothing
    /// does. The directories that are selected no more are returned.
    pub(super) fn run(&mut self, capture: &mut Capture, follow: &mut Follow) -> Vec<PathBuf> {
        self.files.take();
        let result = self.prepare(follow.named()).and_then(|next| {
            let (named, selectors) = (next.named.clone(), next.selectors.clone());
            let gone = follow.replace(capture, named, selectors)?;
            Ok((next, gone))
        });
        match result {
            Ok((next, gone)) => {
                self.apply(next);
                self.books.applied();
                gone
            }
            Err(error) => {
                refuse(&format!("{error:#}"));
                self.books.refused();
                Vec::new()
            }
        }
    }

    fn prepare(&mut self, selected: &[PathBuf]) -> anyhow::Result<Next> {
        let config = self.layers.load()?.config;
        // Where its rules are wrong, they are what will be put right.
        self.files.follow(&self.layers, &config);
        let plan = Plan::new(&config.rules()?)?;
        let named = Selection::of_again(&config, selected)?.directories();
        let selectors = Selectors::new(&config.select)?;
        Ok(Next {
            config,
            plan,
            named,
            selectors,
        })
    }

    fn apply(&mut self, next: Next) {
        self.needs.replace(Arc::clone(&next.plan));
        self.wanted.replace(&next.config, &next.selectors);
        self.statements.ask_again();
        if let Some(namespaces) = &self.namespaces {
            namespaces.replace(&next.config.select.namespaces);
        }
        tracing::info!(
            routes = next.plan.routes.iter().count(),
            "the configuration was read again and is in force"
        );
        tell(&next.config, Some(&self.in_force));
        let waiting: Vec<&str> = SETTINGS
            .iter()
            .filter(|setting| setting.value(&next.config) != setting.value(&self.started))
            .filter(|setting| !setting.is_live())
            .map(|setting| setting.key)
            .collect();
        if !waiting.is_empty() {
            tracing::warn!(
                keys = waiting.join(", "),
                "what changed here takes effect at the next start"
            );
        }
        self.in_force = next.config;
    }
}

/// Says what is selected, in the words of the configuration; and what that comes to where it is not
/// what it seems: where nothing is left of what was `before`, everything is observed.
pub(super) fn tell(config: &Config, before: Option<&Config>) {
    match before {
        Some(before) if config.selects_everything() && !before.selects_everything() => {
            let before = Selection::written(before);
            tracing::warn!(before, "{EVERYTHING}");
        }
        _ if config.selects_everything() => tracing::info!("{EVERYTHING}"),
        _ => tracing::info!(selected = Selection::written(config), "what is observed"),
    }
    // At the start they are among what the machine lacks.
    let Some(before) = before else { return };
    let known = notes::unasked(before);
    for note in notes::unasked(config) {
        if !known.contains(&note) {
            tracing::warn!("{note}");
        }
    }
}

fn refuse(problems: &str) {
    let count = problems.lines().count();
    for problem in problems.lines().take(TOLD) {
        tracing::error!(
            problem,
            "the configuration was refused; the one before it stays in force"
        );
    }
    if count > TOLD {
        tracing::error!(more = count - TOLD, "the configuration has more problems");
    }
}

/// The files that a configuration is read from.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// As they were when they were read.
    read: Vec<Seen>,
    /// As they were at the last look.
    last: Vec<Seen>,
}

/// What changes with a file's content; `None` where there is none.
type Seen = Option<[i64; 7]>;

impl Files {
    /// To be made before they are read: what changes meanwhile is read again.
    pub(super) fn new(layers: &Layers, config: &Config) -> Self {
        let paths = paths(layers, config);
        let seen = look(&paths);
        Self {
            paths,
            last: seen.clone(),
            read: seen,
        }
    }

    /// Whether they are other than they were when they were read, and have been for two looks: one
    /// that is being written, or renamed into its place, is left to come to rest.
    fn is_due(&mut self) -> bool {
        let now = look(&self.paths);
        let rests = now == self.last;
        self.last = now;
        rests && self.last != self.read
    }

    /// They are about to be read.
    fn take(&mut self) {
        self.last = look(&self.paths);
        self.read.clone_from(&self.last);
    }

    /// Another file has the rules now; it is about to be read.
    fn follow(&mut self, layers: &Layers, config: &Config) {
        let paths = paths(layers, config);
        if paths == self.paths {
            return;
        }
        // What was read already is as it was seen before that: a change since then is due.
        let known = |path: &PathBuf| {
            let place = self.paths.iter().position(|known| known == path)?;
            self.read.get(place).copied()
        };
        self.read = paths
            .iter()
            .map(|path| known(path).unwrap_or_else(|| see(path)))
            .collect();
        self.last.clone_from(&self.read);
        self.paths = paths;
    }
}

fn paths(layers: &Layers, config: &Config) -> Vec<PathBuf> {
    layers.file.iter().chain(&config.rules).cloned().collect()
}

fn look(paths: &[PathBuf]) -> Vec<Seen> {
    paths.iter().map(|path| see(path)).collect()
}

fn see(path: &Path) -> Seen {
    let file = fs::metadata(path).ok()?;
    Some([
        file.dev().cast_signed(),
        file.ino().cast_signed(),
        file.size().cast_signed(),
        file.mtime(),
        file.mtime_nsec(),
        // What is put back with its old time is another file all the same.
        file.ctime(),
        file.ctime_nsec(),
    ])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory of our own, and the file in it that is looked at.
    fn scene(name: &str) -> (PathBuf, PathBuf) {
        let directory =
            std::env::temp_dir().join(format!("observer-reload-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("observer.yaml");
        (directory, file)
    }

    fn files(file: &Path) -> Files {
        let layers = Layers {
            file: Some(file.to_owned()),
            ..Layers::default()
        };
        Files::new(&layers, &Config::default())
    }

    /// Due at the second look, not at the first, and no more once it was taken.
    fn changed(files: &mut Files) {
        assert!(!files.is_due());
        assert!(files.is_due());
        files.take();
        assert!(!files.is_due());
        assert!(!files.is_due());
    }

    #[test]
    fn however_a_file_changes_it_is_read_again_once_it_rests() {
        let (directory, file) = scene("plain");
        fs::write(&file, "a").unwrap();
        let mut files = files(&file);
        assert!(!files.is_due());
        fs::write(&file, "ab").unwrap();
        changed(&mut files);
        // An editor's rename.
        fs::write(directory.join("new"), "abc").unwrap();
        fs::rename(directory.join("new"), &file).unwrap();
        changed(&mut files);
        // Gone, and back.
        fs::remove_file(&file).unwrap();
        changed(&mut files);
        fs::write(&file, "abc").unwrap();
        changed(&mut files);
        // Still being written.
        fs::write(&file, "abcd").unwrap();
        assert!(!files.is_due());
        fs::write(&file, "abcde").unwrap();
        changed(&mut files);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_symbolic_link_swapped_above_the_file_is_a_change() {
        let (directory, file) = scene("kubelet");
        for (version, text) in [("..1", "a"), ("..2", "b")] {
            fs::create_dir(directory.join(version)).unwrap();
            fs::write(directory.join(version).join("observer.yaml"), text).unwrap();
        }
        symlink("..1", directory.join("..data")).unwrap();
        symlink("..data/observer.yaml", &file).unwrap();
        let mut files = files(&file);
        symlink("..2", directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        fs::remove_dir_all(directory.join("..1")).unwrap();
        changed(&mut files);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_change_between_the_file_and_its_rules_is_not_missed() {
        let (directory, file) = scene("follow");
        let rules = directory.join("rules.yaml");
        fs::write(&file, "a").unwrap();
        fs::write(&rules, "b").unwrap();
        let mut files = files(&file);
        fs::write(&file, "ab").unwrap();
        let layers = Layers {
            file: Some(file),
            ..Layers::default()
        };
        let config = Config {
            rules: Some(rules),
            ..Config::default()
        };
        files.follow(&layers, &config);
        changed(&mut files);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_books_tell_what_became_of_the_last_one() {
        let books = Books::new();
        assert!(books.get().read > 0.0);
        books.refused();
        let refused = books.get();
        assert_eq!((refused.applied, refused.refused), (0, 1));
        assert!(refused.last_refused);
        books.applied();
        assert!(!books.get().last_refused);
        assert_eq!(books.get().applied, 1);
    }
}
