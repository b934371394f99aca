//! `docs/coverage.md` names tests that exist.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

/// Whether a source has a test of that name.
fn has(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line.trim_start_matches("async ").starts_with(&head) {
            return marked;
        }
        // Other attributes may stand between the mark and the function.
        let attribute = line.starts_with("#[");
        marked = attribute && (marked || line.ends_with("test]"));
    }
    false
}

#[test]
fn every_case_has_a_test_that_exists() -> Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(top.join("docs/coverage.md"))?;
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.filter(|row| *row != "| case | test |") {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [case, tests] = cells.as_slice() else {
            bail!("not two cells: {row}");
        };
        for test in tests.split(',').map(|test| test.trim().trim_matches('`')) {
            let (file, name) = test
                .rsplit_once("::")
                .with_context(|| format!("{case}: not file::test: {test}"))?;
            let source = fs::read_to_string(top.join(file).with_extension("rs"))
                .with_context(|| format!("{case}: no file {file}.rs"))?;
            ensure!(has(&source, name), "{case}: no test {name} in {file}.rs");
            named += 1;
        }
    }
    ensure!(named > 0, "the page names no test");
    Ok(())
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let source = "#[test]\n#[cfg(unix)]\nfn yes() {}\n\nfn helper() {}\n// fn said() {}\n\
        #[tokio::test]\nasync fn late() {}\n";
    assert!(has(source, "yes") && has(source, "late"));
    assert!(!has(source, "helper") && !has(source, "said") && !has(source, "ye"));
}
