//! Running other programs, and telling the user which.

use std::ffi::OsString;
use std::io::{IsTerminal as _, stdin};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context as _, Result, anyhow, bail};

/// The project's top directory.
pub(crate) fn top() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Says what is done next, and after the first how many minutes it took to come there.
pub(crate) fn step(what: &str) {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let seconds = FIRST.get_or_init(Instant::now).elapsed().as_secs();
    match seconds {
        0 => eprintln!("==> {what}"),
        _ => eprintln!("==> {what} ({}:{:02})", seconds / 60, seconds % 60),
    }
}

/// The user's cargo, in the project.
pub(crate) fn cargo<I: IntoIterator<Item: Into<OsString>>>(arguments: I) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments.into_iter().map(Into::into))
        .current_dir(top());
    command
}

/// Runs to the end; a failure is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed ({status})", line(command))
}

/// Becomes the command: signals and the exit code are then its own.
pub(crate) fn become_it(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(anyhow!(error).context(cannot_start(command)))
}

/// What it prints, if it exists and succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program is, also in the directories that a user's PATH leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// PATH with this directory in front.
pub(crate) fn path_with(first: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = [first.to_path_buf()]
        .into_iter()
        .chain(env::split_paths(&path));
    Ok(env::join_paths(all)?)
}

/// Whether this process may load programs into the kernel.
pub(crate) fn is_root() -> bool {
    // The owner of a process's directory is its effective user.
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Whether `sudo` would work here: without a password, or because somebody can type it.
pub(crate) fn can_sudo() -> bool {
    find("sudo").is_some()
        && (stdin().is_terminal() || output(Command::new("sudo").args(["-n", "true"])).is_some())
}

fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().to_string_lossy())
}
