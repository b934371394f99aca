//! Takes the object into the kernel: settings, offsets, bounds, maps.
#![forbid(unsafe_code)]

use std::fs;

use aya::maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf};
use aya::programs::{Program, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf, EbpfLoader, Endianness};
use zerocopy::IntoBytes as _;

use super::error::CaptureError;
use super::probes::{Hook, Probe, Status};
use super::ring::RingReader;
use super::settings::Settings;
use super::{btf, host};

/// The kernel programs; empty where the agent was built without them.
pub(super) const OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf.o"));

const RING_NAMES: [&str; observer_ebpf::RINGS_MAX as usize] = [
    "RING_0", "RING_1", "RING_2", "RING_3", "RING_4", "RING_5", "RING_6", "RING_7",
];

pub(super) fn load_object(settings: &Settings, types: &[u8]) -> Result<Ebpf, CaptureError> {
    let wanted = [
        ("task_struct", "tgid"),
        ("task_struct", "comm"),
        ("sock", "sk_err"),
        ("sock", "sk_cgrp_data"),
        ("cgroup", "kn"),
        ("kernfs_node", "id"),
    ];
    let found = btf::offsets(types, &wanted);
    let offset = |structure, member| found.get(&(structure, member)).copied().unwrap_or(0);
    let mut kernel = settings.to_kernel();
    kernel.task_tgid = offset("task_struct", "tgid");
    kernel.task_comm = offset("task_struct", "comm");
    kernel.sock_error = offset("sock", "sk_err");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Before 5.15 the pointer shared its word with other data.
    if host::version(&release).is_some_and(|version| version >= (5, 15)) {
        kernel.sock_cgroup = offset("sock", "sk_cgrp_data");
        kernel.cgroup_node = offset("cgroup", "kn");
        kernel.node_id = offset("kernfs_node", "id");
    }
    let btf = Btf::parse(types, Endianness::default()).map_err(|error| CaptureError::Machine {
        name: "kernel type information (BTF)",
        found: error.to_string(),
        remedy: "run on a kernel whose /sys/kernel/btf/vmlinux is intact",
    })?;
    let mut loader = EbpfLoader::new();
    loader
        .btf(Some(&btf))
        .override_global("SETTINGS", kernel.as_bytes(), true)
        .map_max_entries("VERDICTS", settings.verdicts)
        .map_max_entries("CGROUPS", settings.cgroups);
    for name in RING_NAMES.into_iter().take(settings.rings as usize) {
        loader.map_max_entries(name, settings.ring_bytes);
    }
    loader
        .load(OBJECT)
        .map_err(|error| CaptureError::Load(Box::new(error)))
}

/// Loads a program, and attaches it if it belongs to the node.
pub(super) fn prepare(ebpf: &mut Ebpf, probe: &'static Probe) -> Status {
    let outcome = match (probe.hook, ebpf.program_mut(probe.program)) {
        (_, None) => Err("not in the object".to_owned()),
        (Hook::CgroupEgress | Hook::CgroupIngress, Some(Program::CgroupSkb(program))) => {
            program.load().map(|()| 0).map_err(|error| sentence(&error))
        }
        (Hook::SockOps, Some(Program::SockOps(program))) => {
            program.load().map(|()| 0).map_err(|error| sentence(&error))
        }
        (Hook::RawTracepoint(name), Some(Program::RawTracePoint(program))) => trace(program, name)
            .map(|()| 1)
            .map_err(|error| sentence(&error)),
        (_, Some(_)) => Err("of another type in the object".to_owned()),
    };
    match outcome {
        Ok(attached) => Status {
            probe,
            attached,
            failure: None,
        },
        Err(failure) => Status {
            probe,
            attached: 0,
            failure: Some(failure),
        },
    }
}

fn trace(program: &mut RawTracePoint, name: &str) -> Result<(), ProgramError> {
    program.load()?;
    program.attach(name)?;
    Ok(())
}

/// The error and its causes. Of what the verifier says, the end: the instruction and the reason.
pub(super) fn sentence(error: &ProgramError) -> String {
    const END: usize = 600;
    let mut text = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        next = error.source();
    }
    match text.char_indices().rev().nth(END) {
        Some((start, _)) => text
            .get(start..)
            .map_or_else(String::new, |end| format!("…{end}")),
        None => text,
    }
}

pub(super) fn take<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, CaptureError> {
    let map = ebpf.take_map(name).ok_or(CaptureError::Map {
        map: name,
        reason: "missing".to_owned(),
    })?;
    T::try_from(map).map_err(|error| CaptureError::Map {
        map: name,
        reason: error.to_string(),
    })
}

/// Puts the rings in use into the kernel's array, and makes a reader of each.
pub(super) fn take_rings(
    ebpf: &mut Ebpf,
    settings: &Settings,
) -> Result<(Vec<RingReader>, ArrayOfMaps<MapData>), CaptureError> {
    let mut array: ArrayOfMaps<MapData> = take(ebpf, "RINGS")?;
    let mut readers = Vec::new();
    for (index, name) in (0..settings.rings).zip(RING_NAMES) {
        let failed = |reason: String| CaptureError::Map { map: name, reason };
        let map = ebpf
            .take_map(name)
            .ok_or_else(|| failed("missing".to_owned()))?;
        let Map::RingBuf(data) = &map else {
            return Err(failed("not a ring".to_owned()));
        };
        array
            .set(index, data, 0)
            .map_err(|error| failed(error.to_string()))?;
        let ring = RingBuf::try_from(map).map_err(|error| failed(error.to_string()))?;
        readers.push(RingReader::new(ring, settings).map_err(|error| failed(error.to_string()))?);
    }
    Ok((readers, array))
}
