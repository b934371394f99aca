//! The figures' place in `docs/performance.md`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::machine;
use crate::report::Report;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/performance.md");
const BEGIN: &str = "<!-- written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of what is written -->";

/// Replaces what the last run wrote there; what stands around it stays.
pub(crate) fn write(report: &Report) -> Result<()> {
    let old = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let place = old
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = place.with_context(|| format!("no place for figures in {FILE}"))?;
    let new = format!(
        "{before}{BEGIN}\n\n{}. Command: `cargo xtask bench --write`.\n\n{}\n{END}{after}",
        machine::describe()?,
        report.markdown()?
    );
    fs::write(FILE, new).with_context(|| format!("cannot write {FILE}"))
}
