//! The configuration in force as a file that would give it.

use std::fmt::Write as _;

use super::layers::Origins;
use super::{Config, SETTINGS};

/// Every key with its value, explained; and where the value comes from, where that is told.
#[must_use]
pub fn print(config: &Config, origins: Option<&Origins>) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for setting in SETTINGS {
        let mut sections: Vec<&str> = setting.key.split('.').collect();
        let Some(name) = sections.pop() else { continue };
        let same = open
            .iter()
            .zip(&sections)
            .take_while(|(open, section)| open == section)
            .count();
        for (depth, section) in sections.iter().enumerate().skip(same) {
            line(&mut text, depth, format_args!("{section}:"));
        }
        let depth = sections.len();
        line(&mut text, depth, format_args!("# {}", setting.help));
        let value = setting.value(config);
        match origins {
            Some(origins) => {
                let origin = origins.of(setting.key);
                line(&mut text, depth, format_args!("{name}: {value} # {origin}"));
            }
            None => line(&mut text, depth, format_args!("{name}: {value}")),
        }
        open = sections;
    }
    text
}

fn line(text: &mut String, depth: usize, line: std::fmt::Arguments<'_>) {
    let written = writeln!(text, "{:1$}{line}", "", 2 * depth);
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
}
