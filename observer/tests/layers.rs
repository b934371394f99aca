//! The stages know only what lies to their left: no import goes backwards.
#![expect(
    clippy::unwrap_used,
    reason = "sources that cannot be read are a failed test"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the ones it may name; those that are not here are `USERS`.
///
/// Records become events become messages become exchanges become facts. `interpret` names the
/// vocabulary of `export`, the facts themselves, and `workloads` who an exchange belongs to.
const STAGES: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("clock", &["time"]),
    ("ledger", &[]),
    ("mounts", &[]),
    ("capture", &["time", "clock", "ledger", "mounts"]),
    ("reassemble", &["time", "ledger", "capture"]),
    ("decode", &["time", "reassemble"]),
    ("correlate", &["time", "reassemble", "decode"]),
    ("workloads", &["time", "clock"]),
    ("export", &["time", "clock", "ledger"]),
    ("node", &["time", "clock", "export"]),
    (
        "containers",
        &["time", "clock", "workloads", "export", "node"],
    ),
    (
        "interpret",
        &[
            "time",
            "reassemble",
            "decode",
            "correlate",
            "workloads",
            "export",
        ],
    ),
];

/// Those that know all.
const USERS: &[&str] = &["pipeline", "agent", "cli", "config", "fuzz", "lib", "main"];

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The module of the house a file belongs to.
fn module(source: &Path, file: &Path) -> String {
    let first = file.strip_prefix(source).unwrap().iter().next().unwrap();
    let name = Path::new(first).file_stem().unwrap();
    name.to_str().unwrap().to_owned()
}

/// Modules named with `crate::` outside comments and tests, grouped imports included.
fn named(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap();
            named.extend(group.split(',').map(|item| first_word(item.trim())));
        } else {
            named.push(first_word(rest));
        }
    }
    named
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn no_import_goes_backwards_through_the_stages() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut wrong = Vec::new();
    for file in all {
        // Tests may set up whatever they need.
        let test = file.file_stem().is_some_and(|stem| stem == "tests");
        let own = module(&source, &file);
        if test || USERS.contains(&own.as_str()) {
            continue;
        }
        let Some((_, allowed)) = STAGES.iter().find(|(stage, _)| *stage == own) else {
            wrong.push(format!("{own} has no place among the stages"));
            continue;
        };
        for name in named(&fs::read_to_string(&file).unwrap()) {
            if name != own && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: names {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::decode::Side;\nuse crate::{time::Timestamp, ledger};\n\
                // crate::export is not named\nlet x = crate::capture::y(); mycrate::no();\n\
                #[cfg(test)]\nmod tests {\nuse crate::config; }\n";
    assert_eq!(named(text), ["decode", "time", "ledger", "capture"]);
}
