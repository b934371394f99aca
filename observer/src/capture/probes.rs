//! Every program: where it hooks, since which kernel, and what is lost without it.
#![forbid(unsafe_code)]

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// To each selected cgroup: packets that leave its sockets.
    CgroupEgress,
    /// To each selected cgroup: packets that arrive at its sockets.
    CgroupIngress,
    /// To each selected cgroup: what becomes of its sockets.
    SockOps,
    /// To the node, once: a raw tracepoint of this name.
    RawTracepoint(&'static str),
}

impl Hook {
    /// Whether it is attached to each selected cgroup rather than to the node.
    pub const fn is_per_cgroup(self) -> bool {
        !matches!(self, Self::RawTracepoint(_))
    }
}

/// A row of [`PROBES`].
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The program's name in the object.
    pub program: &'static str,
    /// Where it hooks.
    pub hook: Hook,
    /// The first kernel that has all it needs: major, minor.
    pub kernel: (u32, u32),
    /// Without it the agent does not start.
    pub required: bool,
    /// What is not known without it.
    pub without: &'static str,
}

/// All of them. `bpf_ringbuf_*` and `bpf_sk_storage_get` in `cgroup_skb` set the lower bound.
pub const PROBES: &[Probe] = &[
    Probe {
        program: "observer_egress",
        hook: Hook::CgroupEgress,
        kernel: (5, 8),
        required: true,
        without: "everything that selected workloads send",
    },
    Probe {
        program: "observer_ingress",
        hook: Hook::CgroupIngress,
        kernel: (5, 8),
        required: true,
        without: "everything that selected workloads receive",
    },
    Probe {
        program: "observer_life",
        hook: Hook::SockOps,
        kernel: (5, 8),
        required: false,
        without: "connections opened, accepted, refused and timed out; who opened a connection; \
                  ends that no packet shows",
    },
    Probe {
        program: "observer_exec",
        hook: Hook::RawTracepoint("sched_process_exec"),
        kernel: (5, 8),
        required: false,
        without: "programs that selected processes execute",
    },
    Probe {
        program: "observer_exit",
        hook: Hook::RawTracepoint("sched_process_exit"),
        kernel: (5, 8),
        required: false,
        without: "when selected processes exit",
    },
    Probe {
        program: "observer_oom",
        hook: Hook::RawTracepoint("mark_victim"),
        kernel: (5, 8),
        required: false,
        without: "processes the kernel kills for memory",
    },
];

/// What became of a probe.
#[derive(Clone, Debug)]
pub struct Status {
    /// Which one.
    pub probe: &'static Probe,
    /// How many times it is attached now.
    pub attached: usize,
    /// Why it could not be loaded or attached, the last time it could not.
    pub failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_names_are_unique_and_each_row_says_what_is_lost() {
        for (index, probe) in PROBES.iter().enumerate() {
            assert!(!probe.without.is_empty());
            let rest = PROBES.iter().skip(index + 1);
            assert!(rest.clone().all(|other| other.program != probe.program));
        }
    }
}
