//! What was expected beside what was counted.

use std::fmt::{self, Display};

use observer_tests::account::Line;

/// A row.
struct Row {
    what: String,
    expected: String,
    counted: String,
    holds: bool,
    /// What differs.
    details: Vec<String>,
}

/// All rows, in the order in which they came.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// A figure.
    pub(crate) fn figure(&mut self, what: &str, expected: u64, counted: u64) {
        self.fact(what, &expected, &counted, expected == counted);
    }

    /// Something that holds or does not.
    pub(crate) fn fact(
        &mut self,
        what: &str,
        expected: &dyn Display,
        counted: &dyn Display,
        holds: bool,
    ) {
        self.push(Row {
            what: what.to_owned(),
            expected: expected.to_string(),
            counted: counted.to_string(),
            holds,
            details: Vec::new(),
        });
    }

    /// Many figures; each has to meet this.
    pub(crate) fn lines(&mut self, what: &str, lines: &[Line], meets: fn(&Line) -> bool) {
        let sum = |of: fn(&Line) -> u64| lines.iter().map(of).sum::<u64>().to_string();
        let wrong = lines.iter().filter(|line| !meets(line));
        let details: Vec<String> = wrong
            .map(|line| {
                format!(
                    "{}: {} expected, {} counted",
                    line.what, line.sent, line.counted
                )
            })
            .collect();
        self.push(Row {
            what: format!("{what} ({} lines)", lines.len()),
            expected: sum(|line| line.sent),
            counted: sum(|line| line.counted),
            holds: details.is_empty() && !lines.is_empty(),
            details,
        });
    }

    /// How many rows do not hold.
    pub(crate) fn wrong(&self) -> usize {
        self.0.iter().filter(|row| !row.holds).count()
    }

    fn push(&mut self, row: Row) {
        eprint!("{row}");
        self.0.push(row);
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "ok" } else { "NOT OK" };
        writeln!(
            f,
            "{:<62} {:>16} {:>16} {verdict:>7}",
            self.what, self.expected, self.counted
        )?;
        for detail in &self.details {
            writeln!(f, "    {detail}")?;
        }
        Ok(())
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<62} {:>16} {:>16}", "what", "expected", "counted")?;
        self.0.iter().try_for_each(|row| write!(f, "{row}"))
    }
}
