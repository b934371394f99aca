//! Sensors: temperatures, fans, voltages and what else a board measures.

use std::collections::BTreeMap;
use std::path::Path;

use super::host::{Failure, attribute, entries, number};
use super::{Families, Machine, Type};

/// What a sensor may measure; other files are attributes of the device.
const KINDS: &[&str] = &[
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
];

/// Of one sensor, by property; the property of a file without one is empty.
type Properties = BTreeMap<String, String>;

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let root = machine.host.sys("class/hwmon");
    for name in entries(&root)? {
        let directory = root.join(name);
        let chip = chip(&directory);
        if let Some(readable) = attribute(&directory.join("name")).map(|name| clean(&name))
            && !readable.is_empty()
        {
            let help = "Annotation metric for human-readable chip names";
            families
                .family("node_hwmon_chip_names", Type::Gauge, help)
                .put(&[("chip", &chip), ("chip_name", &readable)], 1.0);
        }
        let mut sensors = BTreeMap::new();
        gather(&directory, &mut sensors);
        // Older drivers keep them with the device.
        gather(&directory.join("device"), &mut sensors);
        for (sensor, properties) in sensors {
            put(&chip, &sensor, &properties, families);
        }
    }
    Ok(())
}

/// `temp1_crit_alarm` is property `crit_alarm` of sensor `temp1`.
fn gather(directory: &Path, sensors: &mut BTreeMap<String, Properties>) {
    for file in entries(directory).unwrap_or_default() {
        let whole = KINDS.contains(&file.as_str());
        let digits = file.find(|next: char| next.is_ascii_digit());
        let (kind, rest) = match digits {
            Some(at) if !whole => file.split_at(at),
            _ => (file.as_str(), ""),
        };
        if !KINDS.contains(&kind) {
            continue;
        }
        let number = rest.find('_').unwrap_or(rest.len());
        let (number, property) = rest.split_at(number);
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        if let Some(text) = attribute(&directory.join(&file)) {
            let property = property.trim_start_matches('_').to_owned();
            let sensor = sensors.entry(format!("{kind}{number}")).or_default();
            sensor.insert(property, text);
        }
    }
}

fn put(chip: &str, sensor: &str, properties: &Properties, families: &mut Families) {
    let kind = sensor.trim_end_matches(|last: char| last.is_ascii_digit());
    let labels = [("chip", chip), ("sensor", sensor)];
    if let Some(label) = properties.get("label").map(|label| clean(label))
        && !label.is_empty()
    {
        let help = "Label for given chip and sensor";
        families
            .family("node_hwmon_sensor_label", Type::Gauge, help)
            .put(
                &[("chip", chip), ("sensor", sensor), ("label", &label)],
                1.0,
            );
    }
    for (property, text) in properties {
        let Some(value) = number(text).filter(|_| property != "label") else {
            continue;
        };
        let has_plain = properties.contains_key("");
        let (name, family, value) = measured(kind, property, value, has_plain);
        let help = format!("Hardware monitor for {}", kind_in_words(kind));
        families.family(name, family, &help).put(&labels, value);
    }
}

/// Family, type and value in base units.
fn measured(kind: &str, property: &str, value: f64, has_plain: bool) -> (String, Type, f64) {
    let gauge = |name: String, value| (name, Type::Gauge, value);
    match kind {
        "beep_enable" => return gauge("node_hwmon_beep_enabled".into(), value),
        "vrm" => return gauge("node_hwmon_voltage_regulator_version".into(), value),
        "update_interval" => {
            return gauge("node_hwmon_update_interval_seconds".into(), value / 1e3);
        }
        _ => {}
    }
    let cleaned = clean(property);
    let name = match property {
        // Its input is the value, unless there is one without a property too.
        "input" if has_plain => format!("node_hwmon_{kind}_input"),
        "" | "input" => format!("node_hwmon_{kind}"),
        _ => format!("node_hwmon_{kind}_{cleaned}"),
    };
    match (kind, property) {
        (_, "fault" | "alarm") | ("temp", "type") => gauge(name, value),
        (_, "beep") => gauge(name + "_enabled", value),
        ("in" | "cpu", _) => gauge(name + "_volts", value / 1e3),
        ("temp", _) => gauge(name + "_celsius", value / 1e3),
        ("curr", _) => gauge(name + "_amps", value / 1e3),
        ("energy", _) => (name + "_joule_total", Type::Counter, value / 1e6),
        ("power", "accuracy") | ("humidity", _) => gauge(name, value / 1e6),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            gauge(name + "_seconds", value / 1e3)
        }
        ("power", _) => gauge(name + "_watt", value / 1e6),
        ("fan", "input" | "min" | "max" | "target") => gauge(name + "_rpm", value),
        _ => gauge(name, value),
    }
}

fn kind_in_words(kind: &str) -> &'static str {
    match kind {
        "in" | "cpu" => "voltage",
        "temp" => "temperature",
        "curr" => "current",
        "energy" => "joules used so far",
        "power" => "power usage in watts",
        "humidity" => "humidity, as a ratio",
        "fan" => "fan revolutions per minute",
        _ => "another property",
    }
}

/// A name that does not change with the order in which drivers are loaded.
fn chip(directory: &Path) -> String {
    if let Ok(device) = directory.join("device").canonicalize() {
        let name = |path: Option<&Path>| {
            let name = path.and_then(Path::file_name);
            clean(&name.unwrap_or_default().to_string_lossy())
        };
        let (bus, device) = (name(device.parent()), name(Some(&device)));
        match (bus.is_empty(), device.is_empty()) {
            (false, false) => return format!("{bus}_{device}"),
            (true, false) => return device,
            _ => {}
        }
    }
    let named = attribute(&directory.join("name")).map(|name| clean(&name));
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| {
        let real = directory.canonicalize();
        let real = real.as_deref().unwrap_or(directory);
        clean(&real.file_name().unwrap_or_default().to_string_lossy())
    })
}

/// In lower case, with nothing that a metric's name may not have.
fn clean(text: &str) -> String {
    let plain = text.to_lowercase().replace(
        |next: char| !(next.is_ascii_lowercase() || next.is_ascii_digit() || next == ':'),
        "_",
    );
    plain.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_has_its_base_unit() {
        let cases = [
            ("temp", "input", 55_000.0, "node_hwmon_temp_celsius", 55.0),
            (
                "temp",
                "crit_alarm",
                1000.0,
                "node_hwmon_temp_crit_alarm_celsius",
                1.0,
            ),
            ("temp", "alarm", 1.0, "node_hwmon_temp_alarm", 1.0),
            ("temp", "type", 3.0, "node_hwmon_temp_type", 3.0),
            ("in", "max", 1500.0, "node_hwmon_in_max_volts", 1.5),
            ("curr", "input", 2000.0, "node_hwmon_curr_amps", 2.0),
            (
                "power",
                "average",
                5e6,
                "node_hwmon_power_average_watt",
                5.0,
            ),
            ("power", "accuracy", 1e6, "node_hwmon_power_accuracy", 1.0),
            (
                "power",
                "average_interval",
                1e3,
                "node_hwmon_power_average_interval_seconds",
                1.0,
            ),
            ("energy", "input", 3e6, "node_hwmon_energy_joule_total", 3.0),
            ("humidity", "input", 5e5, "node_hwmon_humidity", 0.5),
            ("fan", "input", 900.0, "node_hwmon_fan_rpm", 900.0),
            ("fan", "div", 2.0, "node_hwmon_fan_div", 2.0),
            ("fan", "beep", 0.0, "node_hwmon_fan_beep_enabled", 0.0),
            ("pwm", "", 98.0, "node_hwmon_pwm", 98.0),
            ("beep_enable", "", 1.0, "node_hwmon_beep_enabled", 1.0),
            ("vrm", "", 9.0, "node_hwmon_voltage_regulator_version", 9.0),
            (
                "update_interval",
                "",
                1e3,
                "node_hwmon_update_interval_seconds",
                1.0,
            ),
        ];
        for (kind, property, raw, name, value) in cases {
            let (found, family, measured) = measured(kind, property, raw, false);
            assert_eq!((found.as_str(), measured), (name, value));
            assert_eq!(family == Type::Counter, kind == "energy", "{name}");
        }
        // Where there is a value without a property, its input is another thing.
        assert_eq!(
            measured("pwm", "input", 1.0, true).0,
            "node_hwmon_pwm_input"
        );
    }
}
