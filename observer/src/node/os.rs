//! Which distribution the host runs.

use super::host::{Failure, number, read};
use super::{Families, Machine, Type};

/// Labels; the file has them in capitals.
const LABELS: [&str; 12] = [
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let files = ["/etc/os-release", "/usr/lib/os-release"];
    let mut texts = files
        .iter()
        .map(|file| read(&machine.host.root(file.as_ref())));
    let text = match texts.next() {
        Some(Err(Failure::Absent(path))) => texts.next().unwrap_or(Err(Failure::Absent(path)))?,
        Some(text) => text?,
        None => return Ok(()),
    };
    let values = LABELS.map(|label| (label, value(&text, label)));
    let labels = values
        .each_ref()
        .map(|(label, value)| (*label, value.as_str()));
    let help = "Labels of the distribution, from os-release, always 1.";
    families
        .family("node_os_info", Type::Gauge, help)
        .put(&labels, 1.0);
    if let Some(version) = major_minor(&value(&text, "version_id")) {
        let of = |label| labels.iter().find(|(known, _)| *known == label).copied();
        let labels: Vec<_> = ["id", "id_like", "name"]
            .into_iter()
            .filter_map(of)
            .collect();
        let help = "Metric containing the major.minor part of the OS version.";
        families
            .family("node_os_version", Type::Gauge, help)
            .put(&labels, version);
    }
    Ok(())
}

/// `12`, or the `22.04` of `22.04.1`.
fn major_minor(version: &str) -> Option<f64> {
    let mut dots = 0;
    let end = version.find(|next: char| {
        dots += usize::from(next == '.');
        dots > 1 || !(next.is_ascii_digit() || next == '.')
    });
    number(version.get(..end.unwrap_or(version.len()))?)
}

/// `VERSION_ID="12"`, as a shell reads it.
fn value(text: &str, label: &str) -> String {
    let name = label.to_ascii_uppercase();
    let quoted = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&name)?.strip_prefix('='));
    let Some(quoted) = quoted else {
        return String::new();
    };
    let quoted = quoted.trim();
    let quote = quoted
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    let Some(quote) = quote else {
        return quoted.to_owned();
    };
    let inner = quoted.trim_start_matches(quote);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    let mut value = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quote == '"' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_major_and_minor_number() {
        let cases = [
            ("12", Some(12.0)),
            ("22.04", Some(22.04)),
            ("22.04.1", Some(22.04)),
            ("7 (Core)", Some(7.0)),
            ("rolling", None),
            ("", None),
        ];
        for (version, expected) in cases {
            assert_eq!(major_minor(version), expected, "{version}");
        }
    }

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        let text = "NAME=\"a \\\"b\\\" \\$c\"\nID=plain\nVERSION='it \"is\" 1'\n# ID=comment\n";
        for (label, expected) in [
            ("name", "a \"b\" $c"),
            ("id", "plain"),
            ("version", "it \"is\" 1"),
            ("variant", ""),
        ] {
            assert_eq!(value(text, label), expected, "{label}");
        }
    }
}
