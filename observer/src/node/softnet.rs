//! Packets by the processor that took them off the device.

use super::host::{Failure, float, hexadecimal, understood};
use super::{Families, Machine, Type};

/// Family, column, help.
const COLUMNS: &[(&str, usize, &str)] = &[
    (
        "node_softnet_processed_total",
        0,
        "Number of processed packets",
    ),
    ("node_softnet_dropped_total", 1, "Number of dropped packets"),
    (
        "node_softnet_times_squeezed_total",
        2,
        "Number of times processing packets ran out of quota",
    ),
];
/// Which processor it is, since Linux 5.10; before, the line's number.
const PROCESSOR: usize = 12;

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.net("softnet_stat");
    let text = machine.host.table(&path)?;
    let mut all = true;
    for (line, columns) in text.lines().enumerate() {
        let columns: Vec<&str> = columns.split_ascii_whitespace().collect();
        let of = |column: usize| columns.get(column).copied().and_then(hexadecimal);
        let processor = of(PROCESSOR).map_or_else(|| line.to_string(), |number| number.to_string());
        for (name, column, help) in COLUMNS {
            match of(*column) {
                Some(value) => {
                    let mut samples = families.family(*name, Type::Counter, help);
                    samples.put(&[("cpu", &processor)], float(value));
                }
                None => all = false,
            }
        }
    }
    understood(all, path)
}
