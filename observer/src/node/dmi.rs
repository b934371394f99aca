//! What the firmware says of the machine.

use super::host::{Failure, attribute, entries};
use super::{Families, Machine, Type};

/// Label, and its file where that has another name.
const LABELS: &[(&str, &str)] = &[
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let directory = machine.host.sys("class/dmi/id");
    entries(&directory)?;
    // Serial numbers are readable for root only; what cannot be read is no label.
    let values: Vec<(&str, String)> = LABELS
        .iter()
        .filter_map(|(label, file)| Some((*label, attribute(&directory.join(file))?)))
        .collect();
    let labels: Vec<(&str, &str)> = values
        .iter()
        .map(|(label, value)| (*label, value.trim()))
        .collect();
    let help = "What the DMI tables say of the machine, always 1.";
    let mut samples = families.family("node_dmi_info", Type::Gauge, help);
    samples.put(&labels, 1.0);
    Ok(())
}
