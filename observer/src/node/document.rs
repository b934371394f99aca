//! The lists of `docs/node.md`, from the table.

use std::fmt::Write as _;

use super::COLLECTORS;

/// What stands between the two marks of the page.
#[must_use]
pub fn collectors() -> String {
    let mut table = String::from("| collector | reads | families |\n|---|---|---|\n");
    for collector in COLLECTORS {
        let families: Vec<String> = collector
            .families
            .iter()
            .map(|family| format!("`{family}`"))
            .collect();
        let off = if collector.on { "" } else { " (off)" };
        let written = writeln!(
            table,
            "| `{}`{off} | {} | {} |",
            collector.name,
            collector.reads,
            families.join(", ")
        );
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
    }
    table
}
