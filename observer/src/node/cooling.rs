//! Thermal zones and what cools them.

use super::host::{Failure, attribute, entries, figure};
use super::{Families, Machine, Type};

const DIRECTORY: &str = "class/thermal";

pub(super) fn zones(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let mut samples = families.family(
        "node_thermal_zone_temp",
        Type::Gauge,
        "Zone temperature in Celsius",
    );
    for (number, path) in numbered(machine, "thermal_zone")? {
        let kind = attribute(&path.join("type")).unwrap_or_default();
        // Not readable while the sensor is off.
        if let Some(temperature) = figure(&path.join("temp")) {
            let labels = [("zone", number.as_str()), ("type", &kind)];
            samples.put(&labels, temperature / 1000.0);
        }
    }
    Ok(())
}

pub(super) fn devices(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let states = [
        (
            "node_cooling_device_cur_state",
            "cur_state",
            "Current throttle state of the cooling device",
        ),
        (
            "node_cooling_device_max_state",
            "max_state",
            "Maximum throttle state of the cooling device",
        ),
    ];
    for (number, path) in numbered(machine, "cooling_device")? {
        let kind = attribute(&path.join("type")).unwrap_or_default();
        for (name, file, help) in states {
            if let Some(state) = figure(&path.join(file)) {
                let labels = [("name", number.as_str()), ("type", &kind)];
                families.family(name, Type::Gauge, help).put(&labels, state);
            }
        }
    }
    Ok(())
}

/// Number and directory of each of a kind.
fn numbered(machine: &Machine, kind: &str) -> Result<Vec<(String, std::path::PathBuf)>, Failure> {
    let directory = machine.host.sys(DIRECTORY);
    let names = entries(&directory)?.into_iter();
    let numbered = names.filter_map(|name| {
        let number = name.strip_prefix(kind)?.to_owned();
        Some((number, directory.join(name)))
    });
    Ok(numbered.collect())
}
