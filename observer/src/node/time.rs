//! What time it is, where, and by which clock.

use super::host::{Failure, attribute, entries};
use super::{Families, Machine, Type};
use crate::clock;

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    families.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        clock::unix_seconds(),
    );
    // What is no zone is UTC, for the C library too.
    let local = tz::TimeZone::local().ok();
    let local = local.and_then(|zone| zone.find_current_local_time_type().ok().copied());
    let (zone, offset) = match &local {
        Some(zone) => (zone.time_zone_designation(), zone.ut_offset()),
        None => ("UTC", 0),
    };
    let help = "System time zone offset in seconds.";
    families
        .family("node_time_zone_offset_seconds", Type::Gauge, help)
        .put(&[("time_zone", zone)], f64::from(offset));
    let root = machine.host.sys("devices/system/clocksource");
    for name in entries(&root)? {
        let Some(device) = name.strip_prefix("clocksource") else {
            continue;
        };
        for (family, file, help) in [
            (
                "node_time_clocksource_available_info",
                "available_clocksource",
                "Available clocksources read from '/sys/devices/system/clocksource'.",
            ),
            (
                "node_time_clocksource_current_info",
                "current_clocksource",
                "Current clocksource read from '/sys/devices/system/clocksource'.",
            ),
        ] {
            let sources = attribute(&root.join(&name).join(file)).unwrap_or_default();
            let mut samples = families.family(family, Type::Gauge, help);
            for source in sources.split_ascii_whitespace() {
                samples.put(&[("device", device), ("clocksource", source)], 1.0);
            }
        }
    }
    Ok(())
}
