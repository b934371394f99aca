//! Test programs, as many at a time as there are processors.
//!
//! Most of what they do is wait: for servers to start, for the agent to settle. Each makes cgroups,
//! networks, ports and agents of its own, and none asserts a time, so they do not disturb each
//! other; the tests within one program still follow each other.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{build, shell};

/// A built test program.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    executable: PathBuf,
    /// Of its package, where its tests expect to be.
    directory: PathBuf,
}

/// How a program ended.
struct End {
    name: String,
    succeeded: bool,
    /// None of its tests was asked for.
    is_empty: bool,
}

/// Builds every integration test, and the programs that they start.
pub(super) fn build() -> Result<Vec<Program>> {
    let mut command = build::statically("build");
    command
        .args(["--bins", "--test", "*"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests cannot be built ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let programs: Vec<Program> = messages.lines().filter_map(program).collect();
    if programs.is_empty() {
        bail!("cargo names no test program that it has built");
    }
    Ok(programs)
}

/// From a message of cargo: The Cargo Book, External tools, Artifact messages.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
    let kinds = message.pointer("/target/kind")?.as_array()?;
    if !kinds.iter().any(|kind| kind == "test") {
        return None;
    }
    let directory = Path::new(text("/manifest_path")?).parent()?;
    let package = directory.file_name()?.to_string_lossy();
    Some(Program {
        name: format!("{package}-{}", text("/target/name")?),
        executable: text("/executable")?.into(),
        directory: directory.to_owned(),
    })
}

/// Runs them all, also after one has failed, and shows what each printed when it has ended.
///
/// # Errors
/// Names those that failed.
pub(super) fn run(programs: Vec<Program>, filter: Option<&str>, runner: &[&str]) -> Result<()> {
    let outputs = shell::top().join("target/tests");
    fs::create_dir_all(&outputs).context("cannot make a directory for what tests print")?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(VecDeque::from(programs));
    let work = || -> Result<Vec<End>> {
        let next = || {
            queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        std::iter::from_fn(next)
            .map(|program| program.run(filter, runner, &outputs))
            .collect()
    };
    let ends: Vec<End> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(ends) => ends,
            Err(_) => bail!("a thread that runs tests panicked"),
        });
        joined.collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    let failed = ends.iter().filter(|end| !end.succeeded);
    let failed: Vec<&str> = failed.map(|end| end.name.as_str()).collect();
    if !failed.is_empty() {
        bail!("tests failed in {}", failed.join(", "));
    }
    if let Some(filter) = filter
        && ends.iter().all(|end| end.is_empty)
    {
        shell::step(&format!(
            "no test on the real kernel has {filter} in its name"
        ));
    }
    Ok(())
}

impl Program {
    fn run(&self, filter: Option<&str>, runner: &[&str], outputs: &Path) -> Result<End> {
        let path = outputs.join(&self.name).with_extension("log");
        let file =
            fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let errors = file.try_clone().context("cannot share a file")?;
        let (first, before) = match runner.split_first() {
            Some((first, rest)) => (Path::new(first), rest),
            None => (self.executable.as_path(), &[][..]),
        };
        let mut command = Command::new(first);
        command.args(before);
        if !runner.is_empty() {
            command.arg(&self.executable);
        }
        command
            .arg("--test-threads=1")
            .args(filter)
            .current_dir(&self.directory)
            .env("CARGO_MANIFEST_DIR", &self.directory)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors);
        let began = Instant::now();
        let status = command
            .status()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let is_empty = text.contains("\nrunning 0 tests\n") && status.success();
        if !is_empty {
            let seconds = began.elapsed().as_secs();
            // At once, so that what others print does not stand within it.
            eprint!("==> {} ({seconds} s)\n{text}", self.name);
        }
        Ok(End {
            name: self.name.clone(),
            succeeded: status.success(),
            is_empty,
        })
    }
}
