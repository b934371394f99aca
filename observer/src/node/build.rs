//! What dashboards join others with to know which exporters there are.

use super::host::Failure;
use super::{Families, Machine, Type};

#[expect(clippy::unnecessary_wraps, reason = "a collector that cannot fail")]
pub(super) fn collect(_: &Machine, families: &mut Families) -> Result<(), Failure> {
    // As Go calls them.
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("branch", ""),
        ("goarch", architecture),
        ("goos", std::env::consts::OS),
        ("goversion", ""),
        ("revision", ""),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    let help = "Always 1; the version is the agent's, and what belongs to Go is empty.";
    let mut samples = families.family("node_exporter_build_info", Type::Gauge, help);
    samples.put(&labels, 1.0);
    Ok(())
}
