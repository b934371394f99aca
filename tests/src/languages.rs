//! Programs in other languages, as `cargo xtask setup` made them below `target/languages`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::find;

/// A language whose drivers, servers or clients the tests use; its programs are in
/// `apps/<language>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `apps/python/<name>.py`
    Python,
    /// `apps/node/<name>.js`
    Node,
    /// `apps/go/<name>`, a package of its own
    Go,
    /// `apps/java/src/<name>.java`
    Java,
}

/// The command that runs a program; `None`, loudly, where the machine lacks the language.
///
/// # Errors
/// Where the language is there and its programs were not made.
pub fn program(language: Language, name: &str) -> Result<Option<Command>> {
    let (directory, toolchain) = match language {
        Language::Python => ("python", "python3"),
        Language::Node => ("node", "npm"),
        Language::Go => ("go", "go"),
        Language::Java => ("java", "mvn"),
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = tests.join("../target/languages").join(directory);
    if !made.join("stamp").is_file() {
        let usual = Path::new("/usr/local/go/bin").join(toolchain);
        if find(toolchain).is_some() || usual.is_file() {
            bail!("run `cargo xtask setup` first: the programs in {directory} are not made");
        }
        eprintln!("SKIPPED: {toolchain} is not installed, so {directory}'s {name} is not tested");
        return Ok(None);
    }
    let source = tests.join("apps").join(directory);
    let mut command = match language {
        Language::Python => {
            let mut command = Command::new(made.join("bin/python"));
            // Nothing of it is to be found beside the sources.
            command.arg("-B").arg(source.join(format!("{name}.py")));
            command
        }
        Language::Node => {
            let mut command = Command::new("node");
            command.arg(source.join(format!("{name}.js")));
            command.env("NODE_PATH", made.join("node_modules"));
            command
        }
        Language::Go => Command::new(made.join("bin").join(name)),
        Language::Java => {
            let mut command = Command::new("java");
            command.arg("-cp").arg(class_path(&made)).arg(name);
            command
        }
    };
    command.env("LC_ALL", "C.UTF-8");
    Ok(Some(command))
}

fn class_path(made: &Path) -> std::ffi::OsString {
    let mut path = made.join("classes").into_os_string();
    path.push(":");
    path.push(made.join("lib/*"));
    path
}
