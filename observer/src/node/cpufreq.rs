//! How fast the processors run, and may.

use super::host::{Failure, attribute, figure};
use super::{Families, Machine, Type};

/// Attribute, family, help.
const ATTRIBUTES: &[(&str, &str, &str)] = &[
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "Current CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    for (processor, directory) in machine.host.processors()? {
        let directory = directory.join("cpufreq");
        if !directory.is_dir() {
            continue;
        }
        let labels = [("cpu", processor.as_str())];
        for (file, name, help) in ATTRIBUTES {
            if let Some(kilohertz) = figure(&directory.join(file)) {
                let mut samples = families.family(*name, Type::Gauge, help);
                samples.put(&labels, kilohertz * 1000.0);
            }
        }
        governors(families, &processor, |file| {
            attribute(&directory.join(file))
        });
    }
    Ok(())
}

fn governors(families: &mut Families, processor: &str, read: impl Fn(&str) -> Option<String>) {
    let (Some(current), Some(available)) = (
        read("scaling_governor"),
        read("scaling_available_governors"),
    ) else {
        return;
    };
    let mut samples = families.family(
        "node_cpu_scaling_governor",
        Type::Gauge,
        "Current enabled CPU frequency governor.",
    );
    for governor in available.split_ascii_whitespace() {
        let is_current = f64::from(u8::from(governor == current));
        samples.put(&[("cpu", processor), ("governor", governor)], is_current);
    }
}
