//! Whether `SELinux` is on, and enforces.

use super::host::{Failure, attribute};
use super::{Families, Machine};

#[expect(clippy::unnecessary_wraps, reason = "a collector that cannot fail")]
pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let host = &machine.host;
    let mode = attribute(&host.sys("fs/selinux/enforce"));
    let enabled = f64::from(u8::from(mode.is_some()));
    let help = "SELinux is enabled, 1 is true, 0 is false";
    families.gauge("node_selinux_enabled", help, enabled);
    let Some(mode) = mode else { return Ok(()) };
    let current = if mode == "1" { 1.0 } else { 0.0 };
    let help = "Current SELinux mode";
    families.gauge("node_selinux_current_mode", help, current);
    let file = host.root("/etc/selinux/config".as_ref());
    let configured = attribute(&file).unwrap_or_default();
    let configured = configured
        .lines()
        .find_map(|line| line.strip_prefix("SELINUX="));
    let configured = match configured.map(str::trim) {
        Some("enforcing") => 1.0,
        Some("permissive") => 0.0,
        _ => -1.0,
    };
    let help = "Configured SELinux mode";
    families.gauge("node_selinux_config_mode", help, configured);
    Ok(())
}
