//! What disks did, and what udev knows of them.

use std::collections::HashMap;

use procfs::DiskStat;

use super::host::{Failure, float, number, read, understood};
use super::{Families, Machine, Type};

/// Family, type, help, value.
type Column = (
    &'static str,
    Type,
    &'static str,
    fn(&DiskStat) -> Option<f64>,
);

const SECTOR: f64 = 512.0;

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    ("node_disk_reads_completed_total", Type::Counter, "The total number of reads completed successfully.", |disk| Some(float(disk.reads))),
    ("node_disk_reads_merged_total", Type::Counter, "The total number of reads merged.", |disk| Some(float(disk.merged))),
    ("node_disk_read_bytes_total", Type::Counter, "The total number of bytes read successfully.", |disk| Some(float(disk.sectors_read) * SECTOR)),
    ("node_disk_read_time_seconds_total", Type::Counter, "The total number of seconds spent by all reads.", |disk| Some(float(disk.time_reading) / 1e3)),
    ("node_disk_writes_completed_total", Type::Counter, "The total number of writes completed successfully.", |disk| Some(float(disk.writes))),
    ("node_disk_writes_merged_total", Type::Counter, "The number of writes merged.", |disk| Some(float(disk.writes_merged))),
    ("node_disk_written_bytes_total", Type::Counter, "The total number of bytes written successfully.", |disk| Some(float(disk.sectors_written) * SECTOR)),
    ("node_disk_write_time_seconds_total", Type::Counter, "This is the total number of seconds spent by all writes.", |disk| Some(float(disk.time_writing) / 1e3)),
    ("node_disk_io_now", Type::Gauge, "The number of I/Os currently in progress.", |disk| Some(float(disk.in_progress))),
    ("node_disk_io_time_seconds_total", Type::Counter, "Total seconds spent doing I/Os.", |disk| Some(float(disk.time_in_progress) / 1e3)),
    ("node_disk_io_time_weighted_seconds_total", Type::Counter, "The weighted # of seconds spent doing I/Os.", |disk| Some(float(disk.weighted_time_in_progress) / 1e3)),
    ("node_disk_discards_completed_total", Type::Counter, "The total number of discards completed successfully.", |disk| disk.discards.map(float)),
    ("node_disk_discards_merged_total", Type::Counter, "The total number of discards merged.", |disk| disk.discards_merged.map(float)),
    ("node_disk_discarded_sectors_total", Type::Counter, "The total number of sectors discarded successfully.", |disk| disk.sectors_discarded.map(float)),
    ("node_disk_discard_time_seconds_total", Type::Counter, "This is the total number of seconds spent by all discards.", |disk| Some(float(disk.time_discarding?) / 1e3)),
    ("node_disk_flush_requests_total", Type::Counter, "The total number of flush requests completed successfully", |disk| disk.flushes.map(float)),
    ("node_disk_flush_requests_time_seconds_total", Type::Counter, "This is the total number of seconds spent by all flush requests.", |disk| Some(float(disk.time_flushing?) / 1e3)),
];

/// Family, what udev calls it, help.
const DRIVES: &[(&str, &str, &str)] = &[
    (
        "node_disk_ata_write_cache",
        "ID_ATA_WRITE_CACHE",
        "ATA disk has a write cache.",
    ),
    (
        "node_disk_ata_write_cache_enabled",
        "ID_ATA_WRITE_CACHE_ENABLED",
        "ATA disk has its write cache enabled.",
    ),
    (
        "node_disk_ata_rotation_rate_rpm",
        "ID_ATA_ROTATION_RATE_RPM",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("diskstats");
    let text = machine.host.table(&path)?;
    let mut all = true;
    let mut disks = Vec::new();
    for line in text.lines() {
        match DiskStat::from_line(line) {
            Ok(disk) if machine.filters.disk_exclude.is_match(&disk.name) => {}
            Ok(disk) => disks.push(disk),
            Err(_) => all = false,
        }
    }
    for (name, kind, help, value) in COLUMNS {
        let mut samples = families.family(*name, *kind, help);
        for disk in &disks {
            if let Some(value) = value(disk) {
                samples.put(&[("device", &disk.name)], value);
            }
        }
    }
    for disk in &disks {
        describe(machine, disk, families);
    }
    understood(all, path)
}

/// What udev knows of a disk; where it does not run, the labels are empty.
fn describe(machine: &Machine, disk: &DiskStat, families: &mut Families) {
    let (major, minor) = (disk.major.to_string(), disk.minor.to_string());
    let file = machine.host.udev(&format!("b{major}:{minor}"));
    let text = read(&file).unwrap_or_default();
    // E:ID_MODEL=QEMU_HARDDISK
    let properties: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .collect();
    let of = |name: &str| properties.get(name).copied().unwrap_or_default();
    let device = disk.name.as_str();
    let serial = properties.get("SCSI_IDENT_SERIAL").copied();
    let labels = [
        ("device", device),
        ("major", &major),
        ("minor", &minor),
        ("path", of("ID_PATH")),
        ("wwn", of("ID_WWN")),
        ("model", of("ID_MODEL")),
        ("serial", serial.unwrap_or_else(|| of("ID_SERIAL_SHORT"))),
        ("revision", of("ID_REVISION")),
    ];
    let help = "Info of /sys/block/<block_device>.";
    families
        .family("node_disk_info", Type::Gauge, help)
        .put(&labels, 1.0);
    if !of("ID_FS_TYPE").is_empty() {
        let labels = [
            ("device", device),
            ("type", of("ID_FS_TYPE")),
            ("usage", of("ID_FS_USAGE")),
            ("uuid", of("ID_FS_UUID")),
            ("version", of("ID_FS_VERSION")),
        ];
        let help = "Info about disk filesystem.";
        families
            .family("node_disk_filesystem_info", Type::Gauge, help)
            .put(&labels, 1.0);
    }
    if !of("DM_NAME").is_empty() {
        let labels = [
            ("device", device),
            ("name", of("DM_NAME")),
            ("uuid", of("DM_UUID")),
            ("vg_name", of("DM_VG_NAME")),
            ("lv_name", of("DM_LV_NAME")),
            ("lv_layer", of("DM_LV_LAYER")),
        ];
        let help = "Info about disk device mapper.";
        families
            .family("node_disk_device_mapper_info", Type::Gauge, help)
            .put(&labels, 1.0);
    }
    for (name, property, help) in DRIVES {
        if let Some(value) = number(of(property)) {
            let mut samples = families.family(*name, Type::Gauge, help);
            samples.put(&[("device", device)], value);
        }
    }
}
