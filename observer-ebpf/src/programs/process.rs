//! How processes begin and end, for those in selected cgroups.
//!
//! Raw tracepoints: they need no tracefs, which a container would have to be given.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_comm,
    bpf_ktime_get_ns, bpf_probe_read_kernel,
};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use observer_ebpf::{HEADER_SIZE, Header, Kind, Process};

use super::{ring, setting};
use crate::maps::CGROUPS;

/// Bytes of a process's record.
const SIZE: usize = HEADER_SIZE + size_of::<Process>();

/// Levels of the cgroup tree that are searched for a selected one.
const LEVELS: i32 = 16;

/// Largest process id there can be (`PID_MAX_LIMIT` of 64-bit kernels).
const PID_MAX: u64 = 4 << 20;

#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn observer_exec(_ctx: RawTracePointContext) {
    if selected() {
        tell(Kind::ProcessExec, process());
    }
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn observer_exit(_ctx: RawTracePointContext) {
    // The thread group's leader stands for the process.
    let both = bpf_get_current_pid_tgid();
    if both as u32 == (both >> 32) as u32 && selected() {
        tell(Kind::ProcessExit, process());
    }
}

/// The victim is not the process that runs, so its cgroup is not known here: every victim of the
/// node is told, and the agent keeps those it knows.
#[raw_tracepoint(tracepoint = "mark_victim")]
fn observer_oom(ctx: RawTracePointContext) {
    // Its process id until Linux 6.7, its task since.
    let victim: u64 = ctx.arg(0);
    let mut process = victim as u32;
    if victim > PID_MAX {
        let from = (victim + u64::from(setting!(task_tgid))) as *const c_void;
        if setting!(task_tgid) == 0
            || unsafe { bpf_probe_read_kernel((&raw mut process).cast(), 4, from) } != 0
        {
            return;
        }
    }
    tell(
        Kind::ProcessOutOfMemory,
        Process {
            process,
            ..Process::default()
        },
    );
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
    let record = ring::reserve(to, SIZE);
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
    ring::submit(to, record, SIZE, header.time);
}
