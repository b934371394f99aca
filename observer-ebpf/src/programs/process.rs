//! How processes begin and end, for those in selected cgroups.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_comm,
    bpf_ktime_get_ns,
};
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use observer_ebpf::{HEADER_SIZE, Header, Kind, Process};

use super::ring;
use crate::maps::CGROUPS;

/// Levels of the cgroup tree that are searched for a selected one.
const LEVELS: i32 = 16;

/// Offset of `pid` in the record of `oom/mark_victim`, behind the four common fields.
const VICTIM: usize = 8;

#[tracepoint]
fn observer_exec(_ctx: TracePointContext) -> u32 {
    if selected() {
        tell(Kind::ProcessExec, process());
    }
    0
}

#[tracepoint]
fn observer_exit(_ctx: TracePointContext) -> u32 {
    // The thread group's leader stands for the process.
    let both = bpf_get_current_pid_tgid();
    if both as u32 == (both >> 32) as u32 && selected() {
        tell(Kind::ProcessExit, process());
    }
    0
}

/// The victim is not the process that runs, so its cgroup is not known here: every victim of the
/// node is told, and the agent keeps those it knows.
#[tracepoint]
fn observer_oom(ctx: TracePointContext) -> u32 {
    if let Ok(victim) = unsafe { ctx.read_at::<u32>(VICTIM) } {
        let victim = Process {
            process: victim,
            ..Process::default()
        };
        tell(Kind::ProcessOutOfMemory, victim);
    }
    0
}

#[inline(always)]
fn process() -> Process {
    let mut process = Process {
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        process: (bpf_get_current_pid_tgid() >> 32) as u32,
        ..Process::default()
    };
    unsafe { bpf_get_current_comm((&raw mut process.command).cast(), 16) };
    process
}

/// Whether the process that runs is in a selected cgroup or below one.
#[inline(always)]
fn selected() -> bool {
    for level in 0..LEVELS {
        let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if cgroup == 0 {
            return false;
        }
        if unsafe { CGROUPS.get(cgroup) }.is_some() {
            return true;
        }
    }
    false
}

#[inline(always)]
fn tell(kind: Kind, process: Process) {
    let to = ring::of(0);
    if to.is_null() {
        return;
    }
    let record = ring::reserve(to, HEADER_SIZE + size_of::<Process>());
    if record.is_null() {
        return;
    }
    let header = Header {
        time: unsafe { bpf_ktime_get_ns() },
        kind: kind as u8,
        ..Header::default()
    };
    unsafe {
        record.cast::<Header>().write(header);
        record.add(HEADER_SIZE).cast::<Process>().write(process);
    }
    ring::submit(to, record);
}
