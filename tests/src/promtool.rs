//! Prometheus' own opinion of what the agent exposes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::process::need;

/// What `promtool check metrics` has to say, line by line; nothing at best.
///
/// # Errors
/// When promtool is not there.
pub fn complaints(exposition: &str) -> Result<Vec<String>> {
    let mut child = Command::new(need("promtool")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("promtool has no input")?;
    // It reads everything before it says anything.
    input.write_all(exposition.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let mut lines: Vec<String> = [&output.stdout, &output.stderr]
        .iter()
        .flat_map(|text| {
            String::from_utf8_lossy(text)
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| !line.trim().is_empty())
        .collect();
    if lines.is_empty() && !output.status.success() {
        lines.push(format!("promtool failed ({})", output.status));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promtool_has_an_opinion() {
        let good = "# HELP a_total B.\n# TYPE a_total counter\na_total 1\n";
        assert_eq!(complaints(good).unwrap(), Vec::<String>::new());
        let bad = "# HELP a B.\n# TYPE a counter\na 1\n";
        assert_eq!(complaints(bad).unwrap().len(), 1);
    }
}
