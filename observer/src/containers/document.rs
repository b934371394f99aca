//! The list of `docs/containers.md`, from the table.

use std::fmt::Write as _;

use super::METRICS;
use super::metrics::{Figure, Metric, Of, Origin};

/// The page begins its list with this.
pub const BEGIN: &str = "<!-- From the table of metrics; a test fails when it is stale. -->\n";
/// And ends it with this.
pub const END: &str = "\n<!-- To here. -->\n";

/// What stands between the two marks of the page.
#[must_use]
pub fn metrics() -> String {
    let mut table = String::from(
        "| metric | type | labels | cgroup v2 | controllers of version 1 |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let (v2, v1) = sources(metric);
        let written = writeln!(
            table,
            "| `{}` | {} | {} | {v2} | {v1} |",
            metric.name,
            metric.kind.name(),
            labels(metric),
        );
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    }
    table
}

fn labels(metric: &Metric) -> String {
    let more: &[&str] = match metric.from {
        Origin::Disks(..) => &["device"],
        Origin::Operations => &["device", "major", "minor", "operation"],
        Origin::Network(_) => &["interface"],
        _ => &[],
    };
    let fixed = metric.labels.iter();
    let fixed = fixed.map(|(label, value)| format!("`{label}=\"{value}\"`"));
    let more = more.iter().map(|label| format!("`{label}`"));
    fixed.chain(more).collect::<Vec<_>>().join(", ")
}

/// Version 2, version 1.
fn sources(metric: &Metric) -> (String, String) {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    match metric.from {
        Origin::Files { v2, v1, quota } => {
            let v2 = figure(v2);
            let v2 = if quota {
                format!("{v2}, with a quota")
            } else {
                v2
            };
            (v2, figure(v1))
        }
        Origin::Disks(..) | Origin::Operations => {
            ("`io.stat`".into(), "`blkio.*_recursive`".into())
        }
        Origin::Network(_) => same("`/proc/<pid>/net/dev` of the first process"),
        Origin::Processes(text, _) => same(text),
        Origin::Clock => same("the clock"),
    }
}

fn figure(figure: Figure) -> String {
    match figure.of {
        Of::Nothing => "that of v2".into(),
        Of::Number(file) | Of::Word(file, 0) => format!("`{file}`"),
        Of::Field(file, word) | Of::Stalled(file, word) => format!("`{file}`: `{word}`"),
        Of::Word(file, _) => format!("`{file}`, the second word"),
        Of::Less(file, other, word) => format!("`{file}` - `{other}`: `{word}`"),
        Of::Weight(file) => format!("`{file}`: 2 + (w - 1) × 262142 / 9999"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/containers.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, list) = page.split_once(BEGIN).unwrap();
        let (list, _) = list.split_once(END).unwrap();
        let expected = metrics();
        assert!(
            list == expected,
            "docs/containers.md is stale; it should have:\n{expected}"
        );
    }
}
