//! Metrics that others leave in files: batch jobs, package managers, firmware tools.

use std::path::Path;
use std::time::UNIX_EPOCH;

use super::host::{Failure, entries, read};
use super::{Families, Machine, Type};

mod format;

use format::{Garbage, Line, Lines};

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let mut failed = None;
    if let Some(directory) = &machine.textfiles {
        match entries(directory) {
            Ok(names) => {
                for name in names.iter().filter(|name| is_metrics(name)) {
                    if let Err(failure) = take(&directory.join(name), families) {
                        failed = Some(failure);
                    }
                }
            }
            Err(failure) => failed = Some(failure),
        }
    }
    let help = "1 if there was an error opening or reading a file, 0 otherwise";
    let error = f64::from(u8::from(failed.is_some()));
    families.gauge("node_textfile_scrape_error", help, error);
    match failed {
        // Whoever names a directory means one that is there.
        Some(Failure::Absent(path)) => {
            let error = std::io::ErrorKind::NotFound.into();
            Err(Failure::Unreadable(path, error))
        }
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn is_metrics(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "prom")
}

/// A file is taken as a whole or not at all: half of one would be half a truth.
fn take(path: &Path, families: &mut Families) -> Result<(), Failure> {
    let text = read(path)?;
    let lines: Vec<Line<'_>> = Lines::new(&text)
        .collect::<Result<_, _>>()
        .map_err(|Garbage| Failure::Garbage(path.to_path_buf()))?;
    let shown = path.display().to_string();
    let mut helps = std::collections::HashMap::new();
    let mut kinds = std::collections::HashMap::new();
    for line in &lines {
        match line {
            Line::Help(name, help) => drop(helps.insert(*name, help)),
            Line::Kind(name, kind) => drop(kinds.insert(*name, *kind)),
            Line::Sample(_) => {}
        }
    }
    let default = format!("Metric read from {shown}");
    for line in &lines {
        let Line::Sample(sample) = line else { continue };
        // A histogram's lines have other names than it.
        let (family, suffix) = ["_bucket", "_sum", "_count"]
            .into_iter()
            .filter_map(|suffix| Some((sample.name.strip_suffix(suffix)?, suffix)))
            .find(|(family, _)| matches!(kinds.get(family), Some(Type::Histogram | Type::Summary)))
            .unwrap_or((sample.name, ""));
        let kind = kinds.get(family).copied().unwrap_or(Type::Untyped);
        let help = helps.get(family).map_or(default.as_str(), |help| help);
        let labels: Vec<(&str, &str)> = sample
            .labels
            .iter()
            .map(|(label, value)| (*label, &**value))
            .collect();
        families
            .family(family.to_owned(), kind, help)
            .put_as(suffix, &labels, sample.value);
    }
    let modified = std::fs::metadata(path).and_then(|data| data.modified());
    let modified = modified
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    if let Some(modified) = modified {
        let help = "Unixtime mtime of textfiles successfully read.";
        families
            .family("node_textfile_mtime_seconds", Type::Gauge, help)
            .put(&[("file", &shown)], modified.as_secs_f64());
    }
    Ok(())
}
