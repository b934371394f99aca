//! The lists of `docs/node.md`, from the table.

use std::fmt::Write as _;

use super::COLLECTORS;

/// The page begins its list with this.
pub const BEGIN: &str = "<!-- From the table of collectors; a test fails when it is stale. -->\n";
/// And ends it with this.
pub const END: &str = "\n<!-- To here. -->\n";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_collector() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/node.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (_, list) = page.split_once(BEGIN).unwrap();
        let (list, _) = list.split_once(END).unwrap();
        let expected = collectors();
        assert!(
            list == expected,
            "docs/node.md is stale; it should have:\n{expected}"
        );
    }
}
