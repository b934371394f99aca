//! Programs in other languages that the tests drive, with the drivers that their lock files name.
//!
//! `tests/apps/<language>` holds the sources and what pins their libraries; everything that is
//! made of them goes below `target/languages/<language>`, where `tests/src/languages.rs` looks.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

/// A row of the table.
struct Language {
    name: &'static str,
    /// Programs that the user's machine must have; the first absent one skips the language.
    needs: &'static [&'static str],
    /// Makes everything in the second directory from what is in the first.
    make: fn(&Path, &Path) -> Result<()>,
}

const LANGUAGES: [Language; 4] = [
    Language {
        name: "python",
        needs: &["python3"],
        make: python,
    },
    Language {
        name: "node",
        needs: &["node", "npm"],
        make: node,
    },
    Language {
        name: "go",
        needs: &["go"],
        make: go,
    },
    Language {
        name: "java",
        needs: &["java", "javac", "mvn"],
        make: java,
    },
];

/// Makes the programs of every language this machine has; one it lacks is skipped, loudly.
pub(crate) fn require() -> Result<()> {
    for language in &LANGUAGES {
        let lacking = language.needs.iter().find(|need| find(need).is_none());
        if let Some(program) = lacking {
            eprintln!(
                "SKIPPED: {program} is not installed, so nothing in {} is tested",
                language.name
            );
            continue;
        }
        let source = shell::top().join("tests/apps").join(language.name);
        let made = shell::top().join("target/languages").join(language.name);
        // Last of all, so that what broke off is made anew.
        let stamp = made.join("stamp");
        let now = format!("{:016x}", fingerprint(&source)?);
        if fs::read_to_string(&stamp).is_ok_and(|then| then == now) {
            continue;
        }
        shell::step(&format!("what the tests drive in {}", language.name));
        fs::create_dir_all(&made)?;
        (language.make)(&source, &made)
            .with_context(|| format!("cannot make {}", source.display()))?;
        fs::write(&stamp, now)?;
    }
    Ok(())
}

fn python(source: &Path, made: &Path) -> Result<()> {
    let interpreter = made.join("bin/python");
    if !interpreter.exists() {
        let made = shell::run(Command::new("python3").args(["-m", "venv"]).arg(made));
        made.context("on Debian, install the package python3-venv")?;
    }
    shell::run(
        Command::new(interpreter)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(source.join("requirements.txt")),
    )
}

fn node(source: &Path, made: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), made.join(file))?;
    }
    shell::run(
        Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--silent")
            .current_dir(made),
    )
}

fn go(source: &Path, made: &Path) -> Result<()> {
    // The slash: a directory, also where there is only one program.
    let programs = made.join("bin/");
    fs::create_dir_all(&programs)?;
    let go = find("go").unwrap_or_else(|| "go".into());
    shell::run(
        Command::new(go)
            .args(["build", "-o"])
            .arg(programs)
            .arg("./...")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=readonly -buildvcs=false")
            .current_dir(source),
    )
}

fn java(source: &Path, _made: &Path) -> Result<()> {
    // The project's file says where to.
    shell::run(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(source.join("pom.xml"))
            .arg("process-classes"),
    )
}

/// Go is often unpacked where no PATH leads.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    shell::find(program).or_else(|| {
        let usual = Path::new("/usr/local/go/bin").join(program);
        usual.is_file().then_some(usual)
    })
}

/// Of every file's path and bytes.
fn fingerprint(directory: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in entries {
            paths.push(entry?.path());
        }
        paths.sort();
        for path in paths {
            if path.is_dir() {
                open.push(path);
            } else {
                path.hash(&mut hasher);
                fs::read(&path)?.hash(&mut hasher);
            }
        }
    }
    Ok(hasher.finish())
}
